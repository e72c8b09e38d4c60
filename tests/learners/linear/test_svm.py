"""The multi-class support vector machine: liblinear's solution, the duality gap, and finite differences as oracles."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from scipy.optimize import minimize
from sklearn.svm import LinearSVC
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.embedded import Embedded
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adapters import from_function
from fewshot.learners.linear.svm import SVM
from fewshot.testing import check_learner

CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def liblinears(support, query, C, **options):
    """Crammer and Singer's machine by liblinear without an intercept, which is in neither problem then."""
    options = {
        "multi_class": "crammer_singer",
        "fit_intercept": False,
        "tol": 1e-9,
        "max_iter": 100_000,
        "random_state": 0,
        **options,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stops at max_iter, and that multi_class shall go
        model = LinearSVC(C=C, **options).fit(support.x.numpy(), support.y.numpy())
    scores = model.decision_function(query.numpy())
    return torch.from_numpy(np.stack([-scores, scores], 1) if scores.ndim == 1 else scores)


def scores_of(support, query, C):
    return SVM(C).adapt(support)(query).detach()


@settings(max_examples=10)
@given(episodes(), st.sampled_from([0.02, 0.1, 1.0]))
def test_scores_are_those_of_the_primal_problem(case, C):
    """For two classes liblinear has one vector; SciPy solves the problem as it stands, with a slack for each item."""
    support, query, _ = case
    assert_close(scores_of(support, query, C), primal(support, query, C), rtol=1e-3, atol=1e-3)


def primal(support, query, C):
    x, y, n = support.x.numpy(), support.y.numpy(), support.n_way
    size, dim = x.shape

    def objective(v):
        w, slack = v[: n * dim], v[n * dim :]
        return w @ w / 2 + C * slack.sum(), np.r_[w, np.full(size, C)]

    def margins(v):  # w_y z - w_m z + slack - 1 for m other than y; slack for y itself
        scores = x @ v[: n * dim].reshape(n, dim).T
        gaps = scores[np.arange(size), y][:, None] - scores - 1 + (np.arange(n) == y[:, None])
        return (gaps + v[n * dim :, None]).ravel()

    start = np.r_[np.zeros(n * dim), np.ones(size)]
    found = minimize(
        objective, start, jac=True, method="SLSQP", constraints={"type": "ineq", "fun": margins},
        options={"ftol": 1e-12, "maxiter": 500},
    )  # fmt: skip
    return torch.from_numpy(query.numpy() @ found.x[: n * dim].reshape(n, dim).T)


@pytest.mark.parametrize("shots", [(3, 1, 4), (1,) * 5, (5,) * 5, (7, 2, 5, 1, 1)])
@pytest.mark.parametrize("dim", [3, 40])
@pytest.mark.parametrize("C", [0.01, 0.1])
def test_batches_are_liblinears_with_more_and_with_fewer_features_than_items(shots, dim, C):
    support, query, _ = episode(shots, dim, episodes=3, spread=2.0)
    exact = torch.stack([liblinears(support[k], query[k], C) for k in range(3)])
    assert_close(scores_of(support, query, C), exact, **CLOSE)


@pytest.mark.parametrize("C", [1e-4, 0.1, 10.0])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 10.0])
def test_the_gap_between_primal_and_dual_vanishes(C, scale):
    """Weights from any feasible α bound the objective from below by the dual's value and from above by their own."""
    support, _, _ = episode((3, 1, 4), 12, spread=2.0, episodes=5)
    x, target = support.x * scale, torch.nn.functional.one_hot(support.y, 3).double()
    with torch.no_grad():
        learner = SVM(C)
        weights = learner.adapt(SupportSet(x, support.y, 3))(torch.eye(12).double().expand(5, 12, 12)).mT
    alpha = weights @ torch.linalg.pinv(x)  # items are independent here, so this is α
    assert bool((alpha <= C * target.mT + 1e-6 * C).all())
    assert_close(alpha.sum(-2), torch.zeros(5, 8).double(), rtol=0, atol=1e-6 * C)
    scores = x @ weights.mT
    violation = (scores + 1 - target).amax(-1) - (scores * target).sum(-1)
    norm = weights.square().sum((-2, -1)) / 2
    primal_value, dual_value = norm + C * violation.sum(-1), (alpha.mT * target).sum((-2, -1)) - norm
    assert_close(primal_value, dual_value, rtol=1e-4, atol=0)


def with_ones(x):
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)


@dataclass(frozen=True)
class Altered:
    """The right machine on other items, with another C, or with other scores."""

    items: Callable = lambda z, x: z
    C: Callable = lambda size: 0.1
    factor: float = 1.0

    def adapt(self, support):
        x = support.x
        classify = SVM(self.C(x.shape[-2])).adapt(SupportSet(self.items(x, x), support.y, support.n_way))
        return lambda query: self.factor * classify(self.items(query, x))


def one_against_the_rest(x, y, query):
    return liblinears(SupportSet(x, y, int(y.max()) + 1), query, 0.1, multi_class="ovr", tol=1e-8).to(query)


WRONG = {
    "C doubled": Altered(C=lambda size: 0.2),
    "mean of the violations": Altered(C=lambda size: 0.1 / size),
    "one against the rest": from_function(one_against_the_rest),
    "an intercept": Altered(lambda z, x: with_ones(z)),
    "centred features": Altered(lambda z, x: z - x.mean(-2, keepdim=True)),
    "half the scores": Altered(factor=0.5),
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_formulas_keep_the_contract_and_are_caught(wrong):
    check_learner(wrong, tolerance=1e-4)
    support, query, _ = episode((3, 1, 4), 5, spread=2.0)
    exact = liblinears(support, query, 0.1)
    assert_close(scores_of(support, query, 0.1), exact, **CLOSE)
    with pytest.raises(AssertionError):
        assert_close(wrong.adapt(support)(query), exact, **CLOSE)


def test_it_keeps_the_contract():
    check_learner(SVM())


@pytest.mark.parametrize("dim", [2, 6])
def test_gradients_through_the_solution_are_those_of_finite_differences(dim):
    support, query, _ = episode((2, 2, 1), dim, queries=1, spread=3.0)
    learner = SVM().double()

    def scores(x, q):
        return learner.adapt(SupportSet(x, support.y, 3))(q)

    torch.autograd.gradcheck(scores, (support.x.clone().requires_grad_(), query.clone().requires_grad_()))


def test_a_gradient_of_the_support_vectors_alone_is_another():
    """The derivative of α matters: with α held still the gradient is caught by finite differences."""
    support, query, _ = episode((2, 3, 2), 4, spread=3.0)
    x = support.x.clone().requires_grad_()
    (full,) = torch.autograd.grad(SVM().adapt(SupportSet(x, support.y, 3))(query).square().sum(), x)
    with torch.no_grad():
        weights = SVM().adapt(support)(torch.eye(4).double()).mT
        alpha = weights @ torch.linalg.pinv(support.x)
    (held,) = torch.autograd.grad((query @ (alpha @ x).mT).square().sum(), x)
    assert bool((full - held).abs().max() > 1e-2 * full.abs().max())


def test_training_lowers_the_loss_through_support_and_scale():
    torch.manual_seed(0)
    model = Embedded(torch.nn.Linear(6, 4), SVM())
    support, query, labels = episode((3, 1, 2), episodes=4, spread=3.0, dtype=torch.float32)
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.05), []
    for _ in range(15):
        loss = episode_loss(model, support, query, labels)
        optimizer.zero_grad()
        loss.backward()
        assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_repeated_zero_and_single_class_items_are_no_obstacle():
    y = torch.tensor([0, 1, 2, 0])
    for x in (torch.ones(4, 6), torch.zeros(4, 6), torch.eye(4, 6)):
        assert bool(SVM().adapt(SupportSet(x, y, 3))(torch.ones(2, 6)).isfinite().all())
    support, query, _ = episode((3,), queries=2)
    assert_close(scores_of(support, query, 0.1), torch.zeros(2, 1).double(), rtol=0, atol=1e-6)


def test_a_known_number():
    """By hand: items -1 and 1, w_0 = -w and w_1 = w; least w² + 2 C max(0, 1 - 2 w): w = 1 / 2, or 2 C below C = 1 / 4."""
    support = SupportSet(torch.tensor([[-1.0], [1.0]]).double(), torch.tensor([0, 1]), 2)
    for C, w in ((0.1, 0.2), (1.0, 0.5)):
        assert_close(scores_of(support, torch.ones(1, 1).double(), C), torch.tensor([[-w, w]]).double(), **CLOSE)


def test_errors_say_what_must_hold():
    for C in (0.0, -1.0, float("nan")):
        with pytest.raises(FewShotError, match=f"C must be above 0, got {C}"):
            SVM(C)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        SVM().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
    with pytest.raises(EpisodeError, match="features must be finite"):
        SVM().adapt(SupportSet(torch.tensor([[0.0], [torch.nan]]), torch.tensor([0, 1]), 2))
    support, _, _ = episode((4, 4, 4), 3, spread=3.0)
    support.x.requires_grad_()  # gradients flow through the dual, which needs features of ordinary size
    with pytest.raises(EpisodeError, match=r"must be solved in 100 steps; scale the features or lower C"):
        SVM(1e9).adapt(support)
