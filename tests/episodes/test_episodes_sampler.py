import hashlib
import json
import multiprocessing
import pickle
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from episode_cases import DISJOINT, IRREGULAR, PLAIN, assert_equal, build, cases, shuffled_labels
from hypothesis import given
from hypothesis import strategies as st

from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.episodes.draws import FIELDS, stream
from fewshot.errors import EpisodeError

# Recorded before the first release. NumPy may change its draws with a new minor version: then
# `VERSION` in draws.py goes up with these, because manifests must not be equal any more.
GOLDEN = {
    (4112, 60, 1, 5): (
        "b9e7f13712290fd5 28bd480e301a5a84 45f5405eb653e46d 53e63951d3440b6a 8bcb6e4e4bbf60ef 889658f98808ff1f "
        "a19f701c6ffc55c8 bc461af79e65b06c e231836cc4f95a6e 0ac49815e6e878a2"
    ),
    (688, 5, 1, 15): (
        "b5e319997bcfb113 437447a4090a499a b8cbff7189a8272a b717d7448dbfc678 d29acd93a563b96c c927ac590ac3ca26 "
        "817f8f51734b8658 7196ef1a0df01256 5d0345d9e51cedf2 340726ffdbf558d5"
    ),
    (423, 5, 1, 15): (
        "5a220a93dfac8fe4 7eb80c926d2a4e9d 751beba66b1ef777 c630b982493ef8ed 130df1692b0995e0 be385370108791c9 "
        "205a109da0796a03 7cbbd0e889571ca5 f0a035005d55ac76 c349dc347a19b876"
    ),
    (1692, 20, 5, 5): (
        "9a36c515a34e29d5 7b6e194f45197951 070dbc920fe1a745 2bd4cb928836796e 40ba0604390d8a79 0df8af13e780cfd2 "
        "59c55ff91c66d884 cb0edf0c91722c37 bc05e249599c4935 4e48e5b89699850e"
    ),
}
RECORDED = (*range(6), *range(300, 304))


def fingerprint(batch):
    total = hashlib.sha256()
    for name in ("index", "classes", "support", "support_y", "query", "query_y"):
        rows = getattr(batch, name)
        total.update(f"{name}{rows.shape}".encode() + rows.astype("<i8").tobytes())
    return total.hexdigest()[:16]


@pytest.mark.parametrize(("setting", "recorded"), GOLDEN.items())
def test_plain_episodes_are_the_recorded_ones(setting, recorded):
    classes, way, shot, query = setting
    sampler = EpisodeSampler(np.arange(classes).repeat(20), EpisodeSpec(way, shot, query), seed=0)
    assert [fingerprint(sampler.batch(i, 1)) for i in RECORDED] == recorded.split()


@pytest.mark.parametrize(("query", "recorded"), [(15, "ca8455d477b8c2eb"), (2, "0c11effdfd4a9280")])
def test_episodes_of_unequal_classes_are_the_recorded_ones(query, recorded):
    rng = np.random.default_rng(5)
    labels = rng.permutation(np.repeat(np.arange(40), rng.integers(16, 60, 40)))
    assert fingerprint(EpisodeSampler(labels, EpisodeSpec(5, 1, query), seed=7).batch(0, 600)) == recorded


def test_seeds_are_the_recorded_ones():
    sampler = EpisodeSampler(np.arange(9).repeat(20), EpisodeSpec(), seed=0)
    recorded = hashlib.sha256(sampler.seeds(np.arange(600)).tobytes()).hexdigest()
    assert recorded.startswith("6fa53e5eb66e450c")


def counts_of(y, length):
    return np.bincount(y, minlength=length).tolist()


def check_episode(episode, labels, spec):
    """Slow checks of one episode, item by item; plain Python, no code of the package."""
    used = [*episode.support, *episode.query, *(() if episode.unlabelled is None else episode.unlabelled)]
    assert len(set(used)) == len(used)
    assert len(set(episode.classes)) == episode.n_way
    for rows, y in ((episode.support, episode.support_y), (episode.query, episode.query_y)):
        assert len(rows) == len(y)
        for row, label in zip(rows, y, strict=True):
            if label < episode.n_way:
                assert labels[row] == episode.classes[label]
            else:
                assert labels[row] not in episode.classes
    assert set(episode.support_y) <= set(range(episode.n_way))
    if spec.is_plain() or spec.disjoint:
        assert counts_of(episode.support_y, spec.way) == [spec.shot] * spec.way
        assert counts_of(episode.query_y, spec.way) == [spec.query] * spec.way


@given(cases(PLAIN | IRREGULAR | DISJOINT), st.integers(0, 600))
def test_items_are_disjoint_counts_exact_and_labels_right(case, i):
    sampler, labels = build(case)
    i %= len(sampler)
    episode = sampler[i]
    assert episode.index == i
    check_episode(episode, labels, sampler.spec)


@given(cases(), st.integers(0, 700), st.integers(1, 15), st.randoms())
def test_one_by_one_in_any_order_and_in_any_slices_the_episodes_are_the_same(case, start, count, random):
    sampler, _ = build(case)
    fresh = pickle.loads(pickle.dumps(sampler))
    order = list(range(start, start + count))
    random.shuffle(order)
    alone = {i: fresh[i] for i in order}
    cut = random.randint(start, start + count)
    slices = [(start, cut - start), (cut, start + count - cut), (start, count)]
    seen = Counter()
    for first, length in slices:
        for group in sampler.groups(first, length) if length else ():
            for k in range(len(group)):
                assert_equal(group[k], alone[int(group.index[k])])
                seen[int(group.index[k])] += 1
    assert seen == dict.fromkeys(order, 2)


@given(cases(PLAIN), st.integers(1, 7), st.integers(0, 300), st.integers(1, 300))
def test_shards_together_are_the_whole(case, shards, start, each):
    sampler, _ = build(case)
    whole = sampler.batch(start, shards * each)
    for shard in reversed(range(shards)):
        part = pickle.loads(pickle.dumps(sampler)).batch(start + shard * each, each)
        assert_equal(part, whole[shard * each : (shard + 1) * each])


@given(cases())
def test_another_seed_gives_other_episodes(case):
    one, twin, other = (build(case, seed)[0] for seed in (8, 8, 9))
    assert_equal(one[3], twin[3])
    rows = ("classes", "support", "query")
    assert any(not np.array_equal(getattr(one[i], r), getattr(other[i], r)) for i in range(20) for r in rows)


def test_spawned_workers_draw_the_same_episodes():
    sampler = EpisodeSampler(shuffled_labels([20] * 30), EpisodeSpec(), seed=3)
    whole = sampler.batch(0, 600)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        parts = pool.starmap(sampler.batch, [(400, 200), (0, 200), (200, 200)])
    for start, part in zip((400, 0, 200), parts, strict=True):
        assert_equal(part, whole[start : start + 200])


def test_a_pickled_sampler_leaves_its_cache_behind():
    sampler = EpisodeSampler(shuffled_labels([20] * 30), EpisodeSpec())
    before = len(pickle.dumps(sampler))
    sampler.batch(0, 100)
    assert len(pickle.dumps(sampler)) == before


@pytest.mark.parametrize(
    "spec", [EpisodeSpec(3, 1, 2), EpisodeSpec(3, 1, 2, disjoint=True), EpisodeSpec(3, 1, 2, dirichlet=2.0)]
)
def test_whoever_writes_into_an_episode_changes_no_other_answer(spec):
    sampler = EpisodeSampler(shuffled_labels([9] * 12), spec)
    first, again = sampler.batch(0, 3), sampler[1]
    for name in ("classes", "support", "support_y", "query", "query_y"):
        getattr(first, name)[:] = -1
        getattr(again, name)[:] = -1
    for i in range(3):
        check_episode(sampler[i], sampler_labels(sampler), spec)


def sampler_labels(sampler):
    pools = sampler.source.support
    labels = np.empty(len(pools.order), int)
    labels[pools.order] = np.repeat(pools.ids, pools.sizes)
    return labels


def test_iteration_gives_the_list_in_order():
    sampler = EpisodeSampler(shuffled_labels([9] * 12), EpisodeSpec(3, 1, 2))
    for i, episode in enumerate(islice(sampler, 300)):
        assert_equal(episode, sampler[i])
    assert len(sampler) == 2**62


def test_streams_of_fields_blocks_and_seeds_do_not_overlap():
    numbers = [
        stream(seed, field, number).integers(0, 2**64, 2000, np.uint64)
        for seed in (0, 1, 2**63 - 1)
        for field in FIELDS
        for number in (0, 1, 2**54)
    ]
    assert len(np.unique(np.concatenate(numbers))) == 2000 * len(numbers)


def test_a_stream_counts_in_words_that_name_nothing():
    generator = stream(5, "single", 7)
    generator.random(10**5)
    state = generator.bit_generator.state["state"]
    assert state["counter"][2:].tolist() == [7, FIELDS.index("single")]
    assert state["key"].tolist() == [5, 0]


def test_seeds_belong_to_episodes_and_not_to_batches():
    sampler = EpisodeSampler(shuffled_labels([9] * 12), EpisodeSpec(3, 1, 2), seed=4)
    whole = sampler.seeds(np.arange(1000))
    assert len(np.unique(whole)) == 1000
    picked = np.random.default_rng(0).permutation(1000)[:50]
    np.testing.assert_array_equal(sampler.seeds(picked), whole[picked])
    assert (
        sampler.seeds(np.arange(9)) != EpisodeSampler(sampler_labels(sampler), sampler.spec, 5).seeds(np.arange(9))
    ).all()
    assert sampler.seeds(np.arange(0)).shape == (0,)


def test_labels_of_any_kind_of_whole_number_give_the_same_episodes():
    labels = shuffled_labels([9] * 12)
    expected = EpisodeSampler(labels, EpisodeSpec(3, 1, 2)).batch(0, 5)
    for other in (labels.astype(np.uint8), labels.astype(np.int32), labels.tolist()):
        assert_equal(EpisodeSampler(other, EpisodeSpec(3, 1, 2)).batch(0, 5), expected)


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, True, "0"])
def test_a_seed_out_of_range_is_refused(seed, no_shape_hook):
    with pytest.raises(EpisodeError, match=r"seed must be a whole number in 0..2\^63-1, got "):
        EpisodeSampler([0, 0], EpisodeSpec(1, 1, 1), seed)


def test_the_largest_seed_draws():
    assert EpisodeSampler([0, 0, 1, 1], EpisodeSpec(2, 1, 1), 2**63 - 1)[2**62 - 1].n_way == 2


@pytest.mark.parametrize(
    ("labels", "came"),
    [([], r"shape \(0,\)"), ([[0, 1]], r"shape \(1, 2\)"), ([0.0, 1.0], "of float64"), (["a"], "of <U1"),
     ([0, -1], "the value -1"), ([True, False], "of bool")],
)  # fmt: skip
def test_labels_that_are_no_whole_numbers_are_refused(labels, came):
    with pytest.raises(
        EpisodeError, match=f"labels must be a vector of whole numbers from 0, one an item, got .*{came}"
    ):
        EpisodeSampler(labels, EpisodeSpec(1, 1, 0))


def test_a_class_that_is_too_small_is_named_with_its_count():
    names = [f"character{k}" for k in range(7)]
    with pytest.raises(
        EpisodeError, match=r"every class needs 16 items \(shot \+ query\), got 3 in class 'character5' \(2 of 6"
    ):
        EpisodeSampler(np.repeat([0, 1, 2, 3, 5, 6], [20, 20, 16, 15, 3, 20]), EpisodeSpec(), class_names=names)
    with pytest.raises(EpisodeError, match="got 3 in class 1 "):
        EpisodeSampler(np.repeat([0, 1], [9, 3]), EpisodeSpec(2, 1, 3))


@pytest.mark.parametrize(
    "spec",
    [EpisodeSpec(6, 1, 1), EpisodeSpec((2, 6), 1, 1), EpisodeSpec.meta_dataset(), EpisodeSpec(6, 1, 1, disjoint=True)],
)
def test_more_ways_than_classes_are_refused(spec):
    with pytest.raises(
        EpisodeError, match=r"way must be at most the number of classes of the collection, 4, got [56]; lower way"
    ):
        EpisodeSampler(np.arange(4).repeat(20), spec)


def test_open_classes_and_distractors_count_as_classes():
    with pytest.raises(
        EpisodeError, match=r"classes of the collection, 4, got 5 \(with 2 open classes and distractors\)"
    ):
        EpisodeSampler(np.arange(4).repeat(20), EpisodeSpec(3, 1, 1, open_way=1, unlabelled=1, distractors=1))


def test_a_shot_above_the_class_size_is_refused():
    with pytest.raises(EpisodeError, match=r"every class needs 21 items .* got 20 in class 0"):
        EpisodeSampler(np.arange(9).repeat(20), EpisodeSpec(5, 20, 1))


def test_all_classes_and_all_items_can_be_used():
    sampler = EpisodeSampler(np.arange(3).repeat(4), EpisodeSpec(3, 1, 3))
    batch = sampler.batch(0, 50)
    np.testing.assert_array_equal(
        np.sort(np.concatenate([batch.support, batch.query], 1)), np.tile(np.arange(12), (50, 1))
    )


@pytest.mark.parametrize(
    "spec", [EpisodeSpec(2, 1, 1), EpisodeSpec(2, 1, 1, dirichlet=2.0), EpisodeSpec(2, 1, 1, disjoint=True)]
)
def test_numbers_beyond_the_list_raise(spec):
    sampler = EpisodeSampler(np.arange(4).repeat(9), spec)
    end = len(sampler)
    for i in (-1, end):
        with pytest.raises(IndexError, match=f"episode numbers run from 0 to {end - 1}, got {i}"):
            sampler[i]
    for draw in (sampler.batch, sampler.groups, sampler.manifest):
        for start, count in ((-1, 2), (0, 0), (3, -1)):
            with pytest.raises(EpisodeError, match=f"start >= 0 and count >= 1, got start={start} and count={count}"):
                draw(start, count)
        with pytest.raises(
            EpisodeError, match=f"ends after {end} episodes, got a request for {end + 1}; ask for fewer"
        ):
            draw(end, 1)


def test_batches_refuse_unequal_shapes_and_groups_take_them():
    sampler = EpisodeSampler(np.arange(9).repeat(9), EpisodeSpec((2, 4), 1, 1))
    with pytest.raises(
        EpisodeError, match=r"a batch needs episodes of one shape, got [23] shapes; use .groups\(start, count\)"
    ):
        sampler.batch(0, 30)
    groups = list(sampler.groups(0, 30))
    assert sorted(group.n_way for group in groups) == [2, 3, 4]
    for group in groups:
        assert (np.diff(group.index) > 0).all()


def test_the_manifest_says_what_was_asked_for():
    line = EpisodeSampler(np.arange(9).repeat(9), EpisodeSpec((2, 4), 1, 1), seed=8).manifest(5, 30)
    version, items, spec, seed, episodes = line.split(" ")
    assert (version, seed, episodes, len(items)) == ("v1", "seed=8", "episodes=5+30", len("items=") + 16)
    assert json.loads(spec.removeprefix("spec=")) == {"way": [2, 4], "shot": 1, "query": 1}
