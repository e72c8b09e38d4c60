"""Ridge regression: scikit-learn's Ridge and RidgeClassifier, and the normal equations, as oracles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.linear_model import RidgeClassifier
from torch.nn.functional import one_hot
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adapters import from_function
from fewshot.learners.linear.convex import ridge
from fewshot.learners.linear.ridge import Ridge
from fewshot.testing import check_learner

CLOSE = {"rtol": 1e-8, "atol": 1e-9}


def sklearns(support, query, penalty):
    model = SklearnRidge(penalty, solver="cholesky").fit(support.x.numpy(), np.eye(support.n_way)[support.y])
    return torch.from_numpy(model.predict(query.numpy()).reshape(len(query), support.n_way))


@settings(max_examples=10)
@given(episodes(), st.sampled_from([0.1, 1.0, 10.0]))
def test_scores_are_scikit_learns(case, penalty):
    support, query, _ = case
    assert_close(Ridge(penalty).adapt(support)(query), sklearns(support, query, penalty), **CLOSE)


@pytest.mark.parametrize("dim", [3, 64])
def test_batches_with_more_and_with_fewer_features_than_items(dim):
    support, query, _ = episode((7, 2, 5, 1, 1), dim, episodes=3)
    exact = torch.stack([sklearns(support[k], query[k], 0.5) for k in range(3)])
    assert_close(Ridge(0.5).adapt(support)(query), exact, **CLOSE)


def test_scores_of_the_classifier_with_signed_targets_are_twice_ours_less_one():
    support, query, _ = episode((3, 1, 4), 5)
    theirs = RidgeClassifier(2.0).fit(support.x.numpy(), support.y.numpy()).decision_function(query.numpy())
    assert_close(2 * Ridge(2.0).adapt(support)(query) - 1, torch.from_numpy(theirs), **CLOSE)


@pytest.mark.parametrize("dim", [2, 9])
def test_the_two_forms_solve_the_normal_equations(dim):
    support, _, _ = episode((3, 2), dim)
    x, target = support.x, one_hot(support.y, 2).double()
    weights = ridge(x, target, 0.3)
    assert_close(x.mT @ (x @ weights - target) + 0.3 * weights, torch.zeros_like(weights), rtol=0, atol=1e-10)


def centred(f):
    """A wrong formula in centred features and labels."""

    def scores(x, y, query):
        t = one_hot(y).to(x)
        return (query - x.mean(0)) @ f(x - x.mean(0), t - t.mean(0)) + t.mean(0)

    return from_function(scores)


def with_ones(x):
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


WRONG = {
    "mean of the errors": centred(lambda x, t: ridge(x, t, len(x) * 1.0)),
    "penalty squared": centred(lambda x, t: ridge(x, t, 4.0)),
    "penalty halved": centred(lambda x, t: ridge(x, t, 1.0)),
    "no intercept": from_function(lambda x, y, q: q @ ridge(x, one_hot(y).to(x), 2.0)),
    "intercept penalised": from_function(
        lambda x, y, q: with_ones(q) @ ridge(with_ones(x), one_hot(y).to(x), 2.0)
    ),
    "targets of plus and minus one": from_function(lambda x, y, q: 2 * Ridge(2.0).adapt(
        SupportSet(x, y, int(y.max()) + 1))(q) - 1),
    "classes weighted alike": centred(
        lambda x, t: ridge((w := (t.clamp(min=0).sum(0, keepdim=True).reciprocal() * (t > 0)).sum(1, keepdim=True).sqrt())
                           * x, w * t, 2.0)
    ),
}  # fmt: skip


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_formulas_keep_the_contract_and_are_caught(wrong):
    check_learner(wrong)
    support, query, _ = episode((3, 1, 4), 5)
    assert_close(Ridge(2.0).adapt(support)(query), sklearns(support, query, 2.0), **CLOSE)
    with pytest.raises(AssertionError):
        assert_close(wrong.adapt(support)(query), sklearns(support, query, 2.0), **CLOSE)


def test_it_keeps_the_contract():
    check_learner(Ridge())
    check_learner(Ridge(0.1), dtype=torch.float32, tolerance=1e-4)


@given(episodes(), st.floats(-50, 50))
@settings(max_examples=10)
def test_scores_sum_to_one_and_do_not_move_with_the_origin(case, offset):
    support, query, _ = case
    scores = Ridge().adapt(support)(query)
    assert_close(scores.sum(-1), torch.ones(len(query), dtype=torch.float64))
    moved = SupportSet(support.x + offset, support.y, support.n_way)
    assert_close(Ridge().adapt(moved)(query + offset), scores, rtol=1e-7, atol=1e-7)


def test_gradients_flow_to_support_and_query():
    support, query, _ = episode((2, 1, 2), dim=3, queries=2)
    for dim in (3, 9):
        support, query, _ = episode((2, 1, 2), dim=dim, queries=2)
        torch.autograd.gradcheck(
            lambda x, q, s=support: Ridge().adapt(SupportSet(x, s.y, 3))(q),
            (support.x.clone().requires_grad_(), query.clone().requires_grad_()),
        )


def test_a_known_number():
    """By hand: items -1 and 1, centred targets -1/2 and 1/2, so w = 1 / (2 + 2) and the score at 1 is 1/2 + 1/4."""
    x = torch.tensor([[-1.0], [1.0]])
    scores = Ridge(2.0).adapt(SupportSet(x, torch.tensor([0, 1]), 2))(torch.ones(1, 1))
    assert_close(scores, torch.tensor([[0.25, 0.75]]))


def test_errors_say_what_must_hold():
    for penalty in (0.0, -1.0, float("nan")):
        with pytest.raises(FewShotError, match=f"penalty must be above 0, got {penalty}"):
            Ridge(penalty)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        Ridge().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
    with pytest.raises(EpisodeError, match="features must be finite, got NaN or infinity in the support"):
        Ridge().adapt(SupportSet(torch.tensor([[0.0], [torch.nan]]), torch.tensor([0, 1]), 2))
