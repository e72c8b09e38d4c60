"""Figures of zero-shot learning: SciPy's bootstrap and plain formulas, coverage in simulation, limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import NEW_CLASSES, OPEN
from fewshot.statistics.per_class import (
    ClassCounts,
    bootstrap,
    class_interval,
    harmonic_interval,
    harmonic_mean,
    image_interval,
)

COUNTS = ClassCounts(np.array([3, 40, 10, 0]), np.array([10, 50, 11, 7]))
SEEN = ClassCounts(np.array([60, 9, 20]), np.array([80, 12, 30]))


def answers(counts):
    """One array of right (1) and wrong (0) answers for each class."""
    return [np.arange(n) < k for k, n in zip(counts.correct, counts.items, strict=True)]


def test_classes_weigh_equally():
    assert COUNTS.mean == pytest.approx(np.mean([0.3, 0.8, 10 / 11, 0]))
    assert COUNTS.mean != pytest.approx(COUNTS.correct.sum() / COUNTS.items.sum(), abs=0.05)


def test_interval_for_new_images_is_the_sum_of_the_classes_errors():
    own = [stats.sem(a) for a in answers(COUNTS)]  # s / sqrt(n) with ddof 1 is sqrt(u (1 - u) / (n - 1))
    half = stats.norm.ppf(0.975) * np.sqrt(np.square(own).sum()) / 4
    interval = image_interval(COUNTS)
    assert (interval.half_width, interval.estimand, interval.count) == (pytest.approx(half), OPEN, 78)
    pooled = stats.norm.ppf(0.975) * stats.sem(np.concatenate(answers(COUNTS)))
    assert abs(interval.half_width - pooled) > 0.01  # the wrong formula: all images as one class


def test_interval_for_new_classes_is_students():
    low, high = stats.t.interval(0.9, 3, loc=COUNTS.mean, scale=stats.sem(COUNTS.accuracies))
    interval = class_interval(COUNTS, 0.9)
    assert (interval.low, interval.high) == (pytest.approx(max(low, 0)), pytest.approx(min(high, 1)))
    assert (interval.estimand, interval.count) == (NEW_CLASSES, 4)


def test_bootstrap_of_images_is_scipys():
    def mean(*parts, axis):
        return np.mean([p.mean(axis) for p in parts], 0)

    theirs = stats.bootstrap(answers(COUNTS), mean, method="percentile", n_resamples=20_000, rng=0).confidence_interval
    ours = bootstrap(COUNTS, draws=20_000, seed=1)["unseen"]
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.004), pytest.approx(theirs.high, abs=0.004))


def test_bootstrap_of_classes_draws_classes_first():
    rng, means = np.random.default_rng(0), []
    for _ in range(4000):
        drawn = [answers(COUNTS)[k] for k in rng.integers(4, size=4)]
        means.append(np.mean([rng.choice(a, len(a)).mean() for a in drawn]))
    ours = bootstrap(COUNTS, new_classes=True, draws=20_000)["unseen"]
    assert (ours.low, ours.high) == (
        pytest.approx(np.quantile(means, 0.025), abs=0.02),
        pytest.approx(np.quantile(means, 0.975), abs=0.02),
    )
    assert ours.half_width > 2 * bootstrap(COUNTS)["unseen"].half_width


def test_harmonic_interval_agrees_with_the_bootstrap():
    delta, resampled = harmonic_interval(COUNTS, SEEN), bootstrap(COUNTS, SEEN, draws=20_000)["harmonic"]
    assert delta.estimate == resampled.estimate == pytest.approx(stats.hmean([COUNTS.mean, SEEN.mean]))
    assert delta.half_width == pytest.approx(resampled.half_width, rel=0.05)
    u, s, step = COUNTS.mean, SEEN.mean, 1e-6
    slopes = [
        (stats.hmean([u + step, s]) - stats.hmean([u, s])) / step,
        (stats.hmean([u, s + step]) - stats.hmean([u, s])) / step,
    ]
    errors = [image_interval(c).half_width for c in (COUNTS, SEEN)]
    assert delta.half_width == pytest.approx(np.hypot(slopes[0] * errors[0], slopes[1] * errors[1]), rel=1e-4)
    assert delta.half_width != pytest.approx(
        np.hypot(slopes[1] * errors[0], slopes[0] * errors[1]), rel=0.05
    )  # slopes swapped


def test_same_seed_same_interval_and_one_replicate_serves_all():
    assert bootstrap(COUNTS, SEEN) == bootstrap(COUNTS, SEEN)
    assert bootstrap(COUNTS, SEEN)["unseen"].low == bootstrap(COUNTS)["unseen"].low


@pytest.mark.parametrize("new_classes", [False, True])
def test_coverage(new_classes):
    """Fifty unseen classes around 12 %, as in the literature; the truth is fixed, or drawn with the classes."""
    rng, hits = np.random.default_rng(3), 0
    items = rng.integers(20, 120, size=50)
    fixed = rng.beta(1.2, 8.8, size=50)
    for _ in range(300):
        u = rng.beta(1.2, 8.8, size=50) if new_classes else fixed
        counts = ClassCounts(rng.binomial(items, u), items)
        interval = bootstrap(counts, new_classes=new_classes, draws=400)["unseen"]
        hits += interval.low <= (0.12 if new_classes else fixed.mean()) <= interval.high
    assert 0.9 <= hits / 300 <= 0.99


@given(st.floats(0, 1), st.floats(0, 1))
def test_harmonic_mean_lies_between_the_smaller_and_twice_it(u, s):
    h = float(harmonic_mean(u, s))
    low, high = min(u, s), max(u, s)
    assert low * (1 - 1e-12) <= h <= min(high, 2 * low) * (1 + 1e-12) or low * high < 1e-300
    if low > 1e-100:
        assert h == pytest.approx(stats.hmean([u, s]))


def test_ends():
    assert float(harmonic_mean(0.0, 0.0)) == 0
    none = ClassCounts(np.zeros(4, int), np.full(4, 10))
    assert bootstrap(none, SEEN)["harmonic"].high == 0 and harmonic_interval(none, SEEN).estimate == 0
    assert image_interval(ClassCounts(np.array([10]), np.array([10]))).half_width == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ClassCounts(np.array([3]), np.array([2])), r"0 <= correct <= items and at least one item, got correct in 3\.\.3"),
        (lambda: ClassCounts(np.array([0]), np.array([0])), r"at least one item, got correct in 0\.\.0 and items in 0\.\.0"),
        (lambda: ClassCounts(np.array([], int), np.array([], int)), r"every class needs two counts, got shapes \(0,\)"),
        (lambda: image_interval(ClassCounts(np.array([1]), np.array([1]))), r"two items of each class, got one"),
        (lambda: class_interval(ClassCounts(np.array([1]), np.array([2]))), r"two classes or more, got one"),
        (lambda: bootstrap(COUNTS, level=95.0), r"a level lies between 0 and 1, got 95"),
    ],
)  # fmt: skip
def test_errors(make, message):
    with pytest.raises(StatisticsError, match=message):
        make()
