"""Scores of transferability: each by a slow formula of its own, at its ends, and against wrong formulas."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from fewshot.errors import StatisticsError
from fewshot.statistics.transferability.h_score import h_score
from fewshot.statistics.transferability.leep import leep
from fewshot.statistics.transferability.log_me import log_me
from fewshot.statistics.transferability.nce import negative_conditional_entropy
from fewshot.statistics.transferability.trans_rate import trans_rate

RNG = np.random.default_rng(0)
Y = RNG.permutation(np.repeat([2, 5, 7], [9, 14, 22]))  # unbalanced, and no places from 0
THETA = RNG.dirichlet([0.3, 0.5, 0.8, 1.0], len(Y))
X = RNG.normal(size=(3, 6))[np.searchsorted([2, 5, 7], Y)] + RNG.normal(size=(len(Y), 6)) * [1, 2, 0.5, 1, 3, 1] + 0.7


def leep_oracle(theta, y, slip=None):
    n, total = len(y), 0.0
    for i, own in enumerate(y):
        likelihood = 0.0
        for z in range(theta.shape[1]):
            both = sum(theta[j, z] for j in range(n) if y[j] == own) / n
            marginal = sum(theta[j, z] for j in range(n)) / n
            if slip == "no marginal":
                marginal = 1.0
            if slip == "share of the class":
                marginal = sum(y == own) / n
            likelihood += both / marginal * (1.0 if slip == "no answer" else theta[i, z])
        total += math.log(likelihood)
    return total / n


def nce_oracle(z, y, slip=None):
    found = 0.0
    for a, b in itertools.product(set(z.tolist()), set(y.tolist())):
        both = np.mean((z == a) & (y == b))
        if both:
            of = np.mean(y == b) if slip == "given the label" else 1.0 if slip == "joint" else np.mean(z == a)
            found += both * math.log(both / of) * (-1 if slip == "sign" else 1)
    return found


def h_oracle(x, y, slip=None):
    x = x - (0 if slip == "not centred" else x.mean(0))
    g = np.array([x[y == own].mean(0) for own in y])
    if slip == "classes of one weight":
        g = np.array([x[y == own].mean(0) for own in sorted(set(y.tolist()))])
    f = x - g if slip == "within" else x
    return np.trace(np.linalg.inv(f.T @ f / len(x)) @ (g.T @ g / len(g)))


def evidence(x, y, alpha, beta):
    """The n by n Gaussian log-density of the labels of one class."""
    return multivariate_normal.logpdf(y, np.zeros(len(y)), x @ x.T / alpha + np.eye(len(y)) / beta)


def log_me_oracle(x, y, slip=None):
    found = []
    for own in sorted(set(y.tolist())):
        target = (y == own).astype(float)
        if slip == "labels of both signs":
            target = 2 * target - 1
        if slip == "centred labels":
            target = target - target.mean()
        best = minimize(
            lambda v, t=target: -evidence(x, t, *np.exp(v)), np.zeros(2), method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000},
        )  # fmt: skip
        found.append(-best.fun if slip != "of one prior" else evidence(x, target, 1.0, 1.0))
    return np.mean(found) / (1 if slip == "not a row" else len(y))


def rate_oracle(x, y, epsilon, equal=False, slip=None):
    x = x - (0 if slip == "not centred" else x.mean(0))

    def rate(z):
        values = np.linalg.eigvalsh(z.T @ z / ((1 if slip == "sums" else len(z)) * epsilon))
        return 0.5 * sum(math.log1p(max(v, 0.0)) for v in values)

    within = 0.0
    for own in set(y.tolist()):
        block = x[y == own]
        block = block - block.mean(0) if slip == "blocks centred" else block
        within += rate(block) * (1 / len(set(y.tolist())) if equal else len(block) / len(x))
    return rate(x) - within


def test_leep_is_the_sums_written_out():
    assert leep(THETA, Y) == pytest.approx(leep_oracle(THETA, Y), rel=1e-12)


def test_nce_is_the_sum_over_pairs():
    assert negative_conditional_entropy(THETA.argmax(1), Y) == pytest.approx(nce_oracle(THETA.argmax(1), Y), rel=1e-12)


def test_h_score_without_shrinkage_is_the_trace():
    assert h_score(X, Y, shrink=False) == pytest.approx(h_oracle(X, Y), rel=1e-10)


def test_h_score_with_shrinkage_is_the_trace_of_the_shrunk_matrix():
    for x in (X, np.concatenate([X, RNG.normal(size=(len(X), 60))], 1)):
        centred = x - x.mean(0)
        g = np.array([centred[own == Y].mean(0) for own in Y])
        covariance, weight = ledoit_wolf(centred, assume_centered=True)
        expected = (1 - weight) * np.trace(np.linalg.inv(covariance) @ g.T @ g / len(x))
        assert h_score(x, Y) == pytest.approx(expected, rel=1e-9)


def test_log_me_is_the_greatest_gaussian_density():
    assert log_me(X, Y) == pytest.approx(log_me_oracle(X, Y), rel=1e-6)


@pytest.mark.parametrize("weigh", ["rows", "classes"])
def test_trans_rate_is_the_difference_of_rates(weigh):
    assert trans_rate(X, Y, 0.1, weigh) == pytest.approx(rate_oracle(X, Y, 0.1, weigh == "classes"), rel=1e-10)


def test_trans_rate_is_the_same_by_either_gram_matrix():
    wide = np.concatenate([X, np.zeros((len(X), 80))], 1)
    assert trans_rate(wide, Y, 0.1) == pytest.approx(trans_rate(X, Y, 0.1), rel=1e-10)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["no marginal", "share of the class", "no answer"])
def test_wrong_leep_fails(slip):
    assert leep(THETA, Y) != pytest.approx(leep_oracle(THETA, Y, slip), rel=1e-6)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["given the label", "joint", "sign"])
def test_wrong_nce_fails(slip):
    z = THETA.argmax(1)
    assert negative_conditional_entropy(z, Y) != pytest.approx(nce_oracle(z, Y, slip), rel=1e-6)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["not centred", "classes of one weight", "within"])
def test_wrong_h_scores_fail(slip):
    assert h_score(X, Y, shrink=False) != pytest.approx(h_oracle(X, Y, slip), rel=1e-6)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["labels of both signs", "centred labels", "of one prior", "not a row"])
def test_wrong_evidence_fails(slip):
    assert log_me(X, Y) != pytest.approx(log_me_oracle(X, Y, slip), rel=1e-4)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["not centred", "sums", "blocks centred"])
def test_wrong_rates_fail(slip):
    assert trans_rate(X, Y, 0.1) != pytest.approx(rate_oracle(X, Y, 0.1, slip=slip), rel=1e-6)


def test_a_sure_source_that_tells_the_target_apart_has_the_best_scores():
    places = np.searchsorted([2, 5, 7], Y)
    sure = np.eye(3)[places]
    assert leep(sure, Y) == pytest.approx(0) and negative_conditional_entropy(places, Y) == pytest.approx(0)
    flat = np.full((len(Y), 4), 0.25)
    shares = np.bincount(places) / len(Y)
    assert leep(flat, Y) == pytest.approx(float((shares * np.log(shares)).sum()))


def test_leep_is_at_least_nce_plus_the_log_of_the_sure_answers():
    """Property of the paper, section 4."""
    z = THETA.argmax(1)
    sure = np.log(THETA[np.arange(len(z)), z]).mean()
    assert leep(THETA, Y) >= negative_conditional_entropy(z, Y) + sure


def test_h_score_lies_between_0_and_the_classes_and_does_not_change_with_the_basis():
    turned = X @ RNG.normal(size=(6, 6)) + 3
    assert 0 < h_score(X, Y, shrink=False) < 2
    assert h_score(turned, Y, shrink=False) == pytest.approx(h_score(X, Y, shrink=False), rel=1e-8)


def test_shrinkage_tells_noise_from_features_where_rows_are_few():
    noise = RNG.normal(size=(len(Y), 200))
    assert h_score(noise, Y, shrink=False) == pytest.approx(2.0)  # the most, for features that know nothing
    assert h_score(noise, Y) < 0.3 < h_score(X, Y)


def test_better_features_have_better_scores():
    noise = RNG.normal(size=X.shape)
    apart = noise + 5 * RNG.normal(size=(3, 6))[np.searchsorted([2, 5, 7], Y)]
    for score in (h_score, log_me, trans_rate):
        assert score(apart, Y) > score(noise, Y)


def test_a_perfect_fit_has_a_finite_evidence():
    assert math.isfinite(log_me(np.eye(3)[np.searchsorted([2, 5, 7], Y)], Y))


SCORES = {
    "leep": lambda x, y: leep(x, y),
    "nce": lambda x, y: negative_conditional_entropy(x.argmax(1), y),
    "h": lambda x, y: h_score(x, y),
    "log_me": lambda x, y: log_me(x, y),
    "trans_rate": lambda x, y: trans_rate(x, y),
}


@pytest.mark.parametrize("name", SCORES)
def test_one_class_is_refused(name, no_shape_hook):
    with pytest.raises(StatisticsError, match="needs two classes or more, got 1"):
        SCORES[name](THETA, np.zeros(len(Y), int))
    with pytest.raises(StatisticsError, match="one for each of 45 rows"):
        SCORES[name](THETA, Y[:-1])


@pytest.mark.parametrize("name", ["h", "log_me", "trans_rate", "leep"])
def test_numbers_must_be_finite(name):
    wrong = THETA.copy()
    wrong[3, 1] = np.nan
    with pytest.raises(StatisticsError, match="finite"):
        SCORES[name](wrong, Y)


def test_other_bad_input():
    with pytest.raises(StatisticsError, match="probabilities"):
        leep(X, Y)
    with pytest.raises(StatisticsError, match="epsilon must be above 0"):
        trans_rate(X, Y, 0.0)
