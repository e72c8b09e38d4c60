import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewshot.datasets.collection import Collection
from fewshot.errors import DataError, UnknownNameError


def small(**known):
    """Seven items of three classes, in no order, with all that a collection may carry."""
    x = np.arange(14, dtype=np.float32).reshape(7, 2)
    y = ["cat", "emu", "cat", "bee", "emu", "emu", "cat"]
    whole = {
        "item_names": [f"f{i}" for i in range(7)],
        "groups": np.array([1, 0, 0]),
        "descriptors": np.array([[0.0], [1.0], [2.0]]),
        "splits": {"train": np.array([0, 2, 3, 6]), "test": np.array([1, 4, 5])},
    }
    return Collection.from_arrays(x, y, name="zoo", **{**whole, **known})


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=30))
def test_any_labels_become_ids_without_gaps(labels):
    collection = Collection.from_arrays(np.zeros((len(labels), 1)), labels)
    assert collection.labels.dtype == np.int64
    assert [int(collection.class_names[k]) for k in collection.labels] == labels
    assert sorted(set(collection.labels.tolist())) == list(range(len(set(labels))))


def test_names_sort_as_texts_and_numbers_as_numbers():
    assert Collection.from_arrays(np.zeros((3, 1)), ["10", "9", "10"]).class_names == ("10", "9")
    assert Collection.from_arrays(np.zeros((3, 1)), [10, 9, 10]).class_names == ("9", "10")
    assert Collection.from_arrays(np.zeros((2, 1)), torch.tensor([7, 3])).class_names == ("3", "7")
    assert Collection.from_arrays(np.zeros((2, 1)), np.array(["b", "a"], object)).class_names == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([-1, 0, 1], "labels must not be negative, got -1; drop"),
        ([-1.0, 0.0, 1.0], "labels must not be negative, got -1.0"),
        ([float("nan"), 0.0, 1.0], "every item needs a label, got nan in row 0"),
        ([0, 1, float("inf")], "labels must be finite"),
        (np.array(["a", None, "b"], object), "every item needs a label, got None in row 1"),
        (np.array(["a", "b", float("nan")], object), "every item needs a label, got nan in row 2"),
        ([[1, 0], [0, 1], [0, 1]], r"labels must be a vector, one an item, got shape \(3, 2\); use argmax"),
        ([0, 1], "every item needs one label, got 3 items and 2 labels"),
    ],
)
def test_bad_labels_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        Collection.from_arrays(np.zeros((3, 2)), labels)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_features_that_are_not_finite_are_refused(bad):
    x = np.zeros((4, 2, 2))
    x[2, 1, 0] = bad
    with pytest.raises(DataError, match="features must be finite, got NaN or infinity in row 2; drop or repair"):
        Collection.from_arrays(x, [0, 1, 0, 1])
    if abs(bad) != 1e300:
        with pytest.raises(DataError, match="in row 2"):
            Collection.from_arrays(torch.from_numpy(x), [0, 1, 0, 1])


def test_direct_construction_is_checked(no_shape_hook):
    x = np.zeros((2, 1))
    with pytest.raises(DataError, match=r"labels must lie in 0\.\.1, got 0\.\.2; Collection.from_arrays relabels"):
        Collection(x, np.array([0, 2]), ("a", "b"))
    with pytest.raises(DataError, match=r"labels must be a vector of whole numbers, got shape .* of float64"):
        Collection(x, np.array([0.0, 1.0]), ("a", "b"))
    with pytest.raises(
        DataError, match=r"labels must be a vector of whole numbers, got a list; Collection\.from_arrays"
    ):
        Collection(x, [0, 1], ("a", "b"))
    with pytest.raises(DataError, match="got 0 items and 0 labels"):
        Collection(x[:0], np.array([], int), ())


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"item_names": ["f"]}, "item names must be 7, one for each item or class, got 1"),
        ({"groups": np.zeros(7)}, "groups must be 3, .* got 7"),
        ({"descriptors": np.zeros((2, 4))}, "descriptors must be 3, .* got 2"),
        ({"splits": {"test": np.array([0, 7])}}, r"rows of split 'test' must lie in 0\.\.6, got 0\.\.7"),
        ({"splits": {"test": np.array([0, -1])}}, r"rows of split 'test' must lie in 0\.\.6, got -1\.\.0"),
        ({"splits": {"test": np.array([0, 3, 0])}}, "rows of split 'test' must list each row once, got row 0 2 times"),
        (
            {"splits": {"test": np.array([0.0, 3.0])}},
            r"must be row numbers, or one truth value for each of the 7 items, got float64",
        ),
        (
            {"splits": {"test": np.array([True, False])}},
            r"one truth value for each of the 7 items, got bool of shape \(2,\)",
        ),
        ({"splits": {"test": np.array([[0], [1]])}}, r"got int64 of shape \(2, 1\)"),
    ],
)
def test_what_is_known_must_fit(known, message):
    with pytest.raises(DataError, match=message):
        small(**known)


ANIMALS = ["cat", "emu", "cat", "bee"]
LEGS = {"emu": [2.0], "bee": [6.0], "cat": [4.0], "ant": [6.5]}


def legs_of_items(**known):
    """Descriptor of each item's class."""
    found = Collection.from_arrays(np.zeros((4, 1)), **{"y": ANIMALS, **known})
    return np.asarray(found.descriptors)[found.labels].ravel().tolist()


def test_what_is_known_of_classes_is_matched_by_name():
    order = ["emu", "ant", "cat", "bee"]  # as a file may have them
    rows, right = np.array([LEGS[name] for name in order]), [4, 2, 4, 6]
    assert legs_of_items(descriptors=LEGS) == right
    assert legs_of_items(descriptors=rows, class_names=order) == right
    assert legs_of_items(descriptors=torch.from_numpy(rows), class_names=np.array(order)) == right
    assert legs_of_items(descriptors=rows.tolist(), class_names=order, y=[2, 0, 2, 3]) == right
    assert legs_of_items(descriptors={3: [1.0], 10: [2.0], 2: [3.0]}, y=[10, 2, 3, 10]) == [2, 3, 1, 2]
    known = Collection.from_arrays(
        np.zeros((4, 1)), ANIMALS, class_names=order, groups=[7, 8, 9, 6], descriptors={n: f"a {n}" for n in order}
    )
    assert (known.class_names, known.groups.tolist()) == (("bee", "cat", "emu"), [6, 9, 7])
    assert known.descriptors.tolist() == ["a bee", "a cat", "a emu"]
    assert known.hash == Collection.from_arrays(np.zeros((4, 1)), ANIMALS).hash


def test_tables_of_descriptors_are_matched_by_their_index():
    pandas = pytest.importorskip("pandas")
    assert legs_of_items(descriptors=pandas.DataFrame.from_dict(LEGS, orient="index")) == [4, 2, 4, 6]


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"descriptors": {"cat": [1.0]}}, "descriptors must have each class, got none for 'bee'; add it"),
        ({"groups": {"cat": 1, "bee": 2}}, "groups must have each class, got none for 'emu'"),
        ({"class_names": ["cat", "emu", "bea"]}, "the label must be a known name, got 'bee'; did you mean 'bea'"),
        ({"class_names": ["cat", "cat"]}, "class_names must name each class once, got 2 names, 1 of them different"),
        ({"class_names": ["a", "b"], "y": [0, 2, 1, 0]}, "labels must number the 2 class_names from 0, got 2"),
        ({"class_names": ["emu", "bee", "cat"], "descriptors": np.eye(2)}, "descriptors must have a row for each of"),
    ],
)
def test_classes_that_are_not_named_are_refused(known, message):
    with pytest.raises((DataError, UnknownNameError), match=message):
        Collection.from_arrays(np.zeros((4, 1)), **{"y": ANIMALS, **known})


def test_types_of_items():
    y = [0, 1]
    assert Collection.from_arrays(np.zeros((2, 3)), y).take(np.array([0])).dtype == torch.float32
    assert Collection.from_arrays(np.zeros((2, 3), ">f4"), y).take(np.array([0])).dtype == torch.float32
    assert Collection.from_arrays(np.zeros((2, 3), np.uint8), y).take(np.array([0])).dtype == torch.uint8
    assert Collection.from_arrays(torch.zeros(2, 3).double(), y).take(np.array([0])).dtype == torch.float64
    kept = Collection.from_arrays(torch.ones(2, 3, requires_grad=True), y)
    assert not kept.take(np.array([0])).requires_grad
    texts = Collection.from_arrays(["yes", "no"], y)
    assert texts.items.dtype == np.dtypes.StringDType()
    assert texts.take(np.array([[1], [0]])).tolist() == [["no"], ["yes"]]
    assert Collection.from_arrays(np.array(["yes", "no"]), y).hash == texts.hash


@given(st.lists(st.integers(1, 3), max_size=3), st.integers(0, 2**31))
def test_take_keeps_the_shape_of_the_rows(shape, seed):
    rows = np.random.default_rng(seed).integers(7, size=shape)
    for items in (small().items, torch.from_numpy(small().items)):
        taken = small().from_arrays(items, np.zeros(7)).take(rows)
        assert taken.shape == (*shape, 2)
        for place in np.ndindex(*shape):
            assert taken[place].tolist() == items[rows[place]].tolist()


def test_taking_from_a_read_only_map_gives_an_array_of_ones_own(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(12, dtype=np.uint8).reshape(4, 3))
    collection = Collection(np.load(tmp_path / "x.npy", mmap_mode="r"), np.array([0, 0, 1, 1]), ("a", "b"))
    taken = collection.take(np.array(2))
    taken += 1
    assert taken.tolist() == [7, 8, 9]
    assert collection.items[2].tolist() == [6, 7, 8]


def test_a_split_carries_everything_with_it():
    zoo = small()
    test = zoo.split("test")
    assert (test.name, test.origin, test.class_names) == ("zoo/test", "zoo", ("emu",))
    assert test.items.tolist() == zoo.items[[1, 4, 5]].tolist()
    assert (test.item_names, test.groups.tolist(), test.descriptors.tolist()) == (["f1", "f4", "f5"], [0], [[2.0]])
    train = zoo.split("train")
    assert train.class_names == ("bee", "cat")
    assert [train.class_names[k] for k in train.labels] == ["cat", "cat", "bee", "cat"]
    assert train.descriptors.tolist() == [[0.0], [1.0]]
    assert not train.splits
    assert test.qualified_names() == ("zoo:emu",)


def test_a_split_of_a_split_remembers_its_origin():
    assert small().split("train").with_classes(["cat"]).qualified_names() == ("zoo:cat",)


def test_subset_takes_truth_values_and_shares_a_run():
    zoo = small()
    assert zoo.subset(zoo.labels == 2).item_names == ["f1", "f4", "f5"]
    assert np.shares_memory(zoo.subset(np.arange(2, 6)).items, zoo.items)
    assert not np.shares_memory(zoo.subset(np.array([2, 4])).items, zoo.items)
    assert zoo.subset(np.array([5, 4, 6])).items.tolist() == zoo.items[[5, 4, 6]].tolist()


def test_missing_parts_are_named():
    with pytest.raises(UnknownNameError, match="the split must be a known name, got 'tst'; did you mean 'test'"):
        small().split("tst")
    with pytest.raises(UnknownNameError, match="the split must be left out, got 'test'; zoo has no splits"):
        small(splits={}).split("test")
    with pytest.raises(UnknownNameError, match="the class must be a known name, got 'cta'; did you mean 'cat'"):
        small().with_classes(["bee", "cta"])
    with pytest.raises(DataError, match="a part of 'zoo' needs at least one item, got no rows"):
        small().subset(np.array([], int))


def test_hash_is_as_defined():
    """SHA-256 over length-prefixed chunks: type and shape, items, labels as little-endian int64, class names."""
    zoo = small()
    items = np.arange(14, dtype="<f4").tobytes()
    chunks = [b"float32(7, 2)", items, np.array([1, 2, 1, 0, 2, 2, 1], "<i8").tobytes(), b"bee", b"cat", b"emu"]
    expected = hashlib.sha256(b"".join(len(c).to_bytes(8, "little") + c for c in chunks)).hexdigest()
    assert zoo.hash == small(splits={}).hash == expected
    assert expected.startswith("e6b1848d937e6580")


def test_hash_sees_every_change():
    x = np.arange(14, dtype=np.float32).reshape(7, 2)
    y = ["cat", "emu", "cat", "bee", "emu", "emu", "cat"]
    changed = x.copy()
    changed[6, 1] += 1
    others = [
        Collection.from_arrays(changed, y),
        Collection.from_arrays(x.reshape(7, 1, 2), y),
        Collection.from_arrays(x.astype(np.int32), y),
        Collection.from_arrays(x, [*y[:-1], "emu"]),
        Collection.from_arrays(x, [name.replace("emu", "owl") for name in y]),
        Collection.from_arrays(x[:6], y[:6]),
    ]
    assert len({c.hash for c in [*others, small()]}) == len(others) + 1
    assert Collection.from_arrays(torch.from_numpy(x), y).hash == small().hash


def test_hash_does_not_depend_on_how_large_items_are_read(monkeypatch):
    """Items above the reading step are read one by one: equal content, equal hash, wherever it lies."""
    x = np.random.default_rng(0).integers(256, size=(3, 2**24 + 5), dtype=np.uint8)
    strided = np.stack([x, x], 1)[:, 0]
    assert not strided.flags.c_contiguous
    assert Collection.from_arrays(x, [0, 1, 1]).hash == Collection.from_arrays(strided, [0, 1, 1]).hash


def test_hash_of_texts_reads_the_texts():
    """Long texts lie outside of the array's own memory, so hashing that memory would call these equal."""
    one, two = (Collection.from_arrays(["a" * 100 + end, "b" * 100], [0, 1]) for end in "xy")
    assert one.items.tobytes() != b""
    assert one.hash != two.hash
    assert Collection.from_arrays(["ab", "c"], [0, 1]).hash != Collection.from_arrays(["a", "bc"], [0, 1]).hash


def test_hash_of_bfloat16():
    x = torch.ones(2, 3, dtype=torch.bfloat16)
    assert Collection.from_arrays(x, [0, 1]).hash == Collection.from_arrays(x.clone(), [0, 1]).hash
    assert Collection.from_arrays(x, [0, 1]).hash != Collection.from_arrays(x * 2, [0, 1]).hash


def test_rows_of_splits_may_be_truth_values_lists_and_tensors(no_shape_hook):
    zoo = small()
    mask = np.isin(np.arange(7), zoo.splits["train"])
    for named in (
        mask,
        mask.tolist(),
        torch.from_numpy(mask),
        zoo.splits["train"].tolist(),
        np.array([0, 2, 3, 6], "u1"),
    ):
        rows = small(splits={"train": named, "none": []}).splits
        np.testing.assert_array_equal(rows["train"], [0, 2, 3, 6])
        assert rows["train"].dtype == np.int64 and len(rows["none"]) == 0
