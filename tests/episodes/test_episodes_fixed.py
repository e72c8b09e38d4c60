from dataclasses import replace

import numpy as np
import pytest
from episode_cases import assert_equal, build, cases, shuffled_labels
from hypothesis import given

from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec, FixedEpisodes
from fewshot.errors import EpisodeError

LABELS = shuffled_labels([9, 8, 10, 9, 12])
SPEC = EpisodeSpec(3, 1, 2)
NAMES = [f"drawing{k}.png" for k in range(len(LABELS))]


def listed(count=6, **changes):
    return FixedEpisodes(EpisodeSampler(LABELS, SPEC).batch(0, count), **{"name": "runs", **changes})


@given(cases())
def test_a_fixed_list_answers_like_the_sampler_that_drew_it(case):
    sampler, _ = build(case)
    fixed = FixedEpisodes([sampler[i] for i in range(7)], "drawn", seed=sampler.seed)
    assert len(fixed) == 7
    for one, other in zip(fixed.groups(2, 5), sampler.groups(2, 5), strict=True):
        assert_equal(one, other)
    assert_equal(fixed[3], sampler[3])
    np.testing.assert_array_equal(fixed.seeds(np.arange(7)), sampler.seeds(np.arange(7)))


def test_a_batch_is_a_list_of_episodes_numbered_anew():
    whole = EpisodeSampler(LABELS, SPEC).batch(40, 6)
    fixed = FixedEpisodes(whole, "runs")
    assert fixed.batch(0, 6).index.tolist() == [0, 1, 2, 3, 4, 5]
    assert_equal(replace(fixed.batch(2, 3), index=whole.index[2:5]), whole[2:5])


def test_errors_of_fixed_lists():
    for wrong in ([], [EpisodeSampler(LABELS, SPEC).batch(0, 3)]):
        with pytest.raises(
            EpisodeError, match=f"needs at least one, each without a leading axis, got {len(wrong)} in 'empty'"
        ):
            FixedEpisodes(wrong, "empty")
    fixed = listed()
    for draw in (fixed.batch, fixed.groups, fixed.manifest):
        with pytest.raises(
            EpisodeError, match="the list 'runs' ends after 6 episodes, got a request for 7; ask for fewer"
        ):
            draw(3, 4)
        with pytest.raises(EpisodeError, match="start >= 0 and count >= 1, got start=-1 and count=2"):
            draw(-1, 2)
    for i in (-1, 6):
        with pytest.raises(IndexError, match=f"episode numbers run from 0 to 5, got {i}"):
            fixed[i]
    uneven = FixedEpisodes([EpisodeSampler(LABELS, EpisodeSpec(way, 1, 2))[0] for way in (2, 3)], "uneven")
    with pytest.raises(EpisodeError, match="a batch needs episodes of one shape, got 2 shapes"):
        uneven.batch(0, 2)


def test_a_pool_and_no_pool_are_different_shapes():
    with_pool = EpisodeSampler(LABELS, EpisodeSpec(3, 1, 2, unlabelled=1))[0]
    fixed = FixedEpisodes([with_pool, replace(with_pool, unlabelled=None)], "both")
    assert [len(group) for group in fixed.groups(0, 2)] == [1, 1]


def test_whoever_writes_into_a_fixed_episode_changes_no_other_answer():
    fixed = listed()
    fixed[0].support[:] = -1
    fixed.batch(0, 2).support[:] = -1
    assert fixed[0].support.min() >= 0


# Manifests


def test_the_manifest_of_a_list_is_the_same_for_equal_episodes_only():
    fixed = listed()
    line = fixed.manifest(0, 6, NAMES)
    assert line == listed().manifest(0, 6, NAMES)
    assert line.endswith(" list='runs' seed=0 episodes=0+6")
    changed = fixed[2]
    changed.query[0] = next(r for r in range(len(LABELS)) if r not in {*changed.query, *changed.support})
    others = [
        listed(name="others").manifest(0, 6, NAMES),
        listed(seed=1).manifest(0, 6, NAMES),
        fixed.manifest(0, 5, NAMES),
        fixed.manifest(0, 6),
        fixed.manifest(0, 6, NAMES[::-1]),
        FixedEpisodes([*fixed.episodes[:2], changed, *fixed.episodes[3:]], "runs").manifest(0, 6, NAMES),
        FixedEpisodes([fixed[1], fixed[0], *fixed.episodes[2:]], "runs").manifest(0, 6, NAMES),
    ]
    assert len({line, *others}) == 1 + len(others)


def sampler(labels=LABELS, spec=SPEC, seed=0, **options):
    return EpisodeSampler(labels, spec, seed, **options)


def test_the_manifest_of_a_sampler_changes_with_all_that_changes_episodes():
    other = LABELS.copy()
    other[[0, np.flatnonzero(other != other[0])[0]]] = other[[np.flatnonzero(other != other[0])[0], 0]]
    grouped, groups = EpisodeSpec(2, 1, 2, within_group=True), np.array([0, 0, 1, 1, 1])
    line = sampler().manifest(0, 100, NAMES)
    others = [
        sampler(other).manifest(0, 100, NAMES),
        sampler(LABELS + 1).manifest(0, 100, NAMES),
        sampler(LABELS[:-1]).manifest(0, 100, NAMES),
        sampler(spec=EpisodeSpec(3, 2, 1)).manifest(0, 100, NAMES),
        sampler(spec=EpisodeSpec(3, 1, 2, dirichlet=2.0)).manifest(0, 100, NAMES),
        sampler(spec=EpisodeSpec(3, 1, 2, shots=(1, 1, 1))).manifest(0, 100, NAMES),
        sampler(seed=1).manifest(0, 100, NAMES),
        sampler().manifest(0, 99, NAMES),
        sampler().manifest(1, 100, NAMES),
        sampler().manifest(0, 100),
        sampler().manifest(0, 100, ["other.png", *NAMES[1:]]),
        sampler().manifest(0, 100, [NAMES[0] + NAMES[1][:1], NAMES[1][1:], *NAMES[2:]]),
        sampler(query_labels=LABELS).manifest(0, 100, NAMES),
        sampler(query_labels=LABELS[::-1]).manifest(0, 100, NAMES),
        sampler(spec=grouped, groups=groups).manifest(0, 100, NAMES),
        sampler(spec=grouped, groups=1 - groups[::-1]).manifest(0, 100, NAMES),
    ]
    assert len({line, *others}) == 1 + len(others)


def test_the_manifest_does_not_change_with_what_changes_no_episode():
    line = sampler().manifest(0, 100, NAMES)
    used = sampler(class_names=[f"class{k}" for k in range(5)], groups=np.zeros(5, int))
    used.batch(300, 20)
    assert used.manifest(0, 100, NAMES) == line
    assert sampler(LABELS.astype(np.uint8)).manifest(0, 100, tuple(NAMES)) == line
    whole = EpisodeSpec(3, 1, 2, dirichlet=2.0)
    assert sampler(spec=whole).manifest(0, 9) == sampler(spec=EpisodeSpec.from_dict(whole.as_dict())).manifest(0, 9)
    grouped = EpisodeSpec(2, 1, 2, within_group=True)
    letters, numbers = np.array(list("aabbb")), np.array([0, 0, 1, 1, 1])
    assert sampler(spec=grouped, groups=letters).manifest(0, 9) == sampler(spec=grouped, groups=numbers).manifest(0, 9)


# Names of files


def test_the_files_of_an_episode_are_named_in_the_order_of_its_rows():
    collection = Collection.from_arrays(np.zeros((len(LABELS), 2), np.float32), LABELS, item_names=NAMES)
    batch = EpisodeSampler(collection.labels, EpisodeSpec(3, 1, 2, unlabelled=1)).batch(0, 4)
    named = batch[2].names(collection.item_names)
    assert named == {
        "support": [f"drawing{r}.png" for r in batch.support[2]],
        "query": [f"drawing{r}.png" for r in batch.query[2]],
        "unlabelled": [f"drawing{r}.png" for r in batch.unlabelled[2]],
    }
    assert batch.names(collection.item_names)["query"][2] == named["query"]
    assert list(EpisodeSampler(LABELS, SPEC)[0].names(NAMES)) == ["support", "query"]


def test_queries_of_a_second_collection_have_its_names():
    episode = EpisodeSampler(LABELS, SPEC, query_labels=LABELS)[0]
    named = episode.names(NAMES, [f"photo{k}.png" for k in range(len(LABELS))])
    assert named["query"] == [f"photo{r}.png" for r in episode.query]
    assert named["support"] == [f"drawing{r}.png" for r in episode.support]


def test_items_without_names_cannot_be_listed():
    with pytest.raises(
        EpisodeError, match=r"the items of the collection must have names, got none; set Collection.item_names"
    ):
        EpisodeSampler(LABELS, SPEC)[0].names(None)
