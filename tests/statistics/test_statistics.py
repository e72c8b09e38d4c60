"""Intervals of one mean: SciPy as oracle, planted mistakes, and simulated coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from scipy import stats

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import CLOSED, OPEN, TRAINING_RUNS, Interval
from fewshot.statistics.mean_accuracy import (
    closed_interval,
    episode_accuracies,
    fifth_percentile,
    logit_interval,
    open_interval,
    seed_interval,
    t_interval,
)

LEVELS = st.floats(0.5, 0.995)
ACCURACIES = arrays(np.float64, st.integers(2, 40), elements=st.integers(0, 75).map(lambda n: n / 75))


def ends(interval):
    return interval.low, interval.high


def oracle(values, level):
    """SciPy's own interval; it uses the standard error with ddof 1."""
    return stats.t.interval(level, len(values) - 1, loc=values.mean(), scale=stats.sem(values))


def logit_oracle(accuracies, level):
    """The delta method by a numerical derivative instead of 1 / (A (1 - A))."""
    mean, step = accuracies.mean(), 1e-6
    slope = (np.log((mean + step) / (1 - mean - step)) - np.log((mean - step) / (1 - mean + step))) / (2 * step)
    half = stats.t.ppf((1 + level) / 2, len(accuracies) - 1) * stats.sem(accuracies) * slope
    low, high = (mean / (1 - mean) * np.exp(sign * half) for sign in (-1, 1))
    return low / (1 + low), high / (1 + high)


WRONG_T = {
    "ddof 0": lambda a: stats.t.ppf(0.975, len(a) - 1) * a.std() / len(a) ** 0.5,
    "1.96 for t": lambda a: 1.96 * a.std(ddof=1) / len(a) ** 0.5,
    "no root of T": lambda a: stats.t.ppf(0.975, len(a) - 1) * a.std(ddof=1),
    "root of T - 1 with ddof 1": lambda a: stats.t.ppf(0.975, len(a) - 1) * a.std(ddof=1) / (len(a) - 1) ** 0.5,
    "root of T + 1": lambda a: 1.96 * a.std() / (len(a) + 1) ** 0.5,
    "T degrees of freedom": lambda a: stats.t.ppf(0.975, len(a)) * a.std(ddof=1) / len(a) ** 0.5,
    "one-sided quantile": lambda a: stats.t.ppf(0.95, len(a) - 1) * a.std(ddof=1) / len(a) ** 0.5,
}
UNEVEN = np.array([0.4, 0.72, 0.56, 0.8, 0.24])


@given(ACCURACIES, LEVELS)
def test_t_interval_is_scipys(accuracies, level):
    interval = t_interval(accuracies, level)
    if np.ptp(accuracies) > 0:
        assert_allclose(ends(interval), oracle(accuracies, level), rtol=1e-10, atol=1e-12)
    assert_allclose(interval.estimate, sum(accuracies) / len(accuracies), rtol=1e-12)
    assert (interval.count, interval.level, interval.method) == (len(accuracies), level, "t")


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_T.values(), ids=WRONG_T)
def test_wrong_half_widths_are_caught(wrong):
    low, high = oracle(UNEVEN, 0.95)
    with pytest.raises(AssertionError):
        assert_allclose(wrong(UNEVEN), (high - low) / 2, rtol=1e-3)
    assert_allclose(t_interval(UNEVEN).half_width, (high - low) / 2, rtol=1e-10)


def test_three_runs_mean_a_factor_of_four():
    interval = seed_interval(np.array([0.49, 0.50, 0.51]))
    assert_allclose(interval.half_width, 4.3027 * 0.01 / 3**0.5, rtol=1e-4)  # t table, 2 d.f.
    assert (interval.estimand, interval.count) == (TRAINING_RUNS, 3)


@given(ACCURACIES.filter(lambda a: 0 < a.mean() < 1), LEVELS)
def test_logit_interval_is_the_delta_method(accuracies, level):
    interval = logit_interval(accuracies, level)
    assert 0 <= interval.low <= interval.high <= 1
    assert_allclose(ends(interval), logit_oracle(accuracies, level), rtol=1e-4, atol=1e-6)


WRONG_LOGIT = {
    "variance of the logit of each episode": lambda a: np.log(a / (1 - a)).std(ddof=1) / len(a) ** 0.5,
    "slope A (1 - A) inverted": lambda a: stats.sem(a) * a.mean() * (1 - a.mean()),
    "slope of the log, not the logit": lambda a: stats.sem(a) / a.mean(),
    "binomial error of one query": lambda a: (len(a) * a.mean() * (1 - a.mean())) ** -0.5,
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_LOGIT.values(), ids=WRONG_LOGIT)
def test_wrong_logit_errors_are_caught(wrong):
    accuracies = np.array([0.9, 0.99, 0.96, 0.98, 0.94, 0.97])
    expected = logit_oracle(accuracies, 0.95)
    odds = np.log(accuracies.mean() / (1 - accuracies.mean()))
    half = stats.t.ppf(0.975, 5) * wrong(accuracies)
    with pytest.raises(AssertionError):
        assert_allclose([1 / (1 + np.exp(-odds + half)), 1 / (1 + np.exp(-odds - half))], expected, atol=1e-3)
    assert_allclose(ends(logit_interval(accuracies)), expected, atol=1e-8)


def test_wrong_answers_mirror_right_ones():
    accuracies = np.array([0.9, 1.0, 0.96, 0.98])
    low, high = ends(logit_interval(accuracies))
    assert_allclose(ends(logit_interval(1 - accuracies)), (1 - high, 1 - low), atol=1e-12)


@pytest.mark.parametrize(("images", "level"), [(1, 0.95), (59, 0.95), (300, 0.9)])
def test_all_right_gives_the_one_sided_clopper_pearson_bound(images, level):
    interval = closed_interval(np.full(5, 20), 20, images, level)
    exact = stats.binomtest(images, images, alternative="greater").proportion_ci(level, method="exact")
    assert_allclose(ends(interval), ends(exact), rtol=1e-10)
    assert (interval.estimate, interval.method, interval.count) == (1.0, "exact bound", images)
    mirrored = closed_interval(np.zeros(5, dtype=int), 20, images, level)
    assert_allclose(ends(mirrored), (0, 1 - exact.low), rtol=1e-10)


def test_rule_of_three():
    assert_allclose(1 - closed_interval(np.full(600, 5), 5, 1000).low, 3 / 1000, rtol=0.01)


def test_the_form_changes_at_nine_tenths():
    correct, one_more = np.array([17, 18, 19, 18]), np.array([0, 0, 1, 0])
    assert closed_interval(correct, 20).method == "t"  # mean 0.9 exactly
    assert closed_interval(correct + one_more, 20).method == "logit t"
    assert closed_interval(20 - correct, 20).method == "t"
    assert closed_interval(20 - correct - one_more, 20).method == "logit t"


def test_queries_may_differ_by_episode():
    assert_allclose(episode_accuracies(np.array([3, 4]), np.array([4, 16])), [0.75, 0.25])
    assert closed_interval(np.array([3, 4]), np.array([4, 16])).estimate == 0.5  # not pooled: 7 / 20


def test_open_interval_is_the_same_arithmetic_under_another_name():
    correct = np.random.default_rng(0).binomial(75, 0.6, 30)
    interval = open_interval(correct, 75)
    assert_allclose(ends(interval), oracle(correct / 75, 0.95), rtol=1e-10)
    assert (interval.estimand, interval.method, interval.count) == (OPEN, "t", 30)
    assert open_interval(np.full(40, 5), 5).count == 200  # every query image is a new one


def test_fifth_percentile_interpolates():
    accuracies = np.arange(21)[::-1] / 20
    assert_allclose(fifth_percentile(accuracies), 0.05)
    assert_allclose(fifth_percentile(np.array([0.2, 0.6])), 0.22)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: t_interval(np.array([0.5])), r"two or more values.*\(1,\)"),
        (lambda: t_interval(np.array([0.5, np.nan])), "must be finite, got nan"),
        (lambda: t_interval(UNEVEN, 95.0), "between 0 and 1, got 95.0; 95 % is 0.95"),
        (lambda: logit_interval(UNEVEN * 100), "fractions in 0..1, got 80.*divide percentages"),
        (lambda: logit_interval(UNEVEN - 0.3), "fractions in 0..1, got -0.06"),
        (lambda: fifth_percentile(UNEVEN * 100), "divide percentages"),
        (lambda: closed_interval(np.array([5, 5]), 5), "are right.*different query images, got None"),
        (lambda: closed_interval(np.array([0, 0]), 5, 0), "are wrong.*different query images, got 0"),
        (lambda: closed_interval(np.array([6, 5]), 5), "0 <= correct <= queries.*5..6"),
        (lambda: closed_interval(np.array([0, 0]), 0), "at least one query"),
        (lambda: closed_interval(np.array([], dtype=int), 5), "two or more values"),
        (lambda: open_interval(np.full(29, 3), 5), "at least 30 disjoint episodes, got 29"),
        (lambda: Interval(0.5, 0.6, 0.4, 0.95, "t", CLOSED, 2), "low <= high, got 0.6 and 0.4"),
        (lambda: Interval(0.5, 0.4, 0.6, 0.95, "t", "images", 2), "an estimand is one of.*'images'"),
    ],
)
def test_what_cannot_be_answered_is_refused(call, message, no_shape_hook):
    with pytest.raises(StatisticsError, match=message):
        call()


def coverage(draw, interval, truth, repeats):
    return np.mean([i.low <= truth <= i.high for i in (interval(draw()) for _ in range(repeats))])


def test_simulated_coverage_of_t_at_few_episodes():
    rng = np.random.default_rng(0)

    def draw():
        return rng.binomial(75, rng.beta(6, 4, size=5)) / 75

    held = coverage(draw, t_interval, 0.6, 3000)
    assert 0.935 < held < 0.965
    normal = [abs(a.mean() - 0.6) <= 1.96 * a.std() / 5**0.5 for a in (draw() for _ in range(3000))]
    assert np.mean(normal) < 0.87  # what 1.96 and ddof 0 would have given


def test_simulated_coverage_near_the_ceiling():
    rng = np.random.default_rng(0)

    def draw():
        return rng.binomial(25, 0.999, size=600)

    closed = coverage(draw, lambda c: closed_interval(c, 25, 2000), 0.999, 2000)
    plain = coverage(lambda: draw() / 25, t_interval, 0.999, 2000)
    assert closed > 0.93
    assert plain < closed - 0.01
    assert plain < 0.93
