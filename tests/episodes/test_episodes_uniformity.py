"""Are all episodes equally likely? Chi-square tests of every way in which a sampler can favour some.

Every figure takes one value from each episode, and episodes are independent; so
the counts are multinomial and the tests exact up to the chi-square approximation.
The planted samplers at the end are wrong in one way each, and must be rejected.
"""

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from fewshot.episodes import EpisodeSampler, EpisodeSpec, IndexEpisodes, draws
from fewshot.episodes.draws import shuffled, without_replacement

ACCEPT, REJECT = 1e-4, 1e-9


def p_value(values, probabilities):
    """Chi-square p-value of observed values; 0 if one occurs that cannot."""
    counts = Counter(values)
    if set(counts) - set(probabilities):
        return 0.0
    observed = np.array([counts[v] for v in probabilities])
    expected = np.array(list(probabilities.values())) * len(values)
    assert expected.min() > 5, "too few episodes for the approximation"
    return float(chisquare(observed, expected).pvalue)


def tuples(*columns):
    return list(zip(*(column.tolist() for column in columns), strict=True))


def pairs(sizes):
    """Probability of each ordered pair of different items of one class, all classes alike."""
    starts = np.cumsum([0, *sizes])
    return {
        (start + a, start + b): 1 / (len(sizes) * size * (size - 1))
        for start, size in zip(starts, sizes, strict=False)
        for a, b in permutations(range(size), 2)
    }


def uniform(outcomes):
    outcomes = set(outcomes)
    return dict.fromkeys(outcomes, 1 / len(outcomes))


def rows_of_class(batch, part, label, k):
    """The ``k``-th row of a class in each episode, in the order of the row."""
    rows, y = getattr(batch, part), getattr(batch, f"{part}_y")
    where = np.argsort(y != label, axis=1, kind="stable")[:, k]
    return rows[np.arange(len(rows)), where]


def judge(batch, sizes, way, shot, query):
    """p-values of a batch of episodes over classes ``0, 1, ...`` whose rows lie in order."""
    items = {(r,): 1 / (len(sizes) * size) for r, size in enumerate(np.repeat(sizes, sizes))}
    support, asked = (np.repeat(np.arange(way), n).tolist() for n in (shot, query))
    last = way - 1
    return {
        "classes": p_value(tuples(*batch.classes.T), uniform(permutations(range(len(sizes)), way))),
        "order of the support": p_value(tuples(*batch.support_y.T), uniform(permutations(support))),
        "order of the queries": p_value(tuples(*batch.query_y.T), uniform(permutations(asked))),
        "first support item": p_value(tuples(batch.support[:, 0]), items),
        "last query item": p_value(tuples(batch.query[:, -1]), items),
        "support and query item": p_value(
            tuples(rows_of_class(batch, "support", 0, 0), rows_of_class(batch, "query", 0, 0)), pairs(sizes)
        ),
        "two query items": p_value(
            tuples(rows_of_class(batch, "query", last, 0), rows_of_class(batch, "query", last, 1)), pairs(sizes)
        ),
    }


def sampled(sizes, way, shot, query, count, **options):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    spec = EpisodeSpec(way, shot, query, **options)
    return EpisodeSampler(labels, spec, seed=12, groups=np.zeros(len(sizes), int)).batch(0, count)


@pytest.mark.parametrize(
    ("sizes", "way", "drawn_by"),
    [
        ((5, 5, 5, 5), 3, "shuffled"),
        ((4, 6, 5, 4), 3, "_fisher_yates"),
        ((9, 9, 9, 9), 2, "_by_rejection"),
        ((9, 12, 10, 9), 2, "_by_rejection"),
    ],
)
def test_blocks_of_episodes_are_uniform(sizes, way, drawn_by, monkeypatch):
    used = []
    exact = getattr(draws, drawn_by)
    monkeypatch.setattr(draws, drawn_by, lambda *args: used.append(drawn_by) or exact(*args))
    figures = judge(sampled(sizes, way, 1, 2, 20480), sizes, way, 1, 2)
    assert used
    assert min(figures.values()) > ACCEPT, figures


def test_pools_too_large_for_memory_are_drawn_uniformly(monkeypatch):
    monkeypatch.setattr(draws, "_DENSE", 0)
    sizes = (4, 6, 5, 4)
    figures = judge(sampled(sizes, 3, 1, 2, 5120), sizes, 3, 1, 2)
    assert min(figures.values()) > ACCEPT, figures


@pytest.mark.parametrize("options", [{"within_group": True}, {"shots": (1, 1, 1)}, {"unlabelled": 1}])
def test_single_episodes_are_uniform(options):
    sizes = (4, 6, 5, 4)
    figures = judge(sampled(sizes, 3, 1, 2, 2000, **options), sizes, 3, 1, 2)
    assert min(figures.values()) > ACCEPT, figures


# Wrong samplers, each with the honest parts except for one.


def biased(sizes, count, *, classes=None, items=None, order=None, way=3, shot=1, query=2):
    rng, sizes = np.random.default_rng(3), np.asarray(sizes)
    starts = np.cumsum(sizes) - sizes
    classes = (classes or without_replacement)(rng, np.full(count, len(sizes)), way)
    drawn = (items or without_replacement)(rng, sizes[classes.ravel()], shot + query).reshape(count, way, -1)
    rows = starts[classes][..., None] + drawn
    parts = []
    for part in (rows[..., :shot], rows[..., shot:]):
        flat = part.reshape(count, -1)
        mixed = (order or shuffled)(rng, *flat.shape)
        parts += [np.take_along_axis(flat, mixed, 1), mixed // part.shape[-1]]
    return IndexEpisodes(np.arange(count), classes, *parts)


def modulo(rng, sizes, count):
    """A random byte modulo the size; rows with repeats are drawn again."""
    drawn = rng.integers(0, 16, (len(sizes), count)) % sizes[:, None]
    while len(again := np.flatnonzero((np.diff(np.sort(drawn, axis=1)) == 0).any(1))):
        drawn[again] = rng.integers(0, 16, (len(again), count)) % sizes[again, None]
    return drawn


def with_replacement(rng, sizes, count):
    return rng.integers(0, sizes[:, None], (len(sizes), count))


def first_items(rng, sizes, count):
    """The first items of each class in random order: the rest is never used."""
    return shuffled(rng, len(sizes), count)


def items_in_file_order(rng, sizes, count):
    """Support first: its items come before the queries in the list of files."""
    return np.sort(without_replacement(rng, sizes, count), axis=1)


def classes_sorted(rng, sizes, count):
    return np.sort(without_replacement(rng, sizes, count), axis=1)


def not_shuffled(rng, rows, width):
    return np.tile(np.arange(width), (rows, 1))


def swapped_with_any(rng, rows, width):
    """The well-known wrong shuffle: each place is exchanged with any place."""
    order, every = np.tile(np.arange(width), (rows, 1)), np.arange(rows)
    for k in range(width):
        other = rng.integers(0, width, rows)
        order[every, k], order[every, other] = order[every, other], order[every, k].copy()
    return order


def rotated(rng, rows, width):
    """Every place is equally likely for every item, but neighbours stay together."""
    return (np.arange(width) + rng.integers(0, width, (rows, 1))) % width


SIZES = (5, 6, 5, 7)
PLANTED = [
    ({"items": modulo}, "first support item"),
    ({"items": with_replacement}, "support and query item"),
    ({"items": with_replacement}, "two query items"),
    ({"items": first_items}, "last query item"),
    ({"items": items_in_file_order}, "support and query item"),
    ({"classes": classes_sorted}, "classes"),
    ({"order": not_shuffled}, "order of the support"),
    ({"order": swapped_with_any}, "order of the queries"),
    ({"order": rotated}, "order of the queries"),
]


def test_the_honest_parts_together_are_uniform():
    figures = judge(biased(SIZES, 20000), SIZES, 3, 1, 2)
    assert min(figures.values()) > ACCEPT, figures


@pytest.mark.slip
@pytest.mark.parametrize(("wrong", "figure"), PLANTED)
def test_a_biased_sampler_is_rejected(wrong, figure):
    figures = judge(biased(SIZES, 20000, **wrong), SIZES, 3, 1, 2)
    assert figures[figure] < REJECT, figures
