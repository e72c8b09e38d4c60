"""Irregular episodes: unequal shots, ranges, groups, open classes, pools without labels, two collections."""

from itertools import permutations

import numpy as np
import pytest
from episode_cases import shuffled_labels
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import EpisodeError

LABELS = shuffled_labels([20, 12, 15, 13, 20, 17, 12, 14, 16, 12], gap=2)


def by_label(y, length):
    return np.bincount(y, minlength=length).tolist()


def test_unequal_shots_are_given_in_random_order():
    batch = EpisodeSampler(LABELS, EpisodeSpec(3, 1, 2, shots=(1, 2, 4))).batch(0, 600)
    shots = [tuple(by_label(y, 3)) for y in batch.support_y]
    assert all(by_label(y, 3) == [2, 2, 2] for y in batch.query_y)
    orders = list(permutations((1, 2, 4)))
    assert set(shots) == set(orders)
    assert chisquare([shots.count(order) for order in orders]).pvalue > 1e-4


def test_ranges_are_uniform_both_ends_included():
    sampler = EpisodeSampler(LABELS, EpisodeSpec((2, 5), (0, 2), (3, 4)))
    episodes = [sampler[i] for i in range(600)]
    drawn = [(e.n_way, len(e.support) / e.n_way, len(e.query) / e.n_way) for e in episodes]
    outcomes = [(way, shot, query) for way in range(2, 6) for shot in range(3) for query in (3, 4)]
    assert set(drawn) == set(outcomes)
    assert chisquare([drawn.count(outcome) for outcome in outcomes]).pvalue > 1e-4
    for e in episodes[:100]:
        assert len(set(by_label(e.query_y, e.n_way))) == 1


def test_the_top_of_a_range_must_fit_the_smallest_class():
    EpisodeSampler(LABELS, EpisodeSpec((2, 10), (1, 8), (1, 4)))
    with pytest.raises(EpisodeError, match=r"every class needs 13 items \(shot \+ query\), got 12 in class 2 "):
        EpisodeSampler(LABELS, EpisodeSpec((2, 10), (1, 9), (1, 4)))
    with pytest.raises(EpisodeError, match="every class needs 13 items"):
        EpisodeSampler(LABELS, EpisodeSpec(2, 1, 4, shots=(1, 9)))


GROUPS = np.repeat(["Greek", "Latin", "Ogham"], [8, 6, 6])  # of class ids 0..19, every second of which is there


def test_classes_come_from_one_group_and_groups_are_chosen_alike():
    batch = EpisodeSampler(LABELS, EpisodeSpec(3, 1, 2, within_group=True), groups=GROUPS).batch(0, 600)
    assert (GROUPS[batch.classes] == GROUPS[batch.classes[:, :1]]).all()
    names, counts = np.unique(GROUPS[batch.classes[:, 0]], return_counts=True)
    assert names.tolist() == ["Greek", "Latin", "Ogham"]
    assert chisquare(counts).pvalue > 1e-4


def test_groups_that_are_too_small_are_left_out():
    sampler = EpisodeSampler(LABELS, EpisodeSpec(4, 1, 2, within_group=True), groups=GROUPS)
    assert set(GROUPS[sampler.batch(0, 50).classes].ravel()) == {"Greek"}


def test_a_range_of_ways_is_uniform_within_groups_too():
    sampler = EpisodeSampler(LABELS, EpisodeSpec((2, 4), 1, 2, within_group=True), groups=GROUPS)
    ways = np.array([sampler[i].n_way for i in range(600)])
    assert chisquare(np.bincount(ways)[2:]).pvalue > 1e-4


def test_errors_of_groups():
    spec = EpisodeSpec(5, 1, 2, within_group=True)
    with pytest.raises(EpisodeError, match="at most the number of classes of the largest group, 4, got 5; lower way"):
        EpisodeSampler(LABELS, spec, groups=GROUPS)
    with pytest.raises(
        EpisodeError, match="episodes within one group need the group of each class, got none; give groups="
    ):
        EpisodeSampler(LABELS, spec)
    with pytest.raises(EpisodeError, match=r"groups must give one group a class id, 0\.\.18, got shape \(18,\)"):
        EpisodeSampler(LABELS, spec, groups=GROUPS[:18])


@pytest.mark.parametrize("open_query", [None, 0, 5])
def test_open_classes_are_asked_under_the_label_behind_the_known(open_query):
    spec = EpisodeSpec(3, 2, 4, open_way=2, open_query=open_query)
    batch, each = EpisodeSampler(LABELS, spec).batch(0, 300), 4 if open_query is None else open_query
    for e in (batch[k] for k in range(len(batch))):
        assert by_label(e.support_y, 4) == [2, 2, 2, 0]
        assert by_label(e.query_y, 4) == [4, 4, 4, 2 * each]
        opened = LABELS[e.query[e.query_y == 3]]
        assert not set(opened) & set(e.classes)
        assert sorted(np.unique(opened, return_counts=True)[1]) == [each] * (2 if each else 0)
    assert batch.unlabelled is None
    if each:
        first = batch.query_y[:, 0] == 3
        assert abs(first.mean() - 2 * each / (12 + 2 * each)) < 0.12


def test_the_pool_holds_known_classes_and_distractors_but_no_item_of_support_or_query():
    batch = EpisodeSampler(LABELS, EpisodeSpec(2, 1, 3, open_way=1, unlabelled=4, distractors=3)).batch(0, 300)
    starts_with_known = []
    for e in (batch[k] for k in range(len(batch))):
        assert len({*e.support, *e.query, *e.unlabelled}) == 2 + 9 + 20
        pool, known, opened = LABELS[e.unlabelled], set(e.classes), set(LABELS[e.query[e.query_y == 2]])
        classes, counts = np.unique(pool, return_counts=True)
        assert counts.tolist() == [4] * 5
        assert known < set(classes)
        assert len(known | set(classes) | opened) == 6
        starts_with_known.append(pool[0] in known)
    assert abs(np.mean(starts_with_known) - 2 / 5) < 0.12


def test_a_pool_without_distractors_is_of_the_known_classes():
    batch = EpisodeSampler(LABELS, EpisodeSpec(2, 1, 3, unlabelled=4)).batch(0, 20)
    for e in (batch[k] for k in range(20)):
        assert sorted(LABELS[e.unlabelled]) == sorted(np.repeat(e.classes, 4))


def test_the_pool_counts_as_items_of_every_class():
    with pytest.raises(
        EpisodeError, match=r"every class needs 13 items \(shot \+ query \+ unlabelled\), got 12 in class 2"
    ):
        EpisodeSampler(LABELS, EpisodeSpec(2, 1, 3, unlabelled=9))
    with pytest.raises(EpisodeError, match="every class needs 13 items"):
        EpisodeSampler(LABELS, EpisodeSpec(2, 1, 3, open_way=1, open_query=13))


SECOND = shuffled_labels([4, 9, 5, 6, 4, 7, 4, 8, 5, 4], seed=1, gap=2)


@pytest.mark.parametrize(
    "options",
    [{}, {"unlabelled": 3}, {"open_way": 2}, {"dirichlet": 2.0}, {"shots": (1, 5, 3)}, {"within_group": True}],
)
def test_queries_of_a_second_collection_are_its_rows_of_the_same_classes(options):
    query = {"dirichlet": 2, "unlabelled": 1}.get(*options, 4) if options else 4
    sampler = EpisodeSampler(LABELS, EpisodeSpec(3, 2, query, **options), groups=GROUPS, query_labels=SECOND)
    rows = set()
    for e in sampler.batch(0, 200):
        known = e.query_y < 3
        np.testing.assert_array_equal(SECOND[e.query[known]], e.classes[e.query_y[known]])
        assert not set(SECOND[e.query[~known]]) & set(e.classes)
        np.testing.assert_array_equal(LABELS[e.support], e.classes[e.support_y])
        assert len(set(e.query)) == len(e.query)
        assert len(set(e.support)) == len(e.support)
        if e.unlabelled is not None:  # the pool is the second collection's, and holds no query
            assert sorted(SECOND[e.unlabelled]) == sorted(np.repeat(e.classes, 3))
            assert len({*e.query, *e.unlabelled}) == len(e.query) + 9
        rows |= set(e.query)
    assert rows == set(range(len(SECOND)))


def test_errors_of_two_collections():
    names = [f"class{k}" for k in range(20)]
    with pytest.raises(EpisodeError, match="need the same classes, got only in one of them: 'class4', 'class7'"):
        other = np.where(SECOND == 4, 7, SECOND)
        EpisodeSampler(LABELS, EpisodeSpec(3, 2, 4), class_names=names, query_labels=other)
    with pytest.raises(
        EpisodeError, match=r"every class needs 5 items \(query, in the second collection\), got 4 in class 'class0'"
    ):
        EpisodeSampler(LABELS, EpisodeSpec(3, 2, 5), class_names=names, query_labels=SECOND)
    with pytest.raises(EpisodeError, match=r"every class needs 13 items \(shot\), got 12 in class 2"):
        EpisodeSampler(LABELS, EpisodeSpec(3, 13, 4), query_labels=SECOND)
    with pytest.raises(EpisodeError, match=r"needs 5 items \(query \+ unlabelled, in the second collection\), got 4"):
        EpisodeSampler(LABELS, EpisodeSpec(3, 12, 2, unlabelled=3), query_labels=SECOND)
    for spec in (EpisodeSpec(3, 2, 4, disjoint=True), EpisodeSpec.meta_dataset()):
        with pytest.raises(EpisodeError, match="a second collection need a spec without disjoint and rule, got way="):
            EpisodeSampler(LABELS, spec, query_labels=SECOND)


# Disjoint episodes


@given(
    st.lists(st.integers(3, 30), min_size=3, max_size=9),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 1),
    st.integers(0, 99),
)
def test_no_item_is_used_twice_and_the_list_goes_on_as_long_as_it_can(sizes, way, shot, query, seed):
    labels = shuffled_labels(sizes, seed)
    sampler = EpisodeSampler(labels, EpisodeSpec(way, shot, query, disjoint=True), seed)
    batch = sampler.batch(0, len(sampler))
    rows = np.concatenate([batch.support.ravel(), batch.query.ravel()])
    assert len(np.unique(rows)) == len(rows) == len(sampler) * way * (shot + query)
    left = np.array(sizes) - np.bincount(labels[rows], minlength=len(sizes))
    assert (left >= shot + query).sum() < way


@pytest.mark.parametrize(
    ("classes", "items", "query", "most"), [(423, 20, 15, 84), (423, 20, 9, 169), (5, 16, 15, 1), (9, 31, 15, 1)]
)
def test_known_numbers_of_disjoint_episodes(classes, items, query, most):
    sampler = EpisodeSampler(np.arange(classes).repeat(items), EpisodeSpec(5, 1, query, disjoint=True))
    assert len(sampler) == most
    assert len(list(sampler)) == most
    assert sampler.batch(0, most).support.shape == (most, 5)
    with pytest.raises(
        EpisodeError, match=f"a list of disjoint episodes ends after {most} episodes, got a request for 600"
    ):
        sampler.batch(0, 600)


def test_disjoint_episodes_use_all_classes_and_items_alike():
    spec = EpisodeSpec(2, 1, 2, disjoint=True)
    lists = [EpisodeSampler(np.arange(5).repeat(7), spec, seed) for seed in range(300)]
    for place in (0, 3):
        batch = [sampler[place] for sampler in lists]
        for values, outcomes in (
            ([tuple(e.classes) for e in batch], list(permutations(range(5), 2))),
            ([e.support[0] for e in batch], list(range(35))),
            ([e.query[-1] for e in batch], list(range(35))),
            ([tuple(e.query_y) for e in batch], sorted(set(permutations((0, 0, 1, 1))))),
        ):
            assert chisquare([values.count(outcome) for outcome in outcomes]).pvalue > 1e-4
