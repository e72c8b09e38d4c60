"""CIFAR-FS and FC100 on archives made in the test: 100 classes, three images each in the published files' form."""

import io
import pickle
import tarfile

import numpy as np
import pytest
import torchvision
import yaml
from old_pickles import old_pickle

from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.index import load_dataset
from fewshot.datasets.named import cifar100
from fewshot.datasets.named.cifar100 import load_fc100
from fewshot.errors import DataError, MissingDataError
from fewshot.plumbing.files import packaged

SUPERCLASSES = """\
aquatic_mammals: beaver dolphin otter seal whale
fish: aquarium_fish flatfish ray shark trout
flowers: orchid poppy rose sunflower tulip
food_containers: bottle bowl can cup plate
fruit_and_vegetables: apple mushroom orange pear sweet_pepper
household_electrical_devices: clock keyboard lamp telephone television
household_furniture: bed chair couch table wardrobe
insects: bee beetle butterfly caterpillar cockroach
large_carnivores: bear leopard lion tiger wolf
large_man-made_outdoor_things: bridge castle house road skyscraper
large_natural_outdoor_scenes: cloud forest mountain plain sea
large_omnivores_and_herbivores: camel cattle chimpanzee elephant kangaroo
medium_mammals: fox porcupine possum raccoon skunk
non-insect_invertebrates: crab lobster snail spider worm
people: baby boy girl man woman
reptiles: crocodile dinosaur lizard snake turtle
small_mammals: hamster mouse rabbit shrew squirrel
trees: maple_tree oak_tree palm_tree pine_tree willow_tree
vehicles_1: bicycle bus motorcycle pickup_truck train
vehicles_2: lawn_mower rocket streetcar tank tractor
"""
OF = {name: group for group, names in yaml.safe_load(SUPERCLASSES).items() for name in names.split()}
NAMES, GROUPS = sorted(OF), sorted(set(OF.values()))


def contents():
    """The three files, with two images of each class in ``train`` and one in ``test``, in shuffled order."""
    made = {"meta": {"fine_label_names": NAMES, "coarse_label_names": GROUPS}}
    for file, each in (("train", 2), ("test", 1)):
        rng = np.random.default_rng(each)
        fine = rng.permutation(np.arange(100).repeat(each)).tolist()
        made[file] = {
            "data": rng.integers(0, 256, (100 * each, 3072), np.uint8),
            "fine_labels": fine,
            "coarse_labels": [GROUPS.index(OF[NAMES[c]]) for c in fine],
            "filenames": [f"{NAMES[c]}_{i}.png" for i, c in enumerate(fine)],
            "batch_label": f"{file}ing batch 1 of 1",
        }
    return made


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    monkeypatch.setattr(cifar100, "IMAGES", {"train": 2, "test": 1})
    (tmp_path / "cifar-100").mkdir()
    return tmp_path / "cifar-100"


def put(folder, made, dump=old_pickle):
    (folder / "cifar-100-python").mkdir()
    for file, content in made.items():
        (folder / "cifar-100-python" / file).write_bytes(dump(content))


def packed(folder, made, dump=old_pickle):
    with tarfile.open(folder / "cifar-100-python.tar.gz", "w:gz") as archive:
        for file, content in made.items():
            raw = dump(content)
            info = tarfile.TarInfo(f"cifar-100-python/{file}")
            info.size = len(raw)
            archive.addfile(info, io.BytesIO(raw))


@pytest.mark.parametrize("form", [put, packed])
@pytest.mark.parametrize("dump", [old_pickle, pickle.dumps])
def test_images_and_classes_are_those_of_the_files(form, dump, folder):
    made = contents()
    form(folder, made, dump)
    data = load_dataset("cifar-fs")
    assert (data.name, data.origin, data.items.shape) == ("cifar-fs", "cifar-100", (300, 3, 32, 32))
    for row, file, i in ((0, "train", 0), (199, "train", 199), (200, "test", 0), (250, "test", 50)):
        planes = made[file]["data"][i].reshape(3, 32, 32)
        np.testing.assert_array_equal(data.items[row], planes)
        assert data.class_names[data.labels[row]] == NAMES[made[file]["fine_labels"][i]]
        assert data.item_names[row] == f"{file}/{i}"
    assert [GROUPS[g] for g in data.groups] == [OF[name] for name in data.class_names]


def test_torchvision_reads_the_same(folder, monkeypatch):
    made = contents()
    put(folder, made, pickle.dumps)
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *arguments: True)
    theirs = [torchvision.datasets.CIFAR100(folder, train=train) for train in (True, False)]
    ours = load_fc100()
    pixels = np.concatenate([one.data for one in theirs]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(ours.items, pixels)
    assert ours.labels.tolist() == [*theirs[0].targets, *theirs[1].targets]
    assert list(ours.class_names) == theirs[0].classes


def test_splits_have_the_published_sizes_and_share_no_class(folder):
    put(folder, contents())
    for name, sizes in (("cifar-fs", [64, 16, 20]), ("fc100", [60, 20, 20])):
        data = load_dataset(name)
        parts = [set(data.split(part).class_names) for part in ("train", "val", "test")]
        assert [len(part) for part in parts] == sizes and len(set.union(*parts)) == 100
        assert sum(len(rows) for rows in data.splits.values()) == len(data)
    groups = [{OF[name] for name in part} for part in parts]  # of FC100
    assert [len(g) for g in groups] == [12, 4, 4] and len(set.union(*groups)) == 20


def test_the_lists_of_fc100_follow_from_the_superclasses():
    content = yaml.safe_load(packaged("data", "splits", "fc100.yaml").read_text("utf-8"))
    numbers = content["superclasses"]
    assert numbers == {
        "train": [1, 2, 3, 4, 5, 6, 9, 10, 15, 17, 18, 19], "val": [8, 11, 13, 16], "test": [0, 7, 12, 14],
    }  # fmt: skip
    lists = load_class_split("fc100").parts
    for part, chosen in numbers.items():
        assert sorted(lists[part]) == sorted(name for name in NAMES if GROUPS.index(OF[name]) in chosen)
    assert set(sum(load_class_split("cifar-fs").parts.values(), ())) == set(NAMES)
    assert {"rocket", "whale", "baby"} < set(load_class_split("cifar-fs").parts["test"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m["train"].update(data=m["train"]["data"][:, 1:]),
            r"rows of 3,072 pixels .* got uint8\(200, 3071\)",
        ),
        (
            lambda m: m["test"].update(fine_labels=m["test"]["fine_labels"][1:]),
            "got uint8.100, 3072., 99 and 100 labels",
        ),
        (lambda m: m["train"].pop("coarse_labels"), "'train' must hold a dict with 'coarse_labels'"),
        (lambda m: m["train"]["coarse_labels"].__setitem__(0, 99), "must have one superclass, got more"),
        (lambda m: m["test"].update(fine_labels=[0] * 100), "must number 100 classes from 0, got 1"),
        (lambda m: m["meta"].update(fine_label_names=["ant", *NAMES[1:]]), r"got a difference in \['ant', 'apple'\]"),
    ],
)
def test_other_files_are_refused(change, message, folder):
    made = contents()
    change(made)
    put(folder, made)
    with pytest.raises(DataError, match=message):
        load_fc100()


def test_a_class_with_other_counts_is_refused(folder, monkeypatch):
    put(folder, contents())
    monkeypatch.setattr(cifar100, "IMAGES", {"train": 2, "test": 2})
    with pytest.raises(DataError, match="every class must have 2 images, got 1 of 'apple' in 'test'"):
        load_fc100()
    monkeypatch.undo()
    assert cifar100.IMAGES == {"train": 500, "test": 100}


def test_nothing_a_damaged_archive_and_one_without_a_file(folder):
    with pytest.raises(
        MissingDataError, match=r"must hold cifar-100-python.tar.gz or the folder cifar-100-python, got neither"
    ):
        load_fc100()
    made = contents()
    del made["meta"]
    packed(folder, made)
    with pytest.raises(DataError, match="must hold 'cifar-100-python/meta', got no such file"):
        load_fc100()
    path = folder / "cifar-100-python.tar.gz"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="must be a whole archive"):
        load_fc100()
