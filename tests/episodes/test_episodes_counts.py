import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.episodes.counts import meta_dataset_counts, share_out
from fewshot.errors import EpisodeError

# Dirichlet shares


@given(st.floats(0.05, 20), st.integers(0, 200), st.integers(1, 12), st.integers(0, 2**32))
def test_shares_have_the_exact_total(alpha, total, way, seed):
    counts, rejected = share_out(np.random.default_rng(seed), alpha, total, np.full(way, total))
    assert counts.sum() == total
    assert counts.min() >= 0
    assert rejected == 0


def largest_remainder(shares, total):
    """Slow, in exact fractions."""
    exact = [Fraction(share) * total for share in shares]
    counts = [math.floor(x) for x in exact]
    by_remainder = sorted(range(len(exact)), key=lambda k: counts[k] - exact[k])
    for k in by_remainder[: total - sum(counts)]:
        counts[k] += 1
    return counts


@given(st.floats(0.2, 10), st.integers(1, 100), st.integers(2, 8), st.integers(0, 2**32), st.floats(0.3, 1))
def test_shares_are_the_first_that_fit_never_clipped(alpha, total, way, seed, slack):
    room = np.random.default_rng(seed).integers(math.ceil(slack * total), total, way, endpoint=True)
    if room.sum() < total:
        room[0] = total
    rng, drawn = np.random.default_rng(seed + 1), []
    while not drawn or (np.array(drawn[-1]) > room).any():
        drawn.append(largest_remainder(rng.dirichlet(np.full(way, alpha)), total))
        if len(drawn) == 1000:
            return
    counts, rejected = share_out(np.random.default_rng(seed + 1), alpha, total, room)
    assert counts.tolist() == drawn[-1]
    assert rejected == len(drawn) - 1


def moments(draw, alpha, way, total, count=3000):
    """z-scores of the mean of the first share and of its variance, under the Dirichlet distribution."""
    share = np.array([draw() for _ in range(count)])[:, 0] / total
    mean, variance = 1 / way, (way - 1) / way**2 / (way * alpha + 1)
    squares = (share - mean) ** 2
    return (share.mean() - mean) / math.sqrt(variance / count), (squares.mean() - variance) / (
        squares.std() / math.sqrt(count)
    )


@pytest.mark.parametrize(("alpha", "way"), [(0.5, 2), (2.0, 5), (6.0, 3)])
def test_shares_have_the_moments_of_the_distribution(alpha, way):
    rng, total = np.random.default_rng(1), 3000
    figures = moments(lambda: share_out(rng, alpha, total, np.full(way, total))[0], alpha, way, total)
    assert np.abs(figures).max() < 4, figures


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rng: rng.multinomial(3000, np.full(5, 0.2)),  # classes alike: no Dirichlet at all
        lambda rng: 3000 * rng.dirichlet(np.full(5, 2 / 5)),  # the concentration is the sum
        lambda rng: 3000 * np.diff(np.sort([0, *rng.random(4), 1])),  # Dirichlet(1)
        lambda rng: np.minimum(3000 * rng.dirichlet(np.full(5, 2.0)), 800),  # clipped
        lambda rng: np.sort(3000 * rng.dirichlet(np.full(5, 2.0)))[::-1],  # the first class gets most
    ],
)
def test_the_moments_tell_wrong_shares(wrong):
    rng = np.random.default_rng(1)
    assert np.abs(moments(lambda: wrong(rng), 2.0, 5, 3000)).max() > 6


def test_rejected_draws_are_counted_and_change_no_class():
    """75 queries of five classes with 20 items: most draws ask some class for more than 19."""
    labels, spec = np.arange(30).repeat(20), EpisodeSpec(5, 1, 15, dirichlet=2.0)
    sampler, large = EpisodeSampler(labels, spec), EpisodeSampler(np.arange(30).repeat(100), spec)
    assert (large.rejected(0, 100), EpisodeSampler(labels, EpisodeSpec()).rejected(0, 100)) == (0, 0)
    batch, rejected = sampler.batch(0, 100), sampler.rejected(0, 100)
    assert rejected == sampler.rejected(0, 40) + sampler.rejected(40, 60)
    assert rejected / (rejected + 100) > 0.8
    np.testing.assert_array_equal(batch.classes, large.batch(0, 100).classes)
    asked = np.array([np.bincount(y, minlength=5) for y in batch.query_y])
    assert (asked.sum(1) == 75).all()
    assert asked.max() == 19


def test_mean_shares_of_episodes_are_equal():
    batch = EpisodeSampler(np.arange(9).repeat(40), EpisodeSpec(3, 1, 5, dirichlet=1.0), seed=1).batch(0, 400)
    assert batch.query.shape == (400, 15)
    share = (batch.query_y == 0).mean(1)
    assert abs(share.mean() - 1 / 3) < 4 * share.std() / 20
    assert len({tuple(np.bincount(y, minlength=3)) for y in batch.query_y}) > 40


def test_classes_that_are_too_small_for_the_shares_are_an_error():
    sampler = EpisodeSampler(np.arange(5).repeat([16, 16, 16, 15, 14]), EpisodeSpec(5, 1, 15, dirichlet=2.0))
    message = (
        r"Dirichlet\(2\) shares of 75 queries must fit the classes of an episode, got 1000 misfits in a row "
        r"with room for \[13, 14, 15, 15, 15\] queries; lower query"
    )
    with pytest.raises(EpisodeError, match=message):
        sampler[0]


# Meta-Dataset's rule


def transcription(rng, sizes, *, queries=10, contribution=100, most=500, wrong=""):
    """The rule of Triantafillou et al. (2020), section 3.2, class by class, with the random numbers in the order of the text."""
    query = min(queries, min(size // 2 for size in sizes))
    if wrong == "queries not halved":
        query = min(queries, min(sizes) - 1)
    beta, total = 1 - rng.random(), 0
    for size in sizes:
        left = size if wrong == "queries not set apart" else size - query
        share = (1 - beta) * min(contribution, left)
        total += round(share) if wrong == "rounded" else math.floor(share) + 1
    total = total if wrong == "no largest support" else min(most, total)
    weights = []
    for size in sizes:
        alpha = math.log(0.5) + (math.log(2) - math.log(0.5)) * rng.random()
        weights.append(math.exp(alpha) * (1 if wrong == "classes weigh alike" else size))
    shots = []
    for size, weight in zip(sizes, weights, strict=True):
        free = total if wrong == "one a class not set apart" else total - len(sizes)
        shot = int(weight / sum(weights) * free) + (0 if wrong == "none for sure" else 1)
        shots.append(shot if wrong == "more than there are" else min(shot, size - query))
    return shots, [query] * len(sizes)


def drawn(sizes, seed, **fields):
    spec = EpisodeSpec(**{"way": (5, 50), "shot": (1, 100), "query": 10, **fields}, rule="meta-dataset")
    shots, queries = meta_dataset_counts(np.random.default_rng(seed), spec, np.array(sizes))
    return shots.tolist(), queries.tolist()


many_sizes = st.lists(st.integers(2, 40) | st.integers(2, 1500), min_size=5, max_size=50)


@given(many_sizes, st.integers(0, 2**32))
def test_counts_follow_the_rule(sizes, seed):
    shots, queries = drawn(sizes, seed)
    assert (shots, queries) == transcription(np.random.default_rng(seed), sizes)
    assert min(shots) >= 1
    assert sum(shots) <= 500
    assert len(set(queries)) == 1
    assert 1 <= queries[0] <= min(10, min(sizes) / 2)
    assert all(shot + query <= size for shot, query, size in zip(shots, queries, sizes, strict=True))


@given(many_sizes, st.integers(0, 2**32), st.integers(1, 20), st.integers(1, 60))
def test_the_figures_of_the_rule_can_be_changed(sizes, seed, query, shot):
    expected = transcription(np.random.default_rng(seed), sizes, queries=query, contribution=shot)
    assert drawn(sizes, seed, query=query, shot=(1, shot)) == expected


@pytest.mark.parametrize(
    "wrong",
    ["queries not halved", "queries not set apart", "rounded", "no largest support", "classes weigh alike",
     "one a class not set apart", "none for sure", "more than there are"],
)  # fmt: skip
def test_a_wrong_rule_is_told_from_the_right_one(wrong):
    rng = np.random.default_rng(0)
    cases = [rng.integers(2, (30, 300, 1500)[k % 3], 5 + k % 46).tolist() for k in range(60)]
    equal = [drawn(s, k) == transcription(np.random.default_rng(k), s, wrong=wrong) for k, s in enumerate(cases)]
    right = [drawn(s, k) == transcription(np.random.default_rng(k), s) for k, s in enumerate(cases)]
    assert all(right)
    assert not all(equal)


def test_ways_are_uniform_between_five_and_the_number_of_classes():
    rng = np.random.default_rng(0)
    for classes, max_way, high in ((9, 50, 9), (12, 8, 8)):
        labels = np.repeat(np.arange(classes), rng.integers(2, 30, classes))
        sampler = EpisodeSampler(labels, EpisodeSpec.meta_dataset(max_way), seed=2)
        ways = np.array([sampler[i].n_way for i in range(400)])
        assert (ways.min(), ways.max()) == (5, high)
        assert chisquare(np.bincount(ways)[5:]).pvalue > 1e-4


def test_a_group_is_chosen_before_its_ways():
    """Groups of 5, 6 and 4 classes: the last is never chosen, the others equally often."""
    groups = np.repeat([7, 8, 9], [5, 6, 4])
    sampler = EpisodeSampler(np.arange(15).repeat(6), EpisodeSpec.meta_dataset(within_group=True), groups=groups)
    episodes = [sampler[i] for i in range(400)]
    chosen = np.array([groups[e.classes[0]] for e in episodes])
    assert all(len(set(groups[e.classes])) == 1 for e in episodes)
    assert set(chosen) == {7, 8}
    assert chisquare([(chosen == 7).sum(), (chosen == 8).sum()]).pvalue > 1e-4
    ways = np.array([e.n_way for e in episodes])
    assert set(ways[chosen == 7]) == {5}
    assert chisquare(np.bincount(ways[chosen == 8])[5:]).pvalue > 1e-4


def test_a_class_with_one_item_is_refused():
    with pytest.raises(EpisodeError, match=r"every class needs 2 items \(shot \+ query\), got 1 in class 3"):
        EpisodeSampler(np.repeat(np.arange(6), [9, 9, 9, 1, 9, 9]), EpisodeSpec.meta_dataset())
