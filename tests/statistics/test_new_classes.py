"""Class-level intervals: slow transcriptions, planted mistakes, and simulated coverage."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from fewshot.errors import StatisticsError
from fewshot.statistics.class_bootstrap import (
    class_bootstrap,
    class_bootstrap_interval,
    class_bootstrap_p,
)
from fewshot.statistics.interval import NEW_CLASSES
from fewshot.statistics.mean_accuracy import t_interval
from fewshot.statistics.new_classes import class_interval, class_p


def draw_classes(rng, episodes, n_way, count):
    return np.argsort(rng.random((episodes, count)), axis=1)[:, :n_way]


def unbalanced(seed, episodes=40, n_way=3, count=9):
    """Episodes that hold some classes more often, with ids that are no row numbers."""
    rng = np.random.default_rng(seed)
    keys = rng.exponential(size=(episodes, count)) * (1 + np.arange(count))
    classes = np.argsort(keys, axis=1)[:, :n_way]
    values = rng.integers(0, 16, episodes) / 15
    return values, rng.permutation(classes, axis=1) * 7 + 3


def slow_jackknife(values, classes):
    """Delete a class, average what is left, spread of those averages."""
    left = []
    for c in sorted(set(classes.ravel().tolist())):
        kept = [v for v, row in zip(values, classes, strict=True) if c not in row]
        left.append(sum(kept) / len(kept))
    count = len(left)
    return (sum((x - sum(left) / count) ** 2 for x in left) * (count - 1) / count) ** 0.5, count


@given(st.integers(0, 500), st.sampled_from([0.8, 0.95]))
def test_class_interval_deletes_one_class_at_a_time(seed, level):
    values, classes = unbalanced(seed)
    interval = class_interval(values, classes, level)
    error, count = slow_jackknife(values, classes)
    half = stats.t.ppf((1 + level) / 2, count - 1) * error
    assert_allclose([interval.low, interval.high], values.mean() + np.array([-half, half]), atol=1e-12)
    assert (interval.count, interval.estimand) == (count, NEW_CLASSES)


def query_accuracies(values, classes):
    """Mean of the episodes of each class, as if a class owned its episodes."""
    return np.array([values[(classes == c).any(1)].mean() for c in np.unique(classes)])


WRONG_ERRORS = {
    "episodes as units": lambda v, c: stats.sem(v),
    "spread over classes, others' share forgotten": lambda v, c: stats.sem(query_accuracies(v, c)),
    "jackknife without C - 1": lambda v, c: slow_jackknife(v, c)[0] / (len(np.unique(c)) - 1) ** 0.5,
    "jackknife with ddof 1": lambda v, c: slow_jackknife(v, c)[0] / (1 - 1 / len(np.unique(c))),
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_ERRORS.values(), ids=WRONG_ERRORS)
def test_wrong_errors_are_caught(wrong):
    values, classes = unbalanced(0)
    error, count = slow_jackknife(values, classes)
    with pytest.raises(AssertionError):
        assert_allclose(wrong(values, classes), error, rtol=1e-2)
    half = class_interval(values, classes).half_width
    assert_allclose(half, stats.t.ppf(0.975, count - 1) * error, rtol=1e-9)


@given(st.integers(0, 200))
def test_order_and_names_of_classes_do_not_matter(seed):
    values, classes = unbalanced(seed)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(values))
    renamed = -classes[rows][:, rng.permutation(classes.shape[1])]
    assert_allclose(class_interval(values[rows], renamed).half_width, class_interval(values, classes).half_width)


@given(st.integers(0, 200))
def test_p_value_and_interval_agree(seed):
    values, classes = unbalanced(seed)
    differences = values - 0.6
    p = class_p(differences, classes)
    for level in (0.5, 0.95):
        interval = class_interval(differences, classes, level)
        assert (p < 1 - level) == (not interval.low <= 0 <= interval.high)


def test_p_values_at_the_ends():
    classes = unbalanced(0)[1]
    assert class_p(np.zeros(40), classes) == 1.0
    assert class_p(np.full(40, 0.25), classes) == 0.0


PAIRS = np.array([*combinations(range(5), 2), (0, 1), (0, 2), (1, 0)])
PAIR_VALUES = np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.2, 0.1, 0.4, 0.1, 0.0, 1.0, 0.7, 0.8])


def every_replicate(weight):
    """The means of all 5^5 ordered draws of five classes; weight of an episode from its two counts."""
    means = []
    for drawn in product(range(5), repeat=5):
        weights = np.array([weight(drawn.count(a), drawn.count(b)) for a, b in PAIRS.tolist()])
        if weights.sum():
            means.append((weights * PAIR_VALUES).sum() / weights.sum())
    return np.array(means)


def listed(first, second):
    """How many pairs one can pick from the draw: each copy of one class with each of the other."""
    return len(list(product(range(first), range(second))))


WRONG_WEIGHTS = {
    "unweighted": lambda first, second: int(min(first, second) > 0),
    "sum of multiplicities": lambda first, second: first + second,
    "smaller multiplicity": min,
    "episodes kept if one class was drawn": lambda first, second: int(first + second > 0),
}


def figures(means):
    return [means.mean(), means.std(), *np.percentile(means, [2.5, 10, 90, 97.5])]


def sampled():
    return class_bootstrap(PAIR_VALUES, PAIRS * 3 - 1, np.random.default_rng(0), 40_000)


def test_bootstrap_means_have_the_distribution_of_all_draws():
    assert_allclose(figures(sampled()), figures(every_replicate(listed)), atol=0.005)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_WEIGHTS.values(), ids=WRONG_WEIGHTS)
def test_wrong_weights_are_caught(wrong):
    with pytest.raises(AssertionError):
        assert_allclose(figures(sampled()), figures(every_replicate(wrong)), atol=0.005)


def class_driven(seed=0, episodes=150):
    """Episodes whose accuracy is that of their classes, plus a little noise."""
    rng = np.random.default_rng(seed)
    classes = draw_classes(rng, episodes, 3, 12)
    level = rng.uniform(0.2, 0.9, 12) ** 2
    return level[classes].mean(1) + rng.normal(0, 0.02, episodes), classes


def test_the_bootstrap_of_one_way_is_scipys():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=25)  # one class an episode, each class once: the ordinary bootstrap
    ours = class_bootstrap_interval(values, np.arange(25)[:, None], rng, draws=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", random_state=np.random.default_rng(1)
    ).confidence_interval
    assert_allclose([ours.low, ours.high], [theirs.low, theirs.high], atol=0.005)


def test_bootstrap_is_seeded_and_finite_blocks_do_not_change_its_size():
    values, classes = class_driven(episodes=1500)  # 2000 x 1500 weights: three blocks
    first, again, other = (class_bootstrap(values, classes, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert len(first) == 2000
    assert_allclose(first, again, rtol=0)
    assert abs(first - other).max() > 0


def test_bootstrap_p_counts_both_sides():
    values, classes = class_driven()
    rng = np.random.default_rng(0)
    assert class_bootstrap_p(values, classes, rng, 999) == 2 / 1000
    assert class_bootstrap_p(-values, classes, rng, 999) == 2 / 1000
    assert class_bootstrap_p(np.zeros(150), classes, rng, 999) == 1.0
    assert 0.3 < class_bootstrap_p(values - values.mean(), classes, rng) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: class_interval(np.zeros(3), np.arange(8).reshape(4, 2)), r"3 episodes, got shape \(4, 2\)"),
        (lambda: class_interval(np.zeros(2), np.array([[1, 1], [2, 3]])), "must differ"),
        (lambda: class_interval(np.zeros(2), np.array([[7, 1], [2, 7]])), "class 7 in all 2 episodes"),
        (
            lambda: class_bootstrap(
                np.zeros(60), draw_classes(np.random.default_rng(0), 60, 9, 10), np.random.default_rng(0)
            ),
            "hold no episode: 60 episodes of 9 among 10 classes are too few; use class_interval",
        ),
    ],
)
def test_what_cannot_be_answered_is_refused(call, message, no_shape_hook):
    with pytest.raises(StatisticsError, match=message):
        call()


def nearest_centroid(rng, means, classes, queries=5):
    """Accuracies (episode, way) of 1-shot nearest centroid on unit Gaussian classes."""
    mu = means[classes]  # (e, n, d)
    prototypes = mu + rng.normal(size=mu.shape)
    query = mu[:, :, None] + rng.normal(size=(*mu.shape[:2], queries, mu.shape[2]))
    scores = 2 * np.einsum("ekqd,end->ekqn", query, prototypes)
    scores -= (prototypes**2).sum(-1)[:, None, None]
    return (scores.argmax(-1) == np.arange(mu.shape[1])[:, None]).mean(-1)


def test_simulated_coverage_over_new_classes():
    rng = np.random.default_rng(0)

    def means(count):
        return rng.normal(size=(count, 6)) * rng.lognormal(0, 0.5, size=(count, 1))

    truth = nearest_centroid(rng, means(100_000), np.arange(100_000).reshape(-1, 5)).mean()
    held = {"jackknife": [], "own queries": [], "episodes": []}
    for _ in range(300):
        classes = draw_classes(rng, 200, 5, 20)
        by_way = nearest_centroid(rng, means(20), classes)
        own = np.bincount(classes.ravel(), by_way.ravel()) / np.bincount(classes.ravel())
        accuracies = by_way.mean(1)
        intervals = (class_interval(accuracies, classes), t_interval(own), t_interval(accuracies))
        for name, i in zip(held, intervals, strict=True):
            held[name].append(i.low <= truth <= i.high)
    assert np.mean(held["jackknife"]) > 0.93
    assert np.mean(held["own queries"]) < 0.87  # a class also costs the others' queries
    assert np.mean(held["episodes"]) < 0.45  # and episodes are no sample of classes
