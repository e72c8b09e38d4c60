"""Mahalanobis distance: scikit-learn's discriminant analysis, SciPy's Gaussian, inverses by NumPy."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.testing import assert_close

from fewshot.contract import SupportSet, per_episode
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import require_every_class
from fewshot.learners.metric.mahalanobis import Mahalanobis
from fewshot.testing import check_learner


def rows_of(support):
    x, y = support.x.double().numpy(), support.y.numpy()
    return [x[y == k] for k in range(support.n_way)]


def covariance(rows, divisor):
    apart = rows - rows.mean(0)
    return apart.T @ apart / max(divisor, 1)


def distances(query, means, covariances):
    """Half the squared distances, by inverses."""
    apart = query.double().numpy()[:, None] - np.stack(means)  # (q, n, dim)
    return torch.from_numpy(np.einsum("qnd,nde,qne->qn", apart, np.linalg.inv(np.stack(covariances)), apart) / 2)


def simple_cnaps(support, ridge=1.0):
    """Covariances of Bateni et al. (2020), one class at a time."""
    groups, x = rows_of(support), support.x.double().numpy()
    whole = covariance(x, len(x) - 1)
    for rows in groups:
        share = len(rows) / (len(rows) + 1)
        yield share * covariance(rows, len(rows) - 1) + (1 - share) * whole + ridge * np.eye(x.shape[1])


def per_class(support, query, ridge=1.0):
    return -distances(query, [rows.mean(0) for rows in rows_of(support)], list(simple_cnaps(support, ridge)))


def tied(support, query, shrinkage=0.5):
    groups, x = rows_of(support), support.x.double().numpy()
    within = sum(covariance(rows, 1) for rows in groups) / len(x)
    shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / x.shape[1] * np.eye(x.shape[1])
    return -distances(query, [rows.mean(0) for rows in groups], [shrunk] * len(groups))


def agree(learner, case, oracle):
    support, query, _ = case
    assert_close(learner.adapt(support)(query), oracle(support, query), rtol=1e-8, atol=1e-8)


@settings(max_examples=20)
@given(episodes(min_shot=2, max_shot=5), st.floats(0.05, 1))
def test_tied_is_scikit_learns_discriminant_analysis_with_equal_priors(case, shrinkage):
    support, query, _ = case
    fitted = LinearDiscriminantAnalysis("lsqr", shrinkage=shrinkage).fit(support.x.numpy(), support.y.numpy())
    theirs = torch.from_numpy(fitted.predict_log_proba(query.numpy()) - np.log(fitted.priors_)).log_softmax(-1)
    ours = Mahalanobis(shrinkage=shrinkage).adapt(support)(query)
    assert_close(ours.log_softmax(-1).exp(), theirs.exp(), rtol=1e-6, atol=1e-8)
    assert_close(ours, tied(support, query, shrinkage), rtol=1e-6, atol=1e-8)


@settings(max_examples=20)
@given(episodes(), st.floats(0.1, 10))
def test_per_class_is_the_formula_of_simple_cnaps(case, ridge):
    agree(Mahalanobis("class", ridge=ridge), case, lambda s, q: per_class(s, q, ridge))


@pytest.mark.parametrize("shots", [(2, 2), (7, 1, 3), (30, 12, 1, 9)])
@pytest.mark.parametrize("dim", [2, 10, 40])
def test_fewer_and_more_items_than_features(shots, dim):
    case = episode(shots, dim)
    agree(Mahalanobis(), case, tied)
    agree(Mahalanobis("class"), case, per_class)


@settings(max_examples=15)
@given(episodes())
def test_with_the_determinant_scores_are_gaussian_log_densities(case):
    support, query, _ = case
    groups = zip(rows_of(support), simple_cnaps(support), strict=True)
    theirs = np.stack([multivariate_normal(rows.mean(0), q).logpdf(query.numpy()) for rows, q in groups], -1)
    ours = Mahalanobis("class", log_determinant=True).adapt(support)(query)
    constant = query.shape[-1] * math.log(2 * math.pi) / 2
    assert_close(ours - constant, torch.from_numpy(theirs), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "learner", [Mahalanobis(), Mahalanobis("class"), Mahalanobis("class", 0.5, 0.3, True), Mahalanobis("tied", 0.1)]
)
def test_keeps_the_contract(learner):
    check_learner(learner)
    check_learner(learner, shots=(9, 4, 2))


# Planted wrong formulas -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """Per class, by inverses, with one slip."""

    factor = 0.5

    @per_episode
    def adapt(self, support):
        require_every_class(support.y, support.n_way)
        means, covariances = [rows.mean(0) for rows in rows_of(support)], list(self.covariances(support))
        return lambda query: (-2 * self.factor * distances(query, means, covariances)).to(query.dtype)

    def covariances(self, support):
        return simple_cnaps(support)


class WholeDistance(Wrong):
    """As the authors' code."""

    factor = 1.0


class Standardised(Wrong):
    """Variances without correlations."""

    def covariances(self, support):
        return [np.diag(np.diag(q)) for q in simple_cnaps(support)]


class Mixed(Wrong):
    """The covariance of the class and that of the whole support change places."""

    def covariances(self, support):
        groups, x = rows_of(support), support.x.double().numpy()
        for rows in groups:
            share = 1 / (len(rows) + 1)
            own, whole = covariance(rows, len(rows) - 1), covariance(x, len(x) - 1)
            yield share * own + (1 - share) * whole + np.eye(x.shape[1])


class DividedByCount(Wrong):
    """Divisor n_k instead of n_k - 1."""

    def covariances(self, support):
        groups, x = rows_of(support), support.x.double().numpy()
        for rows in groups:
            share = len(rows) / (len(rows) + 1)
            own, whole = covariance(rows, len(rows)), covariance(x, len(x))
            yield share * own + (1 - share) * whole + np.eye(x.shape[1])


WRONG = [WholeDistance, Standardised, Mixed, DividedByCount]


def test_the_frame_of_the_wrong_formulas_is_right():
    agree(Wrong(), episode((3, 1, 2)), per_class)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(wrong())
    with pytest.raises(AssertionError):
        agree(wrong(), episode((3, 1, 2)), per_class)


@dataclass(frozen=True)
class WrongTied:
    """Tied, by inverses, with one slip."""

    slip: str

    @per_episode
    def adapt(self, support):
        require_every_class(support.y, support.n_way)
        groups, x = rows_of(support), support.x.double().numpy()
        if self.slip == "whole support":
            within = covariance(x, len(x))
        elif self.slip == "mean of class covariances":
            within = sum(covariance(rows, len(rows)) for rows in groups) / len(groups)
        else:
            within = sum(covariance(rows, 1) for rows in groups) / (len(x) - len(groups))
        eye = np.eye(x.shape[1])
        if self.slip == "trace not divided":
            shrunk = within / 2 + np.trace(within) / 2 * eye
        else:
            shrunk = within / 2 + np.trace(within) / len(eye) / 2 * eye
        means = [rows.mean(0) for rows in groups]
        return lambda query: -distances(query, means, [shrunk] * len(groups)).to(query.dtype)


@pytest.mark.slip
@pytest.mark.parametrize(
    "slip", ["whole support", "mean of class covariances", "unbiased divisor", "trace not divided"]
)
def test_wrong_tied_formulas_pass_the_battery_and_fail_the_oracle(slip):
    check_learner(WrongTied(slip))
    with pytest.raises(AssertionError):
        agree(WrongTied(slip), episode((3, 1, 2)), tied)


# Edges ----------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(episodes(max_shot=1))
def test_without_two_examples_in_any_class_the_tied_covariance_is_the_identity(case):
    agree(Mahalanobis(), case, lambda s, q: -torch.cdist(q, s.x[s.y.argsort()]).square() / 2)


@settings(max_examples=15)
@given(episodes(min_shot=2), st.floats(0.1, 10))
def test_full_shrinkage_is_a_multiple_of_the_distance_and_tied_scores_do_not_move_with_the_scale(case, factor):
    support, query, _ = case
    full = Mahalanobis(shrinkage=1.0).adapt(support)(query)
    plain = torch.cdist(query, torch.stack([support.x[support.y == k].mean(0) for k in range(support.n_way)])).square()
    assert_close(full / plain, (full / plain)[:1, :1].expand_as(plain))
    grown = Mahalanobis().adapt(SupportSet(support.x * factor, support.y, support.n_way))(query * factor)
    assert_close(grown, Mahalanobis().adapt(support)(query), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("covariance", ["tied", "class"])
def test_a_batch_is_its_episodes_and_single_precision_is_close(covariance):
    support, query, _ = episode((3, 1, 2), 12, episodes=4)
    learner = Mahalanobis(covariance, log_determinant=True)
    alone = torch.stack([learner.adapt(support[k])(query[k]) for k in range(4)])
    assert_close(learner.adapt(support)(query), alone, rtol=1e-10, atol=1e-10)
    single = learner.adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, alone.float(), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("covariance", ["tied", "class"])
@pytest.mark.parametrize("dim", [2, 9])
def test_gradients_are_those_of_the_formula(covariance, dim):
    support, query, _ = episode((2, 1, 2), dim, queries=3)

    def scores(x, q):
        return Mahalanobis(covariance).adapt(SupportSet(x, support.y, 3))(q)

    torch.autograd.gradcheck(scores, (support.x.clone().requires_grad_(), query.clone().requires_grad_()))


def test_one_way_and_one_item():
    support, query, _ = episode((1,), queries=2)
    for covariance in ("tied", "class"):
        scores = Mahalanobis(covariance).adapt(support)(query)
        assert_close(scores, -torch.cdist(query, support.x).square() / 2)


def test_a_known_number():
    """By hand: S = diag(1, 0), so Q = diag(3/4, 1/4) at shrinkage 1/2, and the query is at (1, 1) from the first mean."""
    support = SupportSet(torch.tensor([[-1.0, 0.0], [3.0, 3.0], [1.0, 0.0], [5.0, 3.0]]), torch.tensor([0, 1, 0, 1]), 2)
    scores = Mahalanobis().adapt(support)(torch.tensor([[1.0, 1.0]]))
    assert_close(scores, torch.tensor([[-(4 / 3 + 4) / 2, -(9 * 4 / 3 + 4 * 4) / 2]]))


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="covariance must be 'tied' or 'class', got 'full'"):
        Mahalanobis("full")
    for shrinkage in (0.0, 1.1, math.nan):
        with pytest.raises(FewShotError, match=f"shrinkage must be above 0 and at most 1, got {shrinkage}"):
            Mahalanobis(shrinkage=shrinkage)
    with pytest.raises(FewShotError, match=r"ridge must be above 0, got 0\.0"):
        Mahalanobis(ridge=0.0)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        Mahalanobis().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
