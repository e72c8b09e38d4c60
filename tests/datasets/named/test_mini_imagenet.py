"""miniImageNet on data made in the test: 100 classes of two images in each of the four forms."""

import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import yaml
from old_pickles import old_pickle
from PIL import Image

from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.index import load_dataset
from fewshot.datasets.named import mini_imagenet
from fewshot.datasets.named.mini_imagenet import load_mini_imagenet
from fewshot.errors import DataError, MissingDataError, UnknownNameError
from fewshot.evaluation.audit.exposure import exposure
from fewshot.plumbing.files import packaged

LISTS = load_class_split("mini-imagenet").parts


def picture(label, k, side=84):
    """Different pixels for every image."""
    return np.random.default_rng([int(label[1:]), k]).integers(0, 256, (side, side, 3), np.uint8)


@pytest.fixture
def folder(tmp_path, monkeypatch, own_cache):
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    monkeypatch.setattr(mini_imagenet, "IMAGES", 2)
    (tmp_path / "mini-imagenet").mkdir()
    return tmp_path / "mini-imagenet"


def put(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG")


def caches(folder, dump=pickle.dumps, lists=LISTS, names=("train", "val", "test")):
    for part, name in zip(("train", "val", "test"), names, strict=True):
        rows = [(label, k) for k in (0, 1) for label in lists[part]]  # classes are not in runs
        content = {
            "image_data": np.stack([picture(*row) for row in rows]),
            "class_dict": {label: [i for i, row in enumerate(rows) if row[0] == label] for label in lists[part]},
        }
        (folder / f"mini-imagenet-cache-{name}.pkl").write_bytes(dump(content))


def named_lists(folder, columns="filename,label", name="{label}{k:08d}.jpg", where="images/{name}", lists=LISTS):
    for part, labels in lists.items():
        lines = [columns]
        for label in labels:
            for k in (0, 1):
                file = name.format(label=label, k=k)
                put(folder / where.format(label=label, name=file), picture(label, k))
                lines.append(f"{file},{label}" if columns.startswith("filename") else f"{label},{file}")
        (folder / f"{part}.csv").write_text("\n".join(lines) + "\n")


def class_folders(folder, lists=LISTS):
    for part, labels in lists.items():
        for label in labels:
            for k in (0, 1):
                put(folder / part / label / f"{k}.jpg", picture(label, k))


def ilsvrc(folder):
    named_lists(folder, "class_name,image_name", "{label}_{k}.JPEG", "{label}/{name}")


FORMS = {
    "caches": caches,
    "python 2 caches": lambda folder: caches(folder, old_pickle),
    "caches of learn2learn's names": lambda folder: caches(folder, names=("train", "validation", "test")),
    "Ravi's lists": named_lists,
    "class folders": class_folders,
    "ILSVRC": ilsvrc,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_images_of_the_same_classes(form, folder):
    FORMS[form](folder)
    data = load_dataset("mini-imagenet")
    assert data.items.shape == (200, 3, 84, 84) and data.items.dtype == np.uint8
    assert isinstance(data.items, np.memmap)
    assert data.name == "mini-imagenet-ravi" and data.origin == "imagenet"
    for part, labels in LISTS.items():
        split = data.split(part)
        assert split.class_names == tuple(sorted(labels))
        for label in labels[:3]:
            rows = np.flatnonzero(split.labels == split.class_names.index(label))
            got = {np.asarray(split.items[r]).tobytes() for r in rows}
            assert got == {picture(label, k).transpose(2, 0, 1).tobytes() for k in (0, 1)}
    again = load_mini_imagenet(resize="none")
    np.testing.assert_array_equal(again.items, data.items)
    assert not np.array_equal(load_mini_imagenet(resize="crop").items, data.items)


def test_the_published_list_has_the_classes_that_timm_names():
    names = Path(timm.__file__).parent / "data" / "_info" / "mini_imagenet_synsets.txt"
    assert sorted(sum(LISTS.values(), ())) == sorted(names.read_text().split())
    assert [len(part) for part in LISTS.values()] == [64, 16, 20]
    assert {"n01930112", "n03544143"} < set(LISTS["test"]) and "n01855672" in LISTS["val"]
    assert yaml.safe_load(packaged("data", "splits", "mini-imagenet.yaml").read_text("utf-8"))["source"]


def test_weights_of_imagenet_have_seen_every_class(folder):
    caches(folder)
    backbone = SimpleNamespace(pretraining="ImageNet-1k")
    data = load_mini_imagenet()
    assert exposure(backbone, data.split("test")).same == 20 and exposure(backbone, data).same == 100
    elsewhere = replace(data, class_names=tuple(f"{name}x" for name in data.class_names))
    assert exposure(backbone, elsewhere).same == 0


def moved(old, new):
    """The lists with a class that is in another part."""
    changed = {part: list(labels) for part, labels in LISTS.items()}
    changed[new].append(changed[old].pop(0))
    return changed


@pytest.mark.parametrize("form", [caches, named_lists, class_folders])
def test_a_class_in_another_part_is_seen_whatever_the_form(form, folder):
    form(folder, lists=moved("train", "test"))
    name = LISTS["train"][0]
    with pytest.raises(
        DataError,
        match=rf"the part 'train' must have the 64 classes of the split's list, got 1 missing \['{name}'\] and 0",
    ):
        load_mini_imagenet()


def test_a_class_too_many_and_one_too_few_are_named(folder):
    lists = LISTS | {"test": ("n99999999", *LISTS["test"][1:])}
    caches(folder, lists=lists)
    with pytest.raises(
        DataError,
        match=rf"'test' must have the 20 classes .* got 1 missing \['{LISTS['test'][0]}'\] and 1 too many \['n99999999'\]",
    ):
        load_mini_imagenet()


def test_a_class_with_other_than_600_images_is_named(folder, monkeypatch):
    class_folders(folder)
    (folder / "val" / LISTS["val"][3] / "1.jpg").unlink()
    with pytest.raises(DataError, match=f"every class must have 2 images, got 1 of '{LISTS['val'][3]}' in 'val'"):
        load_mini_imagenet()
    monkeypatch.undo()
    assert mini_imagenet.IMAGES == 600


def test_names_that_are_not_ilsvrcs_are_told(folder):
    ilsvrc(folder)
    named_lists(folder.parent / "elsewhere")
    for part in LISTS:
        (folder.parent / "elsewhere" / f"{part}.csv").rename(folder / f"{part}.csv")
    with pytest.raises(
        MissingDataError, match=r"got 'n\d+/n\d+00000000.jpg', which is not there; Ravi's names .* lists with its own"
    ):
        load_mini_imagenet()


def test_nothing_and_half_of_it(folder):
    with pytest.raises(
        MissingDataError, match=r"must hold mini-imagenet-cache-train.pkl, or train.csv .* got none of them"
    ):
        load_mini_imagenet()
    caches(folder)
    (folder / "mini-imagenet-cache-val.pkl").unlink()
    with pytest.raises(MissingDataError, match=r"mini-imagenet-cache-val.pkl' must be a file of the data set"):
        load_mini_imagenet()


def test_arguments(folder):
    with pytest.raises(UnknownNameError, match="the split must be a known name, got 'vinyals'"):
        load_mini_imagenet(split="vinyals")
    with pytest.raises(UnknownNameError, match="the resize must be a known name, got 'direkt'; did you mean 'direct'"):
        load_mini_imagenet(resize="direkt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("class_dict"), r"must hold a dict with 'class_dict', got \['image_data'\]"),
        (lambda c: c.update(image_data=c["image_data"] / 255), r"as uint8 \(n, height, width, 3\), got float64"),
        (lambda c: c.update(image_data=[1]), r"\(n, height, width, 3\), got list"),
        (lambda c: c.update(class_dict=[1]), "'class_dict' as a dict of rows, got list"),
        (lambda c: c["class_dict"].update({LISTS["train"][0]: [0]}), "each of its 128 images one class, got 127 rows"),
        (lambda c: c["class_dict"].update({LISTS["train"][0]: [0, 1]}), "one class, got 128 rows .* 127 different"),
    ],
)
def test_damaged_caches(folder, change, message):
    caches(folder)
    path = folder / "mini-imagenet-cache-train.pkl"
    content = pickle.loads(path.read_bytes())
    change(content)
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(DataError, match=message):
        load_mini_imagenet()


def test_tables_without_the_columns(folder):
    named_lists(folder)
    (folder / "val.csv").write_text("file,class\na,b\n")
    with pytest.raises(DataError, match=r"val.csv' must have the columns filename,label or .* got \['file', 'class'\]"):
        load_mini_imagenet()
    (folder / "val.csv").write_text("filename,label\n")
    with pytest.raises(DataError, match="must have a row for each image"):
        load_mini_imagenet()


def test_an_image_outside_the_class_folders(folder):
    class_folders(folder)
    put(folder / "test" / "odd.png", picture("n1", 0))
    with pytest.raises(DataError, match=r"must lie in the class folder of a part, got 'test/odd\.png'"):
        load_mini_imagenet()
