"""Caltech-101 and the class lists that come with the package."""

import hashlib
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image

from fewshot.datasets.class_splits import ClassSplit, hash_of, load_class_split
from fewshot.datasets.named.caltech101 import load_caltech101
from fewshot.errors import DataError, MissingDataError, UnknownNameError
from fewshot.plumbing.files import packaged


@pytest.fixture
def caltech(data_root):
    data_root("caltech101")
    return load_caltech101()


def test_sizes_are_the_published_ones(caltech):
    counts = np.bincount(caltech.labels)
    assert caltech.items.shape == (8677, 3, 84, 84) and caltech.items.dtype == np.uint8
    assert len(counts) == 101 and (counts.min(), counts.max()) == (31, 800)
    assert counts[caltech.class_names.index("airplanes")] == 800
    assert caltech.item_names[0] == "Faces/image_0001.jpg"


def test_splits_share_no_class_and_leave_none_out(caltech):
    parts = {name: set(caltech.split(name).class_names) for name in ("train", "val", "test")}
    assert [len(classes) for classes in parts.values()] == [61, 20, 20]
    assert len(set.union(*parts.values())) == 101
    assert sum(len(rows) for rows in caltech.splits.values()) == 8677
    assert caltech.split("test").qualified_names()[0] == "caltech101:Leopards"


def test_pixels_are_those_of_the_files(caltech, data_root):
    row = 5000
    archive = zipfile.ZipFile(data_root("caltech101") / "caltech101_84px.zip")
    with archive, archive.open(f"101_ObjectCategories/{caltech.item_names[row]}") as file:
        image = Image.open(file).convert("RGB")
    left, top = (image.width - 84) // 2, (image.height - 84) // 2
    cut = np.asarray(image.crop((left, top, left + 84, top + 84)))
    np.testing.assert_array_equal(np.asarray(caltech.items[row]).transpose(1, 2, 0), cut)


def test_the_lists_follow_from_the_rule():
    content = yaml.safe_load(packaged("data", "splits", "caltech101.yaml").read_text("utf-8"))
    known = sorted(content["train"] + content["val"] + content["test"])
    first = {name: group[0] for group in content["same_subject"] for name in group}
    order = sorted({first.get(n, n) for n in known}, key=lambda n: hashlib.sha256(n.encode()).digest())
    room, place = {"train": 61, "val": 20, "test": 20}, {}
    for name in order:
        size = sum(first.get(n, n) == name for n in known)
        place[name] = next(part for part, left in room.items() if left >= size)
        room[place[name]] -= size
    assert {n: place[first.get(n, n)] for n in known} == {n: p for p in room for n in content[p]}


def test_one_changed_name_is_seen():
    split = load_class_split("caltech101")
    changed = split.parts | {"test": ("Lepard", *split.parts["test"][1:])}
    assert hash_of(changed) != split.sha256
    with pytest.raises(DataError, match="the lists of a split must have the hash 6af6f4ce"):
        replace(split, parts=changed)
    with pytest.raises(DataError, match="a class must be in one part of a split, got 'ant' twice"):
        ClassSplit("", {"train": ("ant",), "test": ("ant", "bee")}, "")


def test_other_classes_are_refused():
    split = ClassSplit("", {"train": ("ant",), "test": ("bee",)}, hash_of({"train": ("ant",), "test": ("bee",)}))
    rows = split.rows(np.array([1, 0, 1]), ("bee", "ant"))
    assert {part: r.tolist() for part, r in rows.items()} == {"train": [0, 2], "test": [1]}
    with pytest.raises(DataError, match=r"got a difference in \['bee', 'wasp'\]"):
        split.rows(np.array([0, 1]), ("ant", "wasp"))
    with pytest.raises(UnknownNameError, match="did you mean 'caltech101'"):
        load_class_split("caltech10")


def test_half_a_data_set_is_refused(tmp_path, monkeypatch, own_cache):
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    folder = tmp_path / "caltech101" / "101_ObjectCategories"
    folder.mkdir(parents=True)
    for name in ("ant", "BACKGROUND_Google"):
        (folder / name).mkdir()
        Image.new("RGB", (90, 84)).save(folder / name / "image_0001.jpg")
    with pytest.raises(DataError, match="must have 8677 images of 101 classes, got 1 of 1; extract it again"):
        load_caltech101()
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(MissingDataError, match=r"needs one of caltech101_84px.zip, 101_ObjectCategories, .* got none"):
        load_caltech101()
