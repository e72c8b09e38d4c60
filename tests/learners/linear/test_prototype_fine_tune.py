"""Prototype fine-tune: automatic differentiation in a slow loop over steps, and how easyfsl differs."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from slips import Slipped
from torch.nn.functional import cosine_similarity, cross_entropy, linear
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.linear.prototype_fine_tune import PrototypeFineTune
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.testing import check_learner


def descent(parameters, gradients, step, lr, memory):
    return [p - lr * g for p, g in zip(parameters, gradients, strict=True)]


def adam(parameters, gradients, step, lr, memory):
    """Kingma and Ba (2015), algorithm 1."""
    moved = []
    for k, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
        m, v = memory.get(k, (0, 0))
        memory[k] = m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        moved.append(p - lr * (m / (1 - 0.9**step)) / ((v / (1 - 0.999**step)).sqrt() + 1e-8))
    return moved


def logits(head, z, parameters):
    if head == "linear":
        return linear(z, *parameters)
    return torch.stack([cosine_similarity(z, w, dim=1, eps=1e-12) for w in parameters[0]], 1)


def start(support, head, slip):
    x, y = support.x.double(), support.y
    c = torch.stack([x[y == k].mean(0) for k in range(support.n_way)])
    if slip == "sum for mean":
        c = torch.stack([x[y == k].sum(0) for k in range(support.n_way)]) / 2
    if head == "cosine":
        return [c / c.norm(dim=1, keepdim=True) if slip == "unit prototypes" else c]
    return [c if slip == "w = c" else 2 * c, (0 if slip == "no bias" else -1) * (c * c).sum(1)]


def oracle(support, query, head="linear", steps=200, lr=0.01, step=descent, decay=0.0, temperature=1.0, slip=None):
    """Scores after all steps on the features themselves, by automatic differentiation."""
    x, parameters, memory = support.x.double(), start(support, head, slip), {}
    for t in range(1, steps + 1):
        parameters = [p.detach().requires_grad_() for p in parameters]
        with torch.enable_grad():
            scores = logits(head, x, parameters) / (1 if slip == "temperature left out" else temperature)
            loss = cross_entropy(scores, support.y, reduction="sum" if slip == "sum of losses" else "mean")
            loss = loss + decay / 2 * sum((p**2).sum() for p in parameters)
            gradients = torch.autograd.grad(loss, parameters)
        if slip == "bias stays":
            gradients = [gradients[0], torch.zeros_like(gradients[1])]
        parameters = step(parameters, gradients, t, lr, memory)
    return (logits(head, query.double(), parameters) / temperature).detach()


def agree(learner, case, **options):
    support, query, _ = case
    assert_close(learner.adapt(support)(query), oracle(support, query, **options), rtol=1e-8, atol=1e-8)


@settings(max_examples=15)
@given(episodes(), st.sampled_from(["linear", "cosine"]), st.sampled_from([0.05, 0.5]), st.sampled_from([0.0, 0.1]))
def test_scores_are_those_of_automatic_differentiation(case, head, lr, decay):
    ours = PrototypeFineTune(head, 20, lr, weight_decay=decay, temperature=0.5)
    agree(ours, case, head=head, steps=20, lr=lr, decay=decay, temperature=0.5)


@settings(max_examples=10)
@given(episodes(), st.sampled_from(["linear", "cosine"]))
def test_adam_is_that_of_its_paper(case, head):
    ours = PrototypeFineTune(head, 20, 0.01, "adam", weight_decay=0.1)
    agree(ours, case, head=head, steps=20, lr=0.01, decay=0.1, step=adam)


def test_all_steps_with_more_and_with_fewer_features_than_items():
    for dim in (2, 64):
        case = episode((3, 1, 4), dim, spread=2.0)
        agree(PrototypeFineTune(), case)
        agree(PrototypeFineTune("cosine", lr=1.0), case, head="cosine", lr=1.0)


@pytest.mark.parametrize("head", ["linear", "cosine"])
@pytest.mark.parametrize("optimiser", ["gradient-descent", "adam"])
def test_keeps_the_contract(head, optimiser):
    check_learner(PrototypeFineTune(head, 30, optimiser=optimiser))


COSINE = {"head": "cosine", "temperature": 0.2}
SLIPS = [
    {"slip": "w = c"},
    {"slip": "no bias"},
    {"slip": "bias stays"},
    {"slip": "sum of losses"},
    {"slip": "sum for mean"},
    {"steps": 9},
    {**COSINE, "slip": "unit prototypes"},
    {**COSINE, "slip": "temperature left out"},
    {**COSINE, "slip": "sum of losses"},
]


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: "-".join(map(str, slip.values())))
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    right = {"steps": 8, "lr": 0.1, **{k: v for k, v in slip.items() if k in COSINE}}
    wrong, case = Slipped(oracle, **{**right, **slip}), episode((3, 1, 4), spread=2.0)
    check_learner(wrong)
    agree(PrototypeFineTune(**right), case, **right)
    with pytest.raises(AssertionError):
        agree(wrong, case, **right)


# easyfsl --------------------------------------------------------------------------------------------


def easyfsls(support, query, steps=200, lr=1e-4, factor=1.0):
    """easyfsl 1.5.0's ``Finetune``: Adam on prototypes, cosines times a factor; answers are bare cosines."""
    scores = oracle(support, query, "cosine", steps, lr, adam, temperature=1 / factor)
    return scores / factor


@settings(max_examples=5)
@given(episodes(), st.sampled_from([1.0, 10.0]))
def test_easyfsl_is_reached_by_its_head_and_optimiser(case, factor):
    support, query, _ = case
    ours = PrototypeFineTune("cosine", 200, 1e-4, "adam", temperature=1 / factor).adapt(support)(query)
    assert_close(ours, factor * easyfsls(support, query, factor=factor), rtol=1e-8, atol=1e-8)


def test_with_the_linear_head_answers_are_others():
    support, query, _ = episode((2,) * 5, 16, queries=25, episodes=20, spread=3.0)
    theirs = torch.stack([easyfsls(support[k], query[k], steps=20) for k in range(20)]).argmax(-1)
    ours = PrototypeFineTune().adapt(support)(query).argmax(-1)
    assert 0.01 < (ours != theirs).double().mean() < 0.5


# Properties and edges -------------------------------------------------------------------------------


@given(episodes())
def test_without_steps_it_is_the_nearest_mean(case):
    support, query, _ = case
    ours = PrototypeFineTune(steps=0).adapt(support)(query).log_softmax(-1)
    assert_close(ours, NearestMean().adapt(support)(query).log_softmax(-1), rtol=1e-9, atol=1e-9)
    ours = PrototypeFineTune("cosine", steps=0, temperature=0.1).adapt(support)(query)
    assert_close(ours, NearestMean("cosine", 0.1).adapt(support)(query), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_the_loss_of_the_support_falls(head):
    support, _, _ = episode((4, 2, 5), 3, spread=3.0)
    losses = []
    for steps in (0, 1, 5, 25, 125):
        learner = PrototypeFineTune(head, steps, temperature=0.3 if head == "cosine" else 5.0)
        losses.append(cross_entropy(learner.adapt(support)(support.x), support.y).item())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 1e-3


@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_gradient_descent_turns_with_the_features_and_adam_does_not(head):
    support, query, _ = episode((3, 1, 2), spread=2.0)
    turn = torch.linalg.qr(torch.vander(torch.linspace(-1, 1, 6, dtype=torch.float64)))[0]
    turned = support.map(lambda x: x @ turn)
    plain, by_adam = (PrototypeFineTune(head, 50, 0.05, name) for name in ("gradient-descent", "adam"))
    assert_close(plain.adapt(turned)(query @ turn), plain.adapt(support)(query), rtol=1e-8, atol=1e-8)
    with pytest.raises(AssertionError):
        assert_close(by_adam.adapt(turned)(query @ turn), by_adam.adapt(support)(query), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"head": "cosine"}, {"head": "cosine", "optimiser": "adam"}], ids=str)
def test_a_batch_is_its_episodes_and_types_stay(options):
    learner = PrototypeFineTune(steps=20, **options)
    support, query, _ = episode((3, 1, 2), episodes=200)
    scores = learner.adapt(support)(query)
    alone = torch.stack([learner.adapt(support[k])(query[k]) for k in range(0, 200, 50)])
    assert_close(scores[::50], alone, rtol=1e-11, atol=1e-11)
    single = learner.adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, scores.float(), rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("options", [{}, {"head": "cosine"}, {"head": "cosine", "optimiser": "adam"}], ids=str)
def test_zero_vectors_are_finite(options):
    support = SupportSet(torch.zeros(3, 2), torch.tensor([0, 1, 0]), 2)
    assert PrototypeFineTune(**options).adapt(support)(torch.ones(2, 2)).isfinite().all()


def test_one_step_by_hand():
    """Items at 1 and -1: logits 1 and -3 before the step, so that weights move by lr / (1 + exp(4))."""
    support = SupportSet(torch.tensor([[1.0], [-1.0]]).double(), torch.tensor([0, 1]), 2)
    scores = PrototypeFineTune(steps=1, lr=0.5).adapt(support)(torch.tensor([[1.0]]).double())
    moved = 0.5 / (1 + math.exp(4))
    assert_close(scores, torch.tensor([[1 + moved, -3 - moved]], dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert round(scores[0, 0].item(), 6) == 1.008993


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="head must be 'linear' or 'cosine', got 'round'"):
        PrototypeFineTune("round")
    with pytest.raises(FewShotError, match="optimiser must be 'gradient-descent' or 'adam', got 'sgd'"):
        PrototypeFineTune(optimiser="sgd")
    for lr in (0.0, math.nan):
        with pytest.raises(FewShotError, match=rf"lr and temperature must be above 0, got {lr} and 1\.0"):
            PrototypeFineTune(lr=lr)
    with pytest.raises(FewShotError, match="steps must be a whole number of at least 0, got -1"):
        PrototypeFineTune(steps=-1)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        PrototypeFineTune().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
    with pytest.raises(EpisodeError, match="features must be finite, got NaN or infinity in the support"):
        PrototypeFineTune().adapt(SupportSet(torch.tensor([[math.inf], [0.0]]), torch.tensor([0, 1]), 2))


def test_gradients_to_the_support_are_refused_and_those_to_queries_flow():
    support, query, _ = episode((2, 3))
    asked = SupportSet(support.x.requires_grad_(), support.y, 2)
    with pytest.raises(FewShotError, match="cannot train a backbone through its support; adapt under no_grad"):
        PrototypeFineTune().adapt(asked)
    with torch.no_grad():
        classify = PrototypeFineTune("cosine", 3).adapt(asked)
    assert not classify(query).requires_grad
    torch.autograd.gradcheck(classify, query.clone().requires_grad_())
