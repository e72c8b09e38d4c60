"""Episodes of several collections in turn: whose turn it is, and Meta-Dataset's rule seen from the rows alone."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from fewshot.datasets.collection import Collection
from fewshot.datasets.in_turn import EpisodesInTurn
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import EpisodeError


def collection(sizes, name="made", seed=0):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    return Collection.from_arrays(np.arange(len(labels), dtype=np.float32)[:, None], labels, name=name)


many_sizes = st.lists(st.integers(2, 60) | st.integers(60, 400), min_size=5, max_size=60)


def broken_rules(data, episode):
    """Which sentences of section 3.2 an episode breaks; slow, from rows and labels alone."""
    support, query = data.labels[episode.support].tolist(), data.labels[episode.query].tolist()
    size, shots, asked = Counter(data.labels.tolist()), Counter(support), Counter(query)
    classes = set(support)
    most = min(10, min(size[c] for c in classes) // 2)
    left = {c: size[c] - most for c in classes}
    free = len(support) - len(classes)
    # size_c exp(alpha_c) lies between half and twice the size, so no share can be beyond these
    share = {c: 2 * size[c] / (2 * size[c] + sum(size[o] / 2 for o in classes - {c})) for c in classes}
    rules = {
        "ways": 5 <= len(classes) <= min(50, len(size)),
        "queries of the support's classes": set(asked) == classes,
        "queries": all(count == most for count in asked.values()),
        "rows once": len({*episode.support.tolist(), *episode.query.tolist()}) == len(support) + len(query),
        "support": len(support) <= min(500, sum(min(100, n) for n in left.values())),
        "a shot for each": min(shots.values()) >= 1,
        "what is there": all(shots[c] <= left[c] for c in classes),
        "shares": all(shots[c] - 1 <= share[c] * max(free, 500) for c in classes),
        "labels": [episode.classes[y] for y in episode.support_y] == support
        and [episode.classes[y] for y in episode.query_y] == query,
    }
    return [name for name, holds in rules.items() if not holds]


@given(st.lists(many_sizes, min_size=1, max_size=3), st.integers(0, 2**32))
def test_every_episode_keeps_the_rule(shapes, seed):
    data = [collection(sizes, f"made-{k}", k) for k, sizes in enumerate(shapes)]
    turns = EpisodesInTurn(data, seed=seed)
    for i in range(6):
        chosen, episode = turns[i]
        assert chosen is data[i % len(data)]
        assert broken_rules(chosen, episode) == []


@pytest.mark.parametrize(
    ("spec", "broken"),
    [
        (EpisodeSpec(5, 1, 2), "queries"),  # 2 queries whatever the classes hold
        (EpisodeSpec(4, 1, 10), "ways"),
        (EpisodeSpec.meta_dataset(query=5), "queries"),
        (EpisodeSpec(51, 1, 10), "ways"),
        (EpisodeSpec(40, 15, 10), "support"),
    ],
)
def test_other_rules_are_seen(spec, broken):
    data = collection([60] * 60)
    episodes = [EpisodesInTurn([data], spec)[i][1] for i in range(5)]
    assert all(broken in broken_rules(data, episode) for episode in episodes)


@given(st.integers(1, 4), st.integers(0, 2**32), st.integers(0, 40))
def test_an_episode_is_one_of_its_collections_own_list(count, seed, i):
    data = [collection([9 + k] * (6 + k), f"made-{k}") for k in range(count)]
    spec = EpisodeSpec(way=3, shot=1, query=2)
    chosen, got = EpisodesInTurn(data, spec, seed)[i]
    own = EpisodeSampler(data[i % count].labels, spec, seed * count + i % count)
    expected = own[i // count]
    assert chosen is data[i % count]
    np.testing.assert_array_equal(got.support, expected.support)
    np.testing.assert_array_equal(got.query, expected.query)


def test_collections_of_one_shape_are_asked_differently():
    data = [collection([30] * 20, name) for name in "ab"]
    turns = EpisodesInTurn(data)
    assert any(turns[2 * k][1].support.tolist() != turns[2 * k + 1][1].support.tolist() for k in range(3))


def test_ways_are_uniform_in_every_collection():
    data = [collection([20] * 8, "small"), collection([20] * 70, "large")]
    turns = EpisodesInTurn(data)
    for turn, most in ((0, 8), (1, 50)):
        ways = np.array([turns[2 * k + turn][1].n_way for k in range(600)])
        assert ways.min() == 5 and ways.max() == most
        assert chisquare(np.bincount(ways)[5:]).pvalue > 1e-4


def test_groups_are_those_of_the_collection():
    labels = np.arange(12).repeat(8)
    data = Collection.from_arrays(np.zeros((96, 1), np.float32), labels, groups=np.arange(12) // 6)
    turns = EpisodesInTurn([data], EpisodeSpec.meta_dataset(within_group=True))
    assert all(len(set((turns[i][1].classes // 6).tolist())) == 1 for i in range(20))


def test_errors():
    with pytest.raises(EpisodeError, match="need at least one collection, got none"):
        EpisodesInTurn([])
    with pytest.raises(
        EpisodeError, match=r"must have what an episode needs, got 'few': way must be at most .* 4, got 5"
    ):
        EpisodesInTurn([collection([9] * 9), collection([9] * 4, "few")])
    with pytest.raises(EpisodeError, match=r"got 'one': every class needs 2 items .* got 1 in class '3'"):
        EpisodesInTurn([collection([9, 9, 9, 1, 9], "one")])
    with pytest.raises(IndexError, match="got -1"):
        EpisodesInTurn([collection([9] * 9)])[-1]
