"""Baseline and Baseline++: PyTorch's own modules and optimiser, one episode after another."""

import math

import numpy as np
import pytest
import torch
from make import episode
from sklearn.linear_model import LogisticRegression
from slips import Slipped
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.linear.baseline import Baseline
from fewshot.learners.linear.baseline_pp import BaselinePlusPlus
from fewshot.testing import check_learner

PUBLISHED = {"lr": 0.01, "momentum": 0.9, "dampening": 0.9, "weight_decay": 1e-3}
QUICK = {"epochs": 4, "lr": 0.2}  # so that slow oracles can pass a battery
LEARNERS = [Baseline, BaselinePlusPlus]


def numbers(support, bias, epochs):
    """The first weights and the orders of the epochs, as the episode's seed gives them."""
    generator, dim = support.generator(), support.x.shape[1]
    start = torch.rand(support.n_way, dim + bias, generator=generator, dtype=torch.float64)
    keys = torch.rand(epochs, len(support.y), generator=generator, dtype=torch.float64)
    return (2 * start - 1) / math.sqrt(dim), keys.argsort(1)


def trained(head, support, orders, slip, settings):
    """`head` after PyTorch's optimiser has seen all batches."""
    x, y = support.x.double(), support.y
    sgd = torch.optim.SGD(head.parameters(), **{**PUBLISHED, **settings})
    with torch.enable_grad():
        for order in orders:
            for batch in torch.arange(len(y)).split(4) if slip == "never shuffled" else order.split(4):
                sgd.zero_grad()
                cross_entropy(head(x[batch]), y[batch], reduction="sum" if slip == "sum" else "mean").backward()
                sgd.step()
    return head


def linear(support, query, slip=None, epochs=100, **settings):
    """Scores of ``nn.Linear`` after the published loop."""
    start, orders = numbers(support, True, epochs)
    head = nn.utils.skip_init(nn.Linear, start.shape[1] - 1, support.n_way, slip != "no bias", dtype=torch.float64)
    with torch.no_grad():
        head.weight.copy_(start[:, :-1])
        if slip != "no bias":
            head.bias.copy_(start[:, -1])
    return trained(head, support, orders, slip, settings)(query.double()).detach()


class Cosine(nn.Module):
    """The authors' ``distLinear`` of a matrix: a weight-normalised layer on items of length 1."""

    def __init__(self, start, slip):
        super().__init__()
        layer = nn.utils.skip_init(nn.Linear, start.shape[1], len(start), bias=False, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(start)
        self.layer = layer if slip == "length not learnt" else nn.utils.parametrizations.weight_norm(layer, dim=0)
        self.slip = slip

    def forward(self, x):
        return (1 if self.slip == "no scale" else 2) * self.layer(x / (x.norm(dim=1, keepdim=True) + 0.00001))


def cosine(support, query, slip=None, epochs=100, **settings):
    """Scores of the authors' layer after the published loop."""
    start, orders = numbers(support, False, epochs)
    return trained(Cosine(start, slip), support, orders, slip, settings)(query.double()).detach()


def agree(learner, oracle, case, **settings):
    support, query, _ = case
    assert_close(learner.adapt(support)(query), oracle(support, query, **settings), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("make", "oracle"), [(Baseline, linear), (BaselinePlusPlus, cosine)])
@pytest.mark.parametrize(("shots", "dim"), [((3, 1, 2), 6), ((1, 1), 40), ((4, 1, 3, 5), 3)])
def test_published_settings_give_the_scores_of_pytorchs_optimiser(make, oracle, shots, dim):
    agree(make(), oracle, episode(shots, dim, seed=dim))


@pytest.mark.parametrize(("make", "oracle"), [(Baseline, linear), (BaselinePlusPlus, cosine)])
def test_other_settings_do_too(make, oracle):
    for settings in (QUICK, {"epochs": 3, "lr": 0.2, "momentum": 0.5, "dampening": 0.0, "weight_decay": 0.1}):
        agree(make(**settings), oracle, episode((2, 5, 3), 9, seed=1), **settings)


@pytest.mark.parametrize("make", LEARNERS)
def test_keeps_the_contract(make):
    check_learner(make(epochs=20, lr=0.1), class_symmetric=False, order_invariant=False)


SLIPS = [
    *(
        {"oracle": oracle, **slip}
        for oracle in (linear, cosine)
        for slip in (
            {"slip": "sum"},
            {"slip": "never shuffled"},
            {"dampening": 0.0},
            {"weight_decay": 0.0},
        )
    ),
    {"oracle": linear, "slip": "no bias"},
    {"oracle": cosine, "slip": "length not learnt"},
    {"oracle": cosine, "slip": "no scale"},
]


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=lambda s: "-".join(getattr(v, "__name__", str(v)) for v in s.values()))
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    oracle = slip["oracle"]
    wrong = Slipped(**{**QUICK, **slip})
    check_learner(wrong, class_symmetric=False, order_invariant=False)
    agree(Slipped(oracle, **QUICK), oracle, episode((3, 1, 4)), **QUICK)
    with pytest.raises(AssertionError):
        agree(wrong, oracle, episode((3, 1, 4)), **QUICK)


# Properties and edges -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", LEARNERS)
def test_a_batch_is_its_episodes_and_types_stay(make):
    support, query, _ = episode((3, 1, 2), episodes=200)
    scores = make(epochs=20).adapt(support)(query)
    alone = torch.stack([make(epochs=20).adapt(support[k])(query[k]) for k in range(0, 200, 50)])
    assert_close(scores[::50], alone, rtol=1e-12, atol=1e-12)
    single = make(epochs=20).adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, scores.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", LEARNERS)
def test_the_seed_of_the_episode_decides(make):
    support, query, _ = episode((2, 3), episodes=1)
    other = SupportSet(support.x, support.y, 2, seed=support.seed + 1)
    assert not torch.equal(make().adapt(support)(query), make().adapt(other)(query))
    with pytest.raises(EpisodeError, match="a generator belongs to one episode with a seed, got seed None"):
        make().adapt(SupportSet(support.x, support.y, 2))


def test_before_training_weights_are_uniform_as_in_pytorch_and_answers_are_chance():
    support, _, _ = episode((1,) * 5, 20, episodes=400)
    probe = torch.cat([torch.eye(20), torch.zeros(1, 20)]).double().expand(400, -1, -1)
    scores = Baseline(epochs=0).adapt(support)(probe)  # weights plus bias, then the bias
    weights = scores[:, :-1] - scores[:, -1:]
    for part in (weights, scores[:, -1]):
        assert 0.99 / math.sqrt(20) < part.abs().max() <= 1 / math.sqrt(20) + 1e-12
        assert_close(part.square().mean().item(), 1 / 60, rtol=0.06, atol=0)
    support, query, y = episode((1,) * 5, 20, queries=20, episodes=200, seed=1)
    for make in LEARNERS:
        right = (make(epochs=0).adapt(support)(query).argmax(-1) == y).double().mean()
        assert abs(right - 0.2) < 0.06


def test_whole_batches_until_convergence_are_scikit_learns_logistic_regression():
    """Penalty on the bias too, which scikit-learn has for a column of ones."""
    support, query, _ = episode((3, 1, 2), 4)
    x, q = (np.hstack([items.numpy(), np.ones((len(items), 1))]) for items in (support.x, query))
    model = LogisticRegression(C=1 / (0.1 * 6), fit_intercept=False, solver="newton-cg", tol=1e-12, max_iter=1000)
    theirs = model.fit(x, support.y.numpy()).predict_log_proba(q)
    ours = Baseline(epochs=600, batch_size=6, lr=0.3, weight_decay=0.1).adapt(support)(query).log_softmax(-1)
    assert_close(ours, torch.from_numpy(theirs), rtol=1e-5, atol=1e-6)


def test_baseline_pp_does_not_feel_lengths():
    support, query, _ = episode((3, 1, 2), spread=2.0)
    rows = torch.linspace(0.5, 50, 6, dtype=torch.float64)[:, None]
    scores = BaselinePlusPlus().adapt(support)(query)
    assert_close(BaselinePlusPlus().adapt(support.map(lambda x: x * rows))(3 * query), scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("make", LEARNERS)
def test_equal_and_zero_items_are_finite(make):
    support = SupportSet(torch.zeros(4, 3), torch.tensor([0, 1, 1, 0]), 2, seed=torch.tensor(1))
    assert make().adapt(support)(torch.ones(3, 3)).isfinite().all()


def test_two_steps_by_hand():
    """One item of each class at 1 and -1: the first step is not dampened, the second is."""
    support = SupportSet(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([0, 1]), 2, seed=torch.tensor(0))
    probe = torch.tensor([[0.0], [1.0]]).double()

    def parameters(epochs):
        scores = Baseline(epochs=epochs, lr=0.5, weight_decay=0.1).adapt(support)(probe)
        return scores[1] - scores[0], scores[0]

    w, b = parameters(0)
    bw = bb = None
    for epochs in (1, 2):
        p = torch.stack([1 / (1 + torch.exp((w[1] - w[0]) * x + b[1] - b[0])) for x in (1, -1)])  # of class 0
        gw = ((p[0] - 1) - p[1]) / 2 * torch.tensor([1, -1]) + 0.1 * w
        gb = ((p[0] - 1) + p[1]) / 2 * torch.tensor([1, -1]) + 0.1 * b
        bw, bb = (gw, gb) if bw is None else (0.9 * bw + 0.1 * gw, 0.9 * bb + 0.1 * gb)
        w, b = w - 0.5 * bw, b - 0.5 * bb
        assert_close(parameters(epochs), (w, b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("make", LEARNERS)
def test_errors_say_what_must_hold(make):
    with pytest.raises(FewShotError, match="epochs must be a whole number of at least 0, got -1"):
        make(epochs=-1)
    for lr in (0.0, math.nan):
        with pytest.raises(FewShotError, match=f"lr must be above 0, got {lr}"):
            make(lr=lr)
    for wrong in ({"momentum": 1.0}, {"dampening": -0.1}, {"weight_decay": math.nan}):
        with pytest.raises(FewShotError, match="momentum must be 0 or more and below 1, dampening in"):
            make(**wrong)
    one = SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2, seed=torch.tensor(0))
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        make().adapt(one)
    with pytest.raises(EpisodeError, match="features must be finite, got NaN or infinity in the support"):
        make().adapt(SupportSet(torch.tensor([[math.nan], [0.0]]), torch.tensor([0, 1]), 2, seed=torch.tensor(0)))
    with pytest.raises(FewShotError, match="scale must be above 0, got 0"):
        BaselinePlusPlus(scale=0.0)


@pytest.mark.parametrize("make", LEARNERS)
def test_gradients_to_the_support_are_refused_and_those_to_queries_flow(make):
    support, query, _ = episode((2, 3))
    asked = SupportSet(support.x.requires_grad_(), support.y, 2, seed=support.seed)
    with pytest.raises(FewShotError, match="cannot train a backbone through its support; adapt under no_grad"):
        make().adapt(asked)
    with torch.no_grad():
        classify = make(epochs=3).adapt(asked)
    assert not classify(query).requires_grad
    torch.autograd.gradcheck(classify, query.clone().requires_grad_())
