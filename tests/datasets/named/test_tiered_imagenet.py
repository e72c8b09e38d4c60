"""tieredImageNet on data made in the test: pickles of a few classes of each part, and folders of all classes."""

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import timm
from old_pickles import old_pickle
from PIL import Image

from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.index import load_dataset
from fewshot.datasets.named import tiered_imagenet
from fewshot.datasets.named.tiered_imagenet import load_tiered_imagenet
from fewshot.errors import DataError, MissingDataError

NAMES = {"train": ["robin", "crane", "otter", "crane"], "val": ["cab", "jeep"], "test": ["pizza", "cup", "wok"]}
GROUPS = {"train": [0, 0, 1, 2], "val": [0, 0], "test": [1, 1, 0]}  # of each class
GROUP_NAMES = {"train": ["bird", "mammal", "machine"], "val": ["car"], "test": ["vessel", "food"]}
EACH = 3


def picture(part, c, k, side=84):
    return np.random.default_rng([len(part), c, k]).integers(0, 256, (side, side, 3), np.uint8)


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def rows(part):
    """Class and number of each image, in an order that is no run of classes."""
    return [(c, k) for k in range(EACH) for c in range(len(NAMES[part]))]


@pytest.fixture
def folder(tmp_path, monkeypatch, own_cache):
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    monkeypatch.setattr(tiered_imagenet, "COUNTS", {part: len(names) for part, names in NAMES.items()})
    (tmp_path / "tiered-imagenet").mkdir()
    return tmp_path / "tiered-imagenet"


def column(content):
    """As OpenCV's ``imencode`` gives it."""
    return np.frombuffer(content, np.uint8).reshape(-1, 1)


def pickles(folder, dump=pickle.dumps, as_stored=column, names=NAMES):
    for part in names:
        order = rows(part)
        labels = {
            "label_specific": np.array([c for c, _ in order]),
            "label_general": np.array([GROUPS[part][c] for c, _ in order]),
            "label_specific_str": names[part],
            "label_general_str": GROUP_NAMES[part],
        }
        images = [as_stored(png(picture(part, c, k))) for c, k in order]
        (folder / f"{part}_labels.pkl").write_bytes(dump(labels))
        (folder / f"{part}_images_png.pkl").write_bytes(dump(images))


FORMS = {
    "python 3": {},
    "python 2": {"dump": old_pickle},
    "bytes": {"as_stored": bytes},
    "python 2's text": {"dump": old_pickle, "as_stored": bytes},
}


@pytest.mark.parametrize("form", FORMS)
def test_pickles(form, folder):
    pickles(folder, **FORMS[form])
    data = load_dataset("tiered-imagenet")
    assert (data.name, data.origin, data.items.shape) == ("tiered-imagenet", "tiered-imagenet", (27, 3, 84, 84))
    for part, names in NAMES.items():
        split = data.split(part)
        assert len(split.class_names) == len(names) and len(split) == EACH * len(names)
        for row, (c, k) in enumerate(rows(part)):
            np.testing.assert_array_equal(split.items[row], picture(part, c, k).transpose(2, 0, 1))
            assert split.class_names[split.labels[row]].split(" ")[0] == names[c]


def test_classes_that_are_called_the_same_stay_two(folder):
    pickles(folder)
    data = load_tiered_imagenet()
    assert data.class_names == (
        "cab",
        "crane (train 1)",
        "crane (train 3)",
        "cup",
        "jeep",
        "otter",
        "pizza",
        "robin",
        "wok",
    )


def test_groups_are_the_super_categories(folder):
    pickles(folder)
    data = load_tiered_imagenet()
    members = {frozenset(np.array(data.class_names)[data.groups == g].tolist()) for g in set(data.groups.tolist())}
    assert members == {
        frozenset({"crane (train 1)", "robin"}), frozenset({"otter"}), frozenset({"crane (train 3)"}),
        frozenset({"cab", "jeep"}), frozenset({"pizza", "cup"}), frozenset({"wok"}),
    }  # fmt: skip


def class_folders(folder, lists):
    """One image for each class, another colour for each."""
    for part, labels in lists.items():
        for c, label in enumerate(labels):
            (folder / part / label).mkdir(parents=True)
            colour = (len(part), c % 256, c // 256)
            Image.new("RGB", (84, 84), colour).save(folder / part / label / "1.JPEG", format="PNG")


def test_folders(folder, monkeypatch):
    lists = load_class_split("tiered-imagenet").parts
    monkeypatch.setattr(tiered_imagenet, "COUNTS", {"train": 351, "val": 97, "test": 160})
    class_folders(folder, lists)
    data = load_tiered_imagenet("none")
    assert data.groups is None and len(data) == 608 and data.origin == "imagenet"
    for part, labels in lists.items():
        split = data.split(part)
        assert split.class_names == tuple(sorted(labels))
        c = labels.index(split.class_names[split.labels[7]])
        assert split.items[7, :, 40, 40].tolist() == [len(part), c % 256, c // 256]
    moved = lists["val"][0]
    (folder / "val" / moved).rename(folder / "test" / moved)
    with pytest.raises(DataError, match=rf"the part 'val' must have the 97 classes .* 1 missing \['{moved}'\]"):
        load_tiered_imagenet()


def test_the_published_lists_are_of_imagenet_and_share_no_class():
    lists = load_class_split("tiered-imagenet").parts
    synsets = (Path(timm.__file__).parent / "data" / "_info" / "imagenet_synsets.txt").read_text().split()
    assert {part: len(labels) for part, labels in lists.items()} == {"train": 351, "val": 97, "test": 160}
    assert set(sum(lists.values(), ())) < set(synsets)
    assert tiered_imagenet.COUNTS == {"train": 351, "val": 97, "test": 160}


def test_other_numbers_of_classes_are_refused(folder, monkeypatch):
    pickles(folder, names=NAMES | {"val": ["cab", "jeep", "van"]})
    with pytest.raises(DataError, match="must number 3 classes from 0 for each image, got 2 of 6 images"):
        load_tiered_imagenet()
    pickles(folder)
    monkeypatch.setattr(tiered_imagenet, "COUNTS", {"train": 4, "val": 3, "test": 3})
    with pytest.raises(DataError, match=r"must have \(4, 3, 3\) classes in train, val, test, got \(4, 2, 3\)"):
        load_tiered_imagenet()


def test_nothing_half_and_damaged(folder):
    with pytest.raises(MissingDataError, match=r"must hold train_images_png.pkl and train_labels.pkl, or train/"):
        load_tiered_imagenet()
    pickles(folder)
    (folder / "val_images_png.pkl").write_bytes(pickle.dumps([png(picture("val", 0, 0))]))
    with pytest.raises(DataError, match="must hold 6 images, as many as labels, got 1"):
        load_tiered_imagenet()
    (folder / "val_images_png.pkl").write_bytes(pickle.dumps([b"no image"] * 6))
    with pytest.raises(DataError, match=r"val_images_png.pkl:0' must be a whole image file"):
        load_tiered_imagenet()
    (folder / "val_images_png.pkl").unlink()
    with pytest.raises(MissingDataError, match=r"val_images_png.pkl' must be a file of the data set, got none"):
        load_tiered_imagenet()
