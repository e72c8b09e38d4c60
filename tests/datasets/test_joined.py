"""Joined collections against plain copies: items, hashes, names, splits, episodes, and what a record names."""

import json
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from fewshot import Collection, Embedded, EpisodeSampler, EpisodeSpec, NearestMean, evaluate
from fewshot.contract import AXES, SupportSet
from fewshot.datasets.joined import Joined
from fewshot.errors import DataError, LeakageError
from fewshot.evaluation.answers import support_set
from fewshot.evaluation.verify import verify

SPEC = EpisodeSpec(way=2, shot=1, query=2)
TEXTS = np.array([f"a text {k}" * (k + 1) for k in range(24)], np.dtypes.StringDType())


def numbers(seed, n=24):
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)


def domain(name, items, classes="abc", **known):
    y = np.resize(list(classes), len(items))
    return Collection.from_arrays(items, y, name=name, **known)


@pytest.fixture
def parts():
    """Two domains that share two of four classes, one an array and one a tensor."""
    photos = domain("photos", numbers(0), splits={"val": np.arange(6)}, item_names=[f"p{k}" for k in range(24)])
    drawings = domain("drawings", torch.from_numpy(numbers(1, 20)), "bcd", item_names=[f"d{k}" for k in range(20)])
    return {"source": photos, "target": drawings}


@pytest.fixture
def both(parts):
    return Collection.join(parts)


def copied(both):
    """The same with its items in one array."""
    return replace(both, items=np.array(both.items), sources={}, source_of=None)


def test_items_labels_names_and_hash_are_those_of_a_copy(parts, both):
    stacked = np.concatenate([parts["source"].items, parts["target"].items.numpy()])
    names = [c.class_names[k] for c in parts.values() for k in c.labels]
    np.testing.assert_array_equal(np.array(both.items), stacked)
    assert both.class_names == ("a", "b", "c", "d") and [both.class_names[k] for k in both.labels] == names
    assert both.item_names == [*parts["source"].item_names, *parts["target"].item_names]
    assert both.hash == copied(both).hash
    rows = np.array([[43, 0], [24, 23]])
    torch.testing.assert_close(both.take(rows), torch.from_numpy(stacked[rows]))
    np.testing.assert_array_equal(both.items[7], stacked[7])
    np.testing.assert_array_equal(both.items[20:30:3], stacked[20:30:3])


def test_nothing_is_copied_neither_by_a_join_nor_by_a_part_of_it(parts, both):
    part = both.subset(np.array([41, 3, 5, 30])).subset(np.array([0, 2]))
    assert isinstance(part.items, Joined) and part.items.sources[0] is parts["source"].items
    parts["source"].items[5] = 9
    assert part.take(np.array([1])).tolist() == [[9, 9, 9]] and part.source_of.tolist() == [1, 0]
    assert part.class_names == ("c", "d")


def test_splits_are_the_parts_and_their_own_splits(parts, both):
    assert sorted(both.splits) == ["source", "source/val", "target"]
    torch.testing.assert_close(both.split("target").take(np.arange(20)), parts["target"].items)
    assert both.split("target").class_names == parts["target"].class_names
    assert both.rows_of("source/val").tolist() == list(range(6))


def test_a_class_of_two_sources_is_two_classes_to_the_guard(both):
    names = {"photos:a", "photos:b", "photos:c", "drawings:b", "drawings:c", "drawings:d"}
    assert set(both.qualified_names()) == names
    assert set(both.split("target").qualified_names()) == {"drawings:b", "drawings:c", "drawings:d"}
    for seen, leaks in (("photos:b", False), ("drawings:b", True), ("photos + drawings:b", False)):
        backbone = torch.nn.Identity()
        backbone.classes_seen = (seen,)
        learner = Embedded(backbone, NearestMean())
        if leaks:
            with pytest.raises(LeakageError, match="1 of 3 that it was trained on, such as 'drawings:b'"):
                evaluate(learner, both.split("target"), SPEC, 4)
        else:
            assert evaluate(learner, both.split("target"), SPEC, 4).pretraining_classes.overlap == 0


def test_episodes_manifests_and_answers_are_those_of_a_copy(both):
    first, second = (evaluate(NearestMean(), one, SPEC, 60, cache=False) for one in (both, copied(both)))
    assert first.correct == second.correct and first.episodes == second.episodes and first.data == second.data


def test_a_record_names_every_source_and_is_verified(parts, both, tmp_path):
    record = evaluate(NearestMean(), both, SPEC, 20)
    told = [(s.part, s.name, s.origin, s.hash, s.items) for s in record.sources]
    assert told == [(f"data/{p}", c.name, c.name, c.hash, len(c)) for p, c in parts.items()]
    assert record.target is None and json.loads(json.dumps(record.as_json()))["schema"] == 2
    assert verify(record, NearestMean(), both, EpisodeSampler(both.labels, SPEC, 0)).holds


def test_a_part_keeps_the_name_and_origin_of_its_source():
    whole = domain("photos", numbers(0), splits={"test": np.arange(12)})
    joined = Collection.join({"new": whole.split("test"), "old": domain("drawings", numbers(1))})
    assert {name.partition(":")[0] for name in joined.split("new").qualified_names()} == {"photos"}
    assert [s.split for s in evaluate(NearestMean(), joined, SPEC, 4).sources] == ["test", None]


def test_support_knows_the_domain_of_each_example(both):
    episodes = EpisodeSampler(both.labels, SPEC).batch(0, 30)
    support = support_set(both, episodes)
    np.testing.assert_array_equal(support.domain.numpy(), (episodes.support >= 24).astype(int))
    np.testing.assert_array_equal(support[3:5].domain, support.domain[3:5])
    assert torch.equal(support.map(lambda x: 2 * x).domain, support.domain) and support[2].domain.shape == (2,)
    assert {*AXES, "n_way"} == {field.name for field in fields(SupportSet)}  # what `to` moves and an index picks
    plain = support_set(copied(both), episodes)
    assert plain.domain is None and plain[0].domain is None and plain.map(lambda x: x).domain is None


def test_a_domain_needs_the_shape_of_the_labels(no_shape_hook):
    with pytest.raises(Exception, match=r"domains must have the shape of the labels \(1, 2\), got \(1, 3\)"):
        SupportSet(torch.zeros(1, 2, 3), torch.tensor([[0, 1]]), 2, domain=torch.zeros(1, 3, dtype=torch.long))


class Counting(torch.nn.Module):
    """Notes how many items it embeds."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def fingerprint(self):
        return "counting"

    def forward(self, x):
        self.seen += len(x)
        return 3 * x


def test_sources_are_embedded_once_and_found_in_their_own_caches(parts, both, own_cache):
    backbone = Counting()
    parts["source"].embed(backbone)
    features = both.embed(backbone)
    assert backbone.seen == 44
    np.testing.assert_allclose(np.array(features.items), 3 * np.array(both.items))
    assert features.source_of is both.source_of
    np.testing.assert_allclose(features.embed(torch.nn.Identity(), cache=False).items.numpy(), np.array(features.items))
    np.testing.assert_allclose(both.split("target").embed(backbone).items, 3 * parts["target"].items)


def test_texts_are_joined_too():
    both = Collection.join({"a": domain("a", TEXTS[:12]), "b": domain("b", TEXTS[12:])})
    assert both.take(np.array([0, 23])).tolist() == [TEXTS[0], TEXTS[23]] and both.hash == copied(both).hash


def test_groups_and_descriptors_come_along_by_class():
    own = {"groups": np.array(["x", "x", "y"]), "descriptors": np.arange(6.0).reshape(3, 2)}
    first, second = domain("first", numbers(0), **own), domain("second", numbers(1), "cab"[:2])
    both = Collection.join({"first": first, "second": second})
    assert both.groups.tolist() == ["x", "x", "y"] and both.descriptors.tolist() == own["descriptors"].tolist()
    other = domain("other", numbers(1), "ca", groups=np.array(["x", "z"]))
    with pytest.raises(DataError, match="groups of class 'c' must be equal in all parts, got others in 'other'"):
        Collection.join({"first": first, "other": other})
    with pytest.raises(DataError, match="groups must be there for all classes or for none, got none for 'd'"):
        Collection.join({"first": first, "second": domain("second", numbers(1), "ad")})


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (numbers(1).astype(np.int64), r"float32 \(3,\) in 'first' and int64 \(3,\) in 'second'"),
        (numbers(1)[:, :2], r"float32 \(3,\) in 'first' and float32 \(2,\) in 'second'"),
        (TEXTS, r"float32 \(3,\) in 'first' and text in 'second'"),
    ],
    ids=["type", "shape", "texts"],
)
def test_shapes_and_types_must_agree(other, said):
    first, second = domain("first", numbers(0)), domain("second", other)
    with pytest.raises(DataError, match="items of all parts must have one shape and type, got " + said):
        Collection.join({"first": first, "second": second})
    with pytest.raises(DataError, match="items of both collections must have one shape and type, got " + said):
        evaluate(NearestMean(), first, SPEC, 4, queries=second)
    with pytest.raises(DataError, match="at least one part, got none"):
        Collection.join({})
