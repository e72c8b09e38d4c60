"""Logistic regression: scikit-learn's solution and the gradient of its objective as oracles."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes, shot_counts
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adapters import from_function
from fewshot.learners.linear.convex import multinomial_logistic
from fewshot.learners.linear.logistic_regression import LogisticRegression
from fewshot.testing import check_learner


def sklearns(support, query, C=1.0):
    """Log-probabilities of scikit-learn's own solver, driven to convergence, of one episode."""
    model = SklearnLogisticRegression(C=C, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(support.x.double().numpy(), support.y.numpy())
    return torch.from_numpy(model.predict_log_proba(query.double().numpy()))


@settings(max_examples=10)
@given(episodes(), st.sampled_from([0.1, 1.0, 10.0]))
def test_log_probabilities_are_scikit_learns(case, C):
    support, query, _ = case
    assert_close(LogisticRegression(C).adapt(support)(query), sklearns(support, query, C), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shots", [(1, 1), (1,) * 5, (3, 1, 2), (4, 4), (7, 2, 5, 1, 1)])
@pytest.mark.parametrize("dim", [3, 64])
def test_batches_are_scikit_learns_with_more_and_with_fewer_features_than_items(shots, dim):
    support, query, _ = episode(shots, dim, episodes=3, spread=2.0)
    exact = torch.stack([sklearns(support[k], query[k]) for k in range(3)])
    assert_close(LogisticRegression().adapt(support)(query), exact, rtol=1e-5, atol=1e-5)


def one_hot(support):
    return torch.nn.functional.one_hot(support.y, support.n_way).double()


def objective(theta, support, C):
    """Sum of losses and half the squared weights over C, by NumPy: weights ``(dim, n)`` above one row of intercepts."""
    x, y = support.x.numpy(), support.y.numpy()
    theta = theta.reshape(x.shape[1] + 1, support.n_way)
    logits = x @ theta[:-1] + theta[-1]
    return -log_softmax(logits, axis=1)[np.arange(len(y)), y].sum() + (theta[:-1] ** 2).sum() / (2 * C)


@settings(max_examples=5)
@given(shot_counts(min_way=3), st.integers(0, 1000))
def test_scipy_finds_no_lower_objective(shots, seed):
    support, _, _ = episode(shots, 3, seed=seed)
    ours = torch.cat(multinomial_logistic(support.x, one_hot(support), 1.0)).numpy()
    theirs = minimize(objective, np.zeros(ours.size), (support, 1.0), tol=1e-10)
    assert objective(ours, support, 1.0) <= theirs.fun + 1e-9


def solved(support, query, **options):
    model = SklearnLogisticRegression(solver="newton-cg", tol=1e-12, max_iter=1000, **options)
    return torch.from_numpy(model.fit(support.x.numpy(), support.y.numpy()).predict_log_proba(query.numpy()))


def penalised_intercept(support, query, C):
    x, q = (torch.cat([items, torch.ones_like(items[:, :1])], 1) for items in (support.x, query))
    return solved(SupportSet(x, support.y, support.n_way), q, C=C, fit_intercept=False)


def one_against_rest(support, query, C):
    twos = [SupportSet(support.x, (support.y == k).long(), 2) for k in range(support.n_way)]
    return torch.stack([sklearns(two, query, C)[:, 1] for two in twos], 1).log_softmax(-1)


WRONG = {
    "mean of losses": lambda s, q, C: sklearns(s, q, C / len(s.x)),
    "penalty not halved": lambda s, q, C: sklearns(s, q, C / 2),
    "strength for its inverse": lambda s, q, C: sklearns(s, q, 1 / C),
    "no intercept": lambda s, q, C: solved(s, q, C=C, fit_intercept=False),
    "intercept penalised": penalised_intercept,
    "classes weighted": lambda s, q, C: solved(s, q, C=C, class_weight="balanced"),
    "one against the rest": one_against_rest,
    "probabilities": lambda s, q, C: sklearns(s, q, C).exp(),
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_objectives_are_caught(wrong):
    support, query, _ = episode((3, 1, 4), 5, spread=2.0)
    exact = sklearns(support, query, 0.1)
    assert_close(LogisticRegression(0.1).adapt(support)(query), exact, rtol=1e-5, atol=1e-5)
    with pytest.raises(AssertionError):
        assert_close(wrong(support, query, 0.1), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.slip
@pytest.mark.parametrize("name", ["mean of losses", "penalty not halved", "classes weighted", "one against the rest"])
def test_wrong_objectives_keep_the_contract_all_the_same(name):
    def scores(x, y, query):
        return WRONG[name](SupportSet(x.double(), y, int(y.max()) + 1), query.double(), 0.1).to(query)

    check_learner(from_function(scores), tolerance=1e-4, numbers=False)  # solvers of others warn at such sizes


def test_it_keeps_the_contract():
    check_learner(LogisticRegression())


def test_two_classes_share_one_penalised_weight_vector():
    support, query, _ = episode((3, 2), 4, spread=2.0)
    weights, intercept = multinomial_logistic(support.x, one_hot(support), 1.0)
    logits = query @ weights + intercept  # multinomial form: both vectors penalised
    with pytest.raises(AssertionError):
        assert_close(logits.log_softmax(-1), sklearns(support, query), rtol=1e-5, atol=1e-5)
    assert_close(LogisticRegression().adapt(support)(query), sklearns(support, query), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-3, 30.0, 1e3])
def test_any_scale_of_features_converges(scale):
    """The gradient of the objective vanishes; scikit-learn itself stops too early at the largest scale."""
    support, _, _ = episode((5, 2, 3), 16)
    x = support.x * scale
    weights, intercept = multinomial_logistic(x, one_hot(support), 1.0)
    p = (x @ weights + intercept).softmax(-1)
    error = p - torch.nn.functional.one_hot(support.y, 3)
    assert_close(x.mT @ error + weights, torch.zeros_like(weights), rtol=0, atol=1e-7 * scale)
    assert_close(error.sum(0), torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-7)


def test_repeated_and_constant_items_are_no_obstacle():
    y = torch.tensor([0, 1, 2, 0])
    support = SupportSet(torch.ones(4, 6, dtype=torch.float64), y, 3)
    scores = LogisticRegression().adapt(support)(torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator()))
    assert_close(scores.exp(), torch.tensor([[0.5, 0.25, 0.25]] * 2, dtype=torch.float64), rtol=1e-6, atol=1e-6)


@settings(max_examples=10)
@given(episodes(), st.floats(-50, 50))
def test_scores_are_normalised_and_do_not_move_with_the_origin(case, offset):
    support, query, _ = case
    scores = LogisticRegression().adapt(support)(query)
    assert_close(scores.exp().sum(-1), torch.ones(len(query), dtype=torch.float64))
    moved = SupportSet(support.x + offset, support.y, support.n_way)
    assert_close(LogisticRegression().adapt(moved)(query + offset), scores, rtol=1e-6, atol=1e-6)


def test_scores_have_the_type_of_the_queries():
    support, query, _ = episode((2, 3), dtype=torch.float32)
    scores = LogisticRegression().adapt(support)(query)
    assert scores.dtype == torch.float32
    exact = LogisticRegression().adapt(SupportSet(support.x.double(), support.y, 2))(query.double())
    assert_close(scores, exact.float(), rtol=1e-5, atol=1e-6)


def test_one_way_is_certain():
    support, query, _ = episode((3,), queries=2)
    assert LogisticRegression().adapt(support)(query).tolist() == [[0.0], [0.0]]


def test_a_known_number():
    """One item a class at -1 and 1, where w = 2 / (1 + exp(w)); SciPy's brentq gives 0.6748316143423994."""
    x = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    scores = LogisticRegression().adapt(SupportSet(x, torch.tensor([0, 1]), 2))(torch.ones(1, 1, dtype=torch.float64))
    assert_close((scores[0, 1] - scores[0, 0]).item(), 0.6748316143423994, rtol=0, atol=1e-6)


def test_errors_say_what_must_hold():
    for C in (0.0, -1.0, float("nan")):
        with pytest.raises(FewShotError, match=f"C must be above 0, got {C}"):
            LogisticRegression(C)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        LogisticRegression().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
    with pytest.raises(EpisodeError, match="features must be finite, got NaN or infinity in the support"):
        LogisticRegression().adapt(SupportSet(torch.tensor([[0.0], [torch.nan]]), torch.tensor([0, 1]), 2))


def test_gradients_to_the_support_are_refused_and_those_to_queries_flow():
    support, query, _ = episode((2, 3))
    asked = SupportSet(support.x.requires_grad_(), support.y, 2)
    with pytest.raises(FewShotError, match="cannot train a backbone through its support; adapt under no_grad"):
        LogisticRegression().adapt(asked)
    with torch.no_grad():
        classify = LogisticRegression().adapt(asked)
    torch.autograd.gradcheck(classify, query.clone().requires_grad_())
