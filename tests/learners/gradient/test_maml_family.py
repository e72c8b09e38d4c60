"""FOMAML, ANIL, BOIL and Meta-SGD: what moves, and nested derivatives of a network written out by hand."""

import pytest
import torch
from make import episode
from tiny import mlp
from torch.func import grad
from torch.nn.functional import cross_entropy, linear
from torch.testing import assert_close

from fewshot.contract import episode_loss
from fewshot.errors import FewShotError
from fewshot.learners.gradient.anil import ANIL
from fewshot.learners.gradient.boil import BOIL
from fewshot.learners.gradient.fomaml import FOMAML
from fewshot.learners.gradient.maml import MAML
from fewshot.learners.gradient.meta_sgd import MetaSGD
from fewshot.learners.index import load_learner
from fewshot.testing import check_learner

CLOSE = {"rtol": 1e-9, "atol": 1e-10}
SHOTS = (3, 1, 2)
NAMES = ("backbone.0.weight", "backbone.0.bias", "head.weight", "head.bias")
MAKERS = {"fomaml": FOMAML, "anil": ANIL, "boil": BOIL, "meta-sgd": MetaSGD}
MOVES = {"fomaml": NAMES, "anil": NAMES[2:], "boil": NAMES[:2], "meta-sgd": NAMES}


def made(name, **options):
    return MAKERS[name](mlp(), **{"way": 3, "lr": 0.6, "steps": 2, **options}).double()


def logits(theta, x):
    return linear(torch.tanh(linear(x, theta[NAMES[0]], theta[NAMES[1]])), theta[NAMES[2]], theta[NAMES[3]])


def moved(theta, rates, support, moves=NAMES, first_order=False, steps=2):
    for _ in range(steps):
        slopes = grad(lambda p: cross_entropy(logits(p, support.x), support.y))(theta)
        slopes = {k: g.detach() for k, g in slopes.items()} if first_order else slopes
        theta = {k: p - rates[k] * slopes[k] if k in moves else p for k, p in theta.items()}
    return theta


def slow(learner, support, query, labels, of="weights", **slip):
    """Gradient of the mean loss over two episodes for the weights, or for the rates."""
    theta = {name: p.detach().clone() for name, p in learner.network.named_parameters()}
    own = learner.rates or [torch.full_like(p, learner.lr) for p in theta.values()]
    rates = {name: r.detach().clone() for name, r in zip(theta, own, strict=True)}

    def outer(theta, rates):
        answers = [logits(moved(theta, rates, support[k], **slip), query[k]) for k in range(2)]
        return torch.stack([cross_entropy(z, t) for z, t in zip(answers, labels, strict=True)]).mean()

    return grad(outer, argnums=("weights", "rates").index(of))(theta, rates)


def gradients(learner, batch):
    found = torch.autograd.grad(episode_loss(learner, *batch), list(learner.network.parameters()))
    return dict(zip(dict(learner.network.named_parameters()), found, strict=True))


@pytest.mark.parametrize("name", MAKERS)
def test_gradients_are_those_of_nested_differentiation(name):
    learner, batch = made(name), episode(SHOTS, 8, episodes=2)
    exact = slow(learner, *batch, moves=MOVES[name], first_order=name == "fomaml")
    assert_close(gradients(learner, batch), exact, **CLOSE)


def test_gradients_to_the_rates_are_those_of_nested_differentiation():
    learner, batch = made("meta-sgd"), episode(SHOTS, 8, episodes=2)
    found = torch.autograd.grad(episode_loss(learner, *batch), list(learner.rates))
    assert_close(list(found), list(slow(learner, *batch, of="rates").values()), **CLOSE)


WRONG = [
    ("fomaml", {"first_order": False}),
    ("fomaml", {"first_order": True, "moves": NAMES[2:]}),
    ("anil", {"moves": NAMES[2:3]}),
    ("anil", {"moves": NAMES[2:], "first_order": True}),
    ("boil", {"moves": NAMES[2:]}),
    ("boil", {"moves": NAMES}),
    ("meta-sgd", {"steps": 1}),
    ("meta-sgd", {"first_order": True}),
]


@pytest.mark.slip
@pytest.mark.parametrize(("name", "slip"), WRONG)
def test_wrong_relatives_are_caught(name, slip):
    learner, batch = made(name), episode(SHOTS, 8, episodes=2)
    with pytest.raises(AssertionError):
        assert_close(gradients(learner, batch), slow(learner, *batch, **slip), **CLOSE)


@pytest.mark.parametrize("name", MAKERS)
def test_they_keep_the_contract(name):
    check_learner(made(name, steps=4), class_symmetric=False, learns=False, shots=SHOTS)


@pytest.mark.parametrize("name", MAKERS)
def test_they_tell_classes_apart_after_enough_steps(name):
    support, query, labels = episode((4, 4, 4), 8, spread=0.3)
    with torch.no_grad():
        found = made(name, steps=60, lr=0.5).adapt(support)(query)
    assert (found.argmax(-1) == labels).double().mean() >= 0.8


def test_rates_are_learned_by_element_from_the_same_start():
    learner = made("meta-sgd", lr=0.3)
    assert [r.shape for r in learner.rates] == [p.shape for p in learner.fast().values()]
    assert all(bool((r == r.new_tensor(0.3)).all()) for r in learner.float().rates)
    assert len(list(learner.parameters())) == 2 * len(NAMES)


def test_a_rate_may_lead_uphill():
    learner, (support, query, _) = made("meta-sgd", steps=1), episode(SHOTS, 8)
    with torch.no_grad():
        learner.rates[3].mul_(-1)
        theta = {name: p.clone() for name, p in learner.network.named_parameters()}
        rates = dict(zip(NAMES, learner.rates, strict=True))
        assert (rates[NAMES[3]] < 0).all()
        exact = logits(moved(theta, rates, support, steps=1), query).log_softmax(-1)
        assert_close(learner.adapt(support)(query), exact, **CLOSE)


@pytest.mark.parametrize("name", MAKERS)
def test_options_reach_the_learner(name):
    learner = load_learner(name, backbone=mlp(), way=4, lr=0.1, steps=3, test_steps=7, batch_norm="support", dim=5,
                           seed=2)  # fmt: skip
    assert isinstance(learner, MAML)
    assert (learner.way, learner.lr, learner.steps, learner.test_steps) == (4, 0.1, 3, 7)
    assert learner.batch_norm == "support"
    assert torch.equal(learner.network.head.weight, MAML(mlp(), way=4, seed=2).network.head.weight)
    assert learner.first_order == (name == "fomaml")
    if name != "fomaml":
        assert load_learner(name, backbone=mlp(), first_order=True).first_order


def test_a_body_without_parameters_is_refused():
    backbone = torch.nn.Identity()
    backbone.dim = 8
    with pytest.raises(FewShotError, match="adapts must choose parameters of the network, got 'body'"):
        BOIL(backbone)
