"""Zero-shot data: small files in the layout of Xian et al., and the real ones."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.io import savemat

from fewshot import load_dataset
from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.matlab import read_mat
from fewshot.datasets.seen_unseen import seen_unseen
from fewshot.errors import DataError, MissingDataError

NAMES = ("zebra", "ant", "bee", "cat", "dog", "elk", "fox")


def write(folder, **changes):
    """Seven classes of ten items in mixed order; zebra and ant are unseen. Everything counts from 1, as published."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(7).repeat(10))
    positions = np.arange(1, 71)
    seen = rng.permutation(positions[labels > 1])
    made = {
        "features": rng.normal(size=(4, 70)),
        "labels": labels[:, None] + 1,
        "att": rng.normal(size=(3, 7)),
        "allclasses_names": np.array(NAMES, object)[:, None],
        "trainval_loc": seen[:40, None],
        "test_seen_loc": seen[40:, None],
        "test_unseen_loc": positions[labels <= 1][:, None],
        "train_loc": seen[np.isin(labels[seen - 1], [2, 3, 4])][:, None],  # with items of test_seen_loc, as published
        "val_loc": seen[np.isin(labels[seen - 1], [5, 6])][:, None],
    }
    made.update(changes)
    own = {key: value for key, value in made.items() if value is not None}
    folder.mkdir(exist_ok=True)
    savemat(folder / "res101.mat", {key: own[key] for key in ("features", "labels") if key in own})
    savemat(folder / "att_splits.mat", {key: own[key] for key in own if key not in ("features", "labels")})
    return made


def classes_of(data: Collection, split):
    return {data.class_names[c] for c in np.unique(data.labels[data.splits[split]])}


def test_a_folder_in_their_layout_is_read(tmp_path):
    made = write(tmp_path / "birds")
    data = load_dataset(tmp_path / "birds")
    assert (data.name, data.class_names) == ("birds", NAMES)
    assert_array_equal(data.items, made["features"].T.astype(np.float32))
    assert_array_equal(data.labels, made["labels"].ravel() - 1)
    assert_array_equal(data.descriptors, made["att"].T.astype(np.float32))
    for ours, theirs in (("trainval", "trainval_loc"), ("test", "test_unseen_loc"), ("test-seen", "test_seen_loc")):
        assert_array_equal(data.splits[ours], np.sort(made[theirs].ravel()) - 1)
    assert data.split("test").descriptors.shape == (2, 3)


def test_parts_for_choosing_hold_no_test_item(tmp_path):
    made = write(tmp_path)
    data = load_dataset(tmp_path)
    rows = {name: set(part.tolist()) for name, part in data.splits.items()}
    leaking = set((np.concatenate([made["train_loc"], made["val_loc"]]).ravel() - 1).tolist())
    assert leaking & rows["test-seen"]  # the trap is set
    assert rows["train"] | rows["val"] == rows["trainval"]
    assert rows["train-fit"] | rows["train-held-out"] == rows["train"]
    assert not rows["train-fit"] & rows["train-held-out"] and not rows["train"] & rows["val"]
    assert classes_of(data, "train") == {"bee", "cat", "dog"} and classes_of(data, "val") == {"elk", "fox"}
    for c in np.unique(data.labels[data.splits["train"]]):
        own = data.splits["train"][data.labels[data.splits["train"]] == c]
        assert_array_equal(np.intersect1d(own, data.splits["train-held-out"]), own[4::5])


def test_without_published_validation_classes_a_rule_names_them(tmp_path):
    write(tmp_path, train_loc=None, val_loc=None)
    data = load_dataset(tmp_path)
    assert classes_of(data, "val") == {"fox"}  # the fifth of bee, cat, dog, elk, fox


def test_another_file_of_descriptors_is_matched_by_name(tmp_path):
    write(tmp_path)
    table = np.arange(14.0).reshape(2, 7)
    savemat(tmp_path / "words.mat", {"wv": table, "allclasses_names": np.array(sorted(NAMES), object)[:, None]})
    data = load_dataset(tmp_path, features="res101.mat", descriptors="words.mat")
    assert_array_equal(data.descriptors[0], table[:, 6])  # zebra stands last in the other file
    savemat(tmp_path / "words.mat", {"wv": table[:, :6], "allclasses_names": np.array(NAMES[:6], object)[:, None]})
    with pytest.raises(DataError, match=r"every class needs a descriptor, got none for 'fox' in 'words.mat'"):
        load_dataset(tmp_path, features="res101.mat", descriptors="words.mat")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda m: {"labels": m["labels"] - 1}, r"labels must count from 1 to 7, got 0\.\.6; add 1 if they count from 0"),
        (lambda m: {"test_unseen_loc": m["test_unseen_loc"] - 1}, r"unseen classes must have no item in trainval_loc"),
        (lambda m: {"trainval_loc": m["trainval_loc"] * 0}, r"trainval_loc must count from 1 to 70, got 0\.\.0"),
        (lambda m: {"test_seen_loc": m["trainval_loc"][:3]}, r"test_seen_loc must share no item with trainval_loc, got"),
        (lambda m: {"trainval_loc": m["test_unseen_loc"]}, r"unseen classes must have no item in trainval_loc, got 'zebra'"),
        (lambda m: {"att": m["att"] * np.nan}, r"descriptors must be finite, got nan or infinity in 'att'"),
        (lambda m: {"att": m["att"][:, :6]}, r"labels must count from 1 to 6, got 1\.\.7"),
        (lambda m: {"att": None}, r"must hold numbers called 'att', got the variables \['allclasses_names'"),
        (lambda m: {"features": m["features"][:, 1:]}, r"must have a label for each item, got 69 features and 70 labels"),
        (lambda m: {"allclasses_names": m["allclasses_names"][[0, 0, 1, 2, 3, 4, 5]]}, r"a name of its own, got 6 names for 7"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, changes, message):
    made = write(tmp_path)
    write(tmp_path, **changes(made))
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_what_is_absent_is_named(tmp_path):
    write(tmp_path)
    (tmp_path / "res101.mat").unlink()
    with pytest.raises(MissingDataError, match=r"one .mat file with 'features' and 'labels', got none; put it there"):
        load_dataset(tmp_path)
    (tmp_path / "att_splits.mat").write_bytes(b"MATLAB 5.0, but cut short")
    with pytest.raises(DataError, match=r"must be a whole MATLAB file of version 7 or below"):
        load_dataset(tmp_path)


# The published files ------------------------------------------------------------------------------------

PUBLISHED = {
    "AWA2": ((23527, 5882, 7913), "dfe0e4f26ef5debaa77eff823a9316ac110e9b809b70d19c72dd11404f7be357"),
    "CUB": ((7057, 1764, 2967), "4562b1f6306e21dca05071b9b070ce2b15ec659826c8cb87e5ea796b3770df21"),
    "SUN": ((10320, 2580, 1440), "90dcb2a60704ce1117ba1897523ba78dc6b625e606008918c4eade9cd8a5bf43"),
    "APY": ((5932, 1483, 7924), "1fb6c3c031342e1a2bd964e1633ba01b546bac9bc027d7a69d1d01562de27611"),
    "FLO": ((5631, 1403, 1155), "f7c2841a236b54c7100f378667ff9a5d1ef7c934a0d3720018c6fffd02ef9a49"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_splits_have_their_sizes(name, data_root):
    path = data_root("xlsa17_splits") / name / "att_splits.mat"
    sizes, sha256 = PUBLISHED[name]
    splits = read_mat(path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert tuple(splits[key].size for key in ("trainval_loc", "test_seen_loc", "test_unseen_loc")) == sizes
    if "val_loc" in splits:  # the trap in the published files
        both = np.concatenate([splits["train_loc"], splits["val_loc"]])
        assert set(splits["test_seen_loc"].ravel().tolist()) <= set(both.ravel().tolist())


def test_columns_of_cub_are_not_in_the_order_of_its_numbers(data_root):
    splits = read_mat(data_root("xlsa17_splits") / "CUB" / "att_splits.mat")
    assert str(splits["allclasses_names"][0, 0].item()) == "002.Laysan_Albatross"


def test_animals_with_attributes(data_root):
    data_root("awa1")
    data = load_dataset("awa1")
    assert data.items.shape == (30475, 256) and data.descriptors.shape == (50, 85)
    assert {name: len(rows) for name, rows in data.splits.items()} == {
        "trainval": 19832, "test": 5685, "test-seen": 4958,
        "train": 13460, "val": 6372, "train-fit": 10780, "train-held-out": 2680,
    }  # fmt: skip
    held_out = data.splits["train-held-out"].astype("<i8").tobytes()
    assert hashlib.sha256(held_out).hexdigest() == "9055abd27b276155f26180f3cc2a76c392108d31db22d3a4276047a3cb359595"
    old = load_dataset("awa1", split="2009", descriptors="binary")
    assert (
        len(classes_of(old, "test")) == 10 and len(classes_of(old, "trainval")) == 40 and "test-seen" not in old.splits
    )
    assert set(np.unique(old.descriptors)) == {0, 1}
    assert len(classes_of(old, "val") & classes_of(old, "train")) == 0
    published = load_dataset("awa1", descriptors="original_att").descriptors
    known = published >= 0
    agree = ((published > published[known].mean()) == (old.descriptors == 1))[known].mean()
    assert agree > 0.85  # binary attributes are the continuous ones, cut; classes in another order would agree by half
    with pytest.raises(DataError, match="the split of AwA1 must be one of proposed, 2009, got 'ps'"):
        load_dataset("awa1", split="ps")


def test_the_splits_need_their_labels(data_root):
    data_root("awa1")
    data = load_dataset("awa1")
    splits = read_mat(data_root("awa1") / "att_splits.mat")
    shifted = replace(data, labels=np.roll(data.labels, 1))  # positions that count from 0
    with pytest.raises(DataError, match=r"unseen classes must have no item in trainval_loc, got .*; look whether"):
        seen_unseen(splits, shifted.labels, data.class_names)
