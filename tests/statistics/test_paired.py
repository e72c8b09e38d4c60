"""Paired comparisons: SciPy's permutation test and Holm by closure as oracles, planted mistakes."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import CLOSED, NEW_CLASSES, OPEN, TRAINING_RUNS
from fewshot.statistics.new_classes import class_interval, class_p
from fewshot.statistics.paired import compare_all, holm, paired_difference, sign_flip_p

EPISODES = arrays(np.float64, (2, 12), elements=st.integers(0, 15).map(lambda n: n / 15))


def exact_sign_flip_p(steps):
    return stats.permutation_test((np.array(steps),), np.sum, permutation_type="samples", n_resamples=np.inf).pvalue


def correlated(rng, episodes=60, gap=0.02):
    """Two methods on episodes of common difficulty, the first better by ``gap``."""
    difficulty = rng.normal(0.6, 0.1, episodes)
    a, b = (np.clip(difficulty + rng.normal(m, 0.03, episodes), 0, 1) for m in (gap, 0))
    return (a * 75).round() / 75, (b * 75).round() / 75


@given(EPISODES)
def test_the_paired_interval_is_scipys(pair):
    a, b = pair
    interval = paired_difference(a, b)
    reverse = paired_difference(b, a)
    assert_allclose([reverse.low, reverse.high], [-interval.high, -interval.low], atol=1e-12)
    if np.ptp(a - b) > 1e-9:
        exact = stats.ttest_rel(a, b).confidence_interval(0.95)
        assert_allclose([interval.low, interval.high], [exact.low, exact.high], rtol=1e-8, atol=1e-12)


WRONG_DIFFERENCES = {
    "unpaired variance": lambda a, b: np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a)),
    "ddof 0": lambda a, b: (a - b).std() / np.sqrt(len(a)),
    "covariance taken once": lambda a, b: np.sqrt((a.var(ddof=1) + b.var(ddof=1) - np.cov(a, b)[0, 1]) / len(a)),
    "covariance added": lambda a, b: np.sqrt((a.var(ddof=1) + b.var(ddof=1) + 2 * np.cov(a, b)[0, 1]) / len(a)),
    "no root of T": lambda a, b: (a - b).std(ddof=1),
    "both half widths": lambda a, b: stats.sem(a) + stats.sem(b),
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_DIFFERENCES.values(), ids=WRONG_DIFFERENCES)
def test_wrong_standard_errors_are_caught(wrong):
    a, b = correlated(np.random.default_rng(0))
    exact = stats.ttest_rel(a, b).confidence_interval(0.95)
    half = (exact.high - exact.low) / 2
    with pytest.raises(AssertionError):
        assert_allclose(stats.t.ppf(0.975, len(a) - 1) * wrong(a, b), half, rtol=1e-3)
    assert_allclose(paired_difference(a, b).half_width, half, rtol=1e-9)


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=9))
def test_sign_flips_agree_with_all_sign_patterns(steps):
    exact = exact_sign_flip_p(steps)  # in whole steps, so that ties are ties
    p = sign_flip_p(np.array(steps) / 15, np.random.default_rng(0), 20_000)
    assert abs(p - exact) < 0.02  # five standard errors of 20,000 flips


def test_sign_flips_of_many_different_values_in_blocks():
    rng = np.random.default_rng(1)
    differences = rng.normal(0.1, 1, 500)  # 500 sizes, so the flips come in several blocks
    p = sign_flip_p(differences, np.random.default_rng(0))
    assert abs(p - stats.ttest_1samp(differences, 0).pvalue) < 0.02
    assert p == sign_flip_p(differences, np.random.default_rng(0))
    assert p != sign_flip_p(differences, np.random.default_rng(1))


def test_extreme_sign_flip_values():
    rng = np.random.default_rng(0)
    assert sign_flip_p(np.full(40, 0.2), rng, 999) == 1 / 1000  # never 0
    assert sign_flip_p(np.zeros(40), rng) == 1.0
    assert sign_flip_p(np.array([0.2, -0.2] * 20), rng) == 1.0


def wrong_shuffle(d, rng):
    """Permuting the values instead of the signs leaves the sum where it is."""
    sums = [rng.permutation(d).sum() for _ in range(2000)]
    return np.mean(np.abs(sums) >= abs(d.sum()) - 1e-12)


def wrong_one_sided(d, rng):
    return np.mean((rng.choice([-1, 1], (2000, len(d))) @ d) >= d.sum() - 1e-12)


def wrong_strict(d, rng):
    """Ties do not count: far too small with few episodes."""
    return np.mean(np.abs(rng.choice([-1, 1], (2000, len(d))) @ d) > abs(d.sum()) + 1e-12)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", [wrong_shuffle, wrong_one_sided, wrong_strict])
def test_wrong_sign_flips_are_caught(wrong):
    d = np.array([0.1, 0.2, 0.2, 0.1, -0.1])
    exact = exact_sign_flip_p([1, 2, 2, 1, -1])
    with pytest.raises(AssertionError):
        assert_allclose(wrong(d, np.random.default_rng(0)), exact, atol=0.03)
    assert_allclose(sign_flip_p(d, np.random.default_rng(0)), exact, atol=0.03)


def holm_by_closure(p_values):
    """A hypothesis falls with every set that holds it; sets are tested by Bonferroni."""
    m = len(p_values)
    sets = [s for size in range(1, m + 1) for s in combinations(range(m), size)]
    return [max(min(1, len(s) * min(p_values[j] for j in s)) for s in sets if i in s) for i in range(m)]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_holm_is_the_closure_of_bonferroni(p_values):
    assert_allclose(holm(np.array(p_values)), holm_by_closure(p_values), rtol=1e-12, atol=1e-15)


def without_monotone_step(p):
    return np.minimum(1, np.sort(p) * np.arange(len(p), 0, -1))[np.argsort(np.argsort(p))]


WRONG_HOLM = {
    "no monotone step": without_monotone_step,
    "Bonferroni": lambda p: np.minimum(1, p * len(p)),
    "Hochberg (minimum from above)": lambda p: np.minimum.accumulate((np.sort(p) * np.arange(len(p), 0, -1))[::-1])[
        ::-1
    ][np.argsort(np.argsort(p))],
    "Benjamini-Hochberg": stats.false_discovery_control,
    "sorted, not in the order given": lambda p: np.sort(holm_by_closure(p)),
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_HOLM.values(), ids=WRONG_HOLM)
def test_wrong_corrections_are_caught(wrong):
    p_values = np.array([0.3, 0.010, 0.011, 0.04, 0.031])
    expected = holm_by_closure(p_values)
    with pytest.raises(AssertionError):
        assert_allclose(wrong(p_values), expected, rtol=1e-6)
    assert_allclose(holm(p_values), expected, rtol=1e-12)


def test_reused_images_get_no_p_value():
    a, b = correlated(np.random.default_rng(0), gap=0.1)
    (one,) = compare_all(b, {"better": a})
    assert (one.p_value, one.adjusted, one.difference.estimand) == (None, None, CLOSED)
    assert one.test.startswith("none")
    assert_allclose(one.difference.estimate, a.mean() - b.mean())  # positive: better than the reference


def test_disjoint_episodes_get_sign_flips_and_holm():
    rng = np.random.default_rng(0)
    base, others = correlated(rng)[1], {}
    for gap in (0.3, 0.0, 0.02):
        others[f"by {gap}"] = np.clip(base + rng.normal(gap, 0.1, len(base)), 0, 1)
    found = compare_all(base, others, OPEN, rng=np.random.default_rng(1))
    assert [c.name for c in found] == list(others)
    assert all(c.test == "sign flip" and c.difference.estimand == OPEN for c in found)
    assert_allclose([c.adjusted for c in found], holm_by_closure([c.p_value for c in found]))
    assert found[0].adjusted < 0.05 < found[1].adjusted
    again = compare_all(base, others, OPEN, rng=np.random.default_rng(1))
    assert found == again


def test_new_classes_make_the_class_the_unit():
    rng = np.random.default_rng(0)
    classes = rng.permuted(np.tile(np.arange(12), (60, 1)), axis=1)[:, :3]
    a, b = correlated(rng)
    (one,) = compare_all(a, {"b": b}, NEW_CLASSES, classes=classes, level=0.9)
    assert one.difference == class_interval(b - a, classes, 0.9)
    assert one.p_value == one.adjusted == class_p(b - a, classes)


def test_no_other_method_is_no_comparison():
    assert_array_equal(compare_all(np.array([0.1, 0.2]), {}), [])
    assert_array_equal(holm(np.array([])), [])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paired_difference(np.zeros(3), np.zeros(4)), "the same episodes, got 3 and 4"),
        (lambda: paired_difference(np.zeros(1), np.zeros(1)), "two or more values"),
        (lambda: sign_flip_p(np.array([0.1, 0.2]), None, 0), "at least one flip, got 0"),
        (lambda: holm(np.array([0.1, 1.1])), r"0..1, got \[0.1, 1.1\]"),
        (lambda: compare_all(np.zeros(3), {"a": np.ones(3)}, OPEN), "needs rng.*'new images"),
        (lambda: compare_all(np.zeros(3), {"a": np.ones(3)}, NEW_CLASSES), "needs classes"),
        (lambda: compare_all(np.zeros(3), {"a": np.ones(3)}, TRAINING_RUNS), "'new training runs'"),
    ],
)
def test_what_cannot_be_answered_is_refused(call, message, no_shape_hook):
    with pytest.raises(StatisticsError, match=message):
        call()


def test_simulated_size_of_sign_flips_with_skewed_differences():
    rng = np.random.default_rng(0)
    ps = []
    for _ in range(1000):
        a, b = rng.binomial(15, rng.beta(19, 1, size=40), size=(2, 40)) / 15
        ps.append(sign_flip_p(a - b, rng, 499))
    assert 0.03 < np.mean(np.array(ps) <= 0.05) < 0.067
