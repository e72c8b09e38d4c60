"""MAML++: a transcription with nested derivatives of torch.func, and weights of the losses by hand."""

import copy

import pytest
import torch
from make import episode
from slips import Slipped
from tiny import along, differences, mlp
from torch.func import grad
from torch.nn.functional import batch_norm, cross_entropy, linear
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.gradient.batch_norm import POLICIES
from fewshot.learners.gradient.maml import MAML
from fewshot.learners.gradient.maml_pp import MAMLPlusPlus
from fewshot.testing import check_learner

CLOSE = {"rtol": 1e-8, "atol": 1e-9}
SHOTS = (3, 1, 2)
FAST = ("network.backbone.0.weight", "network.backbone.0.bias", "network.head.weight", "network.head.bias")
OWN = ("network.backbone.1.weight", "network.backbone.1.bias")


def made(steps=3, **options):
    """A learner whose rates and batch norm differ from step to step, as after some training."""
    learner = MAMLPlusPlus(mlp(norm=True), 3, **{"lr": 0.6, "steps": steps, "annealing": 10, **options}).double()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for p in (*learner.rates, *learner.norms):
            p.add_(0.3 * torch.randn(p.shape, dtype=p.dtype))
    return learner


def logits(theta, norm, x):
    z = linear(x, theta[FAST[0]], theta[FAST[1]])
    return linear(torch.tanh(batch_norm(z, None, None, *norm, training=True)), theta[FAST[2]], theta[FAST[3]])


def losses(
    everything, support, query, labels, steps=3, first_order=False, shift=0, one_norm=False, one_rate=False, early=False
):
    """Query loss and logits after each step. Slips: batch norm of the next step for queries (``shift``), that of the
    first step in all, rates of the first step in all, a loss before the step instead of after it (``early``)."""
    theta, found = {name: everything[name] for name in FAST}, []
    stacked = [
        torch.cat([everything[own][None], everything[f"norms.{k}"]]) if steps > 1 else everything[own][None]
        for k, own in enumerate(OWN)
    ]
    for step in range(steps):
        norm = [p[0 if one_norm else step] for p in stacked]
        slopes = grad(lambda t: cross_entropy(logits(t, norm, support.x), support.y))(theta)  # noqa: B023
        slopes = {k: g.detach() for k, g in slopes.items()} if first_order else slopes
        rates = {name: everything[f"rates.{k}"][0 if one_rate else step] for k, name in enumerate(FAST)}
        before, theta = theta, {name: p - rates[name] * slopes[name] for name, p in theta.items()}
        answer_norm = [p[min(step + shift, steps - 1)] for p in stacked] if shift else norm
        z = logits(before if early else theta, answer_norm, query)
        found.append((None if labels is None else cross_entropy(z, labels), z))
    return found


def slow(learner, support, query, labels, weights, **slip):
    """The weighted loss over episodes, and its gradient for all that is trained."""
    everything = {name: p.detach().clone() for name, p in learner.named_parameters()}

    def outer(p):
        each = [losses(p, support[k], query[k], labels[k], learner.steps, **slip) for k in range(len(query))]
        return torch.stack([sum(w * loss for w, (loss, _) in zip(weights, one, strict=True)) for one in each]).mean()

    return outer(everything), grad(outer)(everything)


def fast(learner, batch):
    loss = episode_loss(learner, *batch)
    named = dict(learner.named_parameters())
    return loss.detach(), dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


def at(learner, progress):
    learner.progress.fill_(progress)
    return learner


THIRD = 1 / 3
BY_HAND = {0: [THIRD] * 3, 5: [THIRD / 2, THIRD / 2, 2 * THIRD], 9.9: [0.01, 0.01, 0.98], 10: [0.0, 0.0, 1.0],
           99: [0.0, 0.0, 1.0]}  # fmt: skip


@pytest.mark.parametrize(("progress", "weights"), BY_HAND.items())
def test_loss_and_gradients_are_those_of_the_transcription(progress, weights):
    learner, batch = at(made(), progress), episode(SHOTS, 8, episodes=2)
    assert_close(fast(learner, batch), slow(learner, *batch, weights), **CLOSE)


@pytest.mark.parametrize(("progress", "weights"), BY_HAND.items())
def test_weights_of_the_losses(progress, weights):
    assert_close(at(made(), progress).weights(), weights)


def test_weights_of_five_steps_over_ten_epochs_are_the_authors():
    """Theirs falls from 1/5 by 1/50 an epoch and stays at 0.006 at least; the last has the rest."""
    learner = MAMLPlusPlus(mlp(), steps=5)
    for epoch, early in [(0, 0.2), (1, 0.18), (5, 0.1), (9, 0.02), (9.8, 0.006)]:
        assert_close(at(learner, 500 * epoch).weights(), [early] * 4 + [1 - 4 * early], rtol=1e-5, atol=1e-6)
    assert at(learner, 5000).weights() == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(("progress", "first_order"), [(0, True), (3, True), (4, False)])
def test_derivatives_become_second_order(progress, first_order):
    learner, batch = at(made(first_order_steps=4), progress), episode(SHOTS, 8, episodes=2)
    exact = slow(learner, *batch, learner.weights(), first_order=first_order)
    assert_close(fast(learner, batch), exact, **CLOSE)


@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_are_those_of_finite_differences(policy):
    learner, batch = made(batch_norm=policy), episode(SHOTS, 8, episodes=2)
    start = copy.deepcopy(learner.progress)

    def loss():
        return episode_loss(at(learner, start), *batch)

    exact = list(fast(learner, batch)[1].values())
    found, directions = differences(loss, list(learner.parameters()), step=1e-6)
    assert_close(along(exact, directions), found, rtol=1e-4, atol=1e-7)


SLIPS = {
    "batch norm of the next step": {"shift": 1},
    "batch norm of the first step": {"one_norm": True},
    "rates of the first step": {"one_rate": True},
    "loss before the step": {"early": True},
}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_wrong_steps_keep_the_contract_and_are_caught(slip):
    learner, batch = made(), episode(SHOTS, 8, episodes=2)
    everything = {name: p.detach() for name, p in learner.named_parameters()}

    def oracle(support, query, **slip):
        return losses(everything, support.map(torch.Tensor.double), query.double(), None, **slip)[-1][1].log_softmax(-1)

    with pytest.raises(AssertionError):
        assert_close(fast(learner, batch), slow(learner, *batch, learner.weights(), **slip), **CLOSE)
    check_learner(Slipped(oracle, least=2, **slip), class_symmetric=False, learns=False, shots=SHOTS)


@pytest.mark.slip
@pytest.mark.parametrize("weights", [[0, 0, 1], [0.2, 0.3, 0.5], [1, 1, 1]])
def test_wrong_weights_are_caught(weights):
    learner, batch = made(), episode(SHOTS, 8, episodes=2)
    with pytest.raises(AssertionError):
        assert_close(fast(learner, batch), slow(learner, *batch, weights), **CLOSE)


def test_scores_are_those_after_the_last_step():
    learner, (support, query, _) = made(), episode(SHOTS, 8)
    everything = {name: p.detach() for name, p in learner.named_parameters()}
    exact = losses(everything, support, query, None)[-1][1].log_softmax(-1)
    with torch.no_grad():
        assert_close(learner.eval().adapt(support)(query), exact, **CLOSE)


def test_with_one_step_it_is_maml_that_keeps_its_batch_norm():
    batch = episode(SHOTS, 8, episodes=2)
    learner = MAMLPlusPlus(mlp(norm=True), 3, lr=0.6, steps=1).double()
    plain = MAML(mlp(norm=True), 3, lr=0.6, adapts=lambda name: "backbone.1." not in name).double()
    assert len(learner.norms) == 0
    assert_close(episode_loss(learner, *batch), episode_loss(plain, *batch))


@pytest.mark.parametrize("policy", POLICIES)
def test_it_keeps_the_contract(policy):
    learner = made(batch_norm=policy, lr=1.0, steps=5)
    assert learner.transductive == (policy == "query-batch")
    check_learner(learner, class_symmetric=False, learns=False, shots=SHOTS)


def test_only_the_loss_in_training_counts_as_progress():
    learner, batch = made(), episode(SHOTS, 8, episodes=2)
    with torch.no_grad():
        learner.train().adapt(batch[0])(batch[1])
        episode_loss(learner, *batch)
    learner.train().adapt(batch[0])(batch[1])
    episode_loss(learner.eval(), *batch)
    assert learner.progress == 0
    for count in (1, 2, 3):
        episode_loss(learner.train(), *batch)
        assert learner.progress == count
    other = made()
    other.load_state_dict(learner.state_dict())
    assert other.progress == 3


def test_in_evaluation_the_loss_is_that_of_the_last_step():
    learner, batch = made(), episode(SHOTS, 8, episodes=2)
    exact, _ = slow(learner, *batch, [0, 0, 1])
    assert_close(episode_loss(learner.eval(), *batch).detach(), exact, **CLOSE)


def test_every_step_starts_from_the_rate_and_batch_norm_of_the_network():
    learner = MAMLPlusPlus(mlp(norm=True), 3, lr=0.25, steps=4)
    assert [r.tolist() for r in learner.rates] == [[0.25] * 4] * 4
    own = [learner.network.backbone[1].weight, learner.network.backbone[1].bias]
    assert_close([p.detach() for p in learner.norms], [p.detach().repeat(3, 1) for p in own])


def test_errors_say_what_must_hold(no_shape_hook):
    with pytest.raises(FewShotError, match="steps must be a whole number of at least 1, got 0"):
        made(steps=0)
    for wrong in ({"lr": -1.0}, {"annealing": -1}, {"first_order_steps": -1}):
        with pytest.raises(
            FewShotError, match=r"lr must be 0 or more|steps must be a whole number of at least 0, got -1"
        ):
            made(**wrong)
    with pytest.raises(FewShotError, match="batch_norm must be one of"):
        made(batch_norm="none")
    support, query, labels = episode((1, 2), 8, episodes=1)
    with pytest.raises(EpisodeError, match="head is of 3 ways, got an episode of 2"):
        episode_loss(made(), support, query, labels)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        made().adapt(SupportSet(support.x[0], torch.tensor([0, 0, 2]), 3))
