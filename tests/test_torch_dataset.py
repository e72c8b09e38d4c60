from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset, TensorDataset

from fewshot.datasets.torch_dataset import from_torch
from fewshot.errors import DataError


class Listed(Dataset):
    """A dataset that counts how often each item is read."""

    def __init__(self, items, **known):
        self.items, self.read = items, Counter()
        self.__dict__.update(known)

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        self.read[i] += 1
        return self.items[i]


def images(*values):
    return [Image.new("RGB", (12, 10), (v, 0, 0)) for v in values]


def test_images_with_targets_are_read_once():
    data = Listed(list(zip(images(1, 2, 3), [5, 1, 5], strict=True)), targets=[5, 1, 5], classes=list("abcdef"))
    zoo = from_torch(data, name="zoo", size=8)
    assert data.read == Counter({0: 1, 1: 1, 2: 1})
    assert zoo.items.dtype == np.uint8
    assert zoo.items[:, 0, 3, 3].tolist() == [1, 2, 3]
    assert zoo.items.shape == (3, 3, 8, 8)
    assert (zoo.class_names, zoo.labels.tolist(), zoo.name) == (("b", "f"), [1, 0, 1], "zoo")


def test_labels_attribute_of_items_alone():
    data = Listed([torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])], labels=torch.tensor([3, 1]))
    rows = from_torch(data)
    assert (rows.name, rows.class_names, rows.labels.tolist()) == ("listed", ("1", "3"), [1, 0])
    assert rows.items.tolist() == [[1, 2], [3, 4]]


def test_without_targets_labels_come_in_the_same_pass():
    data = Listed([(np.array([1.0]), torch.tensor(4)), (np.array([2.0]), np.int64(2)), (np.array([3.0]), 4)])
    rows = from_torch(data)
    assert data.read == Counter({0: 1, 1: 1, 2: 1})
    assert (rows.class_names, rows.labels.tolist(), rows.items.tolist()) == (("2", "4"), [1, 0, 1], [[1], [2], [3]])


def test_torch_datasets():
    whole = TensorDataset(torch.arange(8).reshape(4, 2), torch.tensor([1, 0, 1, 0]))
    assert from_torch(whole).items.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    part = from_torch(Subset(whole, [3, 0]))
    assert (part.items.tolist(), part.labels.tolist()) == ([[6, 7], [0, 1]], [0, 1])


def test_a_torchvision_folder(tmp_path):
    from torchvision.datasets import ImageFolder

    for name, value in (("emu", 9), ("bee", 7)):
        (tmp_path / name).mkdir()
        Image.new("RGB", (6, 6), (value, 0, 0)).save(tmp_path / name / "1.png")
    zoo = from_torch(ImageFolder(tmp_path), size=6)
    assert (zoo.class_names, zoo.items[:, 0, 0, 0].tolist()) == (("bee", "emu"), [7, 9])


def test_texts():
    talk = from_torch(Listed([("short", "a"), ("a much longer text", "b")]))
    assert talk.items.tolist() == ["short", "a much longer text"]
    assert talk.class_names == ("a", "b")


@pytest.mark.parametrize("targets", [[0, 1, 2, 3], torch.arange(4), np.arange(4)], ids=["list", "tensor", "array"])
def test_transformed_labels_are_those_that_count(targets):
    """An item's own label is what the dataset says; names of its raw targets do not fit transformed numbers."""
    known = {"targets": targets, "classes": ["apple", "frog", "newt", "pear"]}
    names = from_torch(Listed([(np.zeros(1), name) for name in ("fruit", "animal", "animal", "fruit")], **known))
    assert [names.class_names[k] for k in names.labels] == ["fruit", "animal", "animal", "fruit"]
    numbers = from_torch(Listed([(np.zeros(1), k // 2) for k in range(4)], **known))
    assert (numbers.class_names, numbers.labels.tolist()) == (("0", "1"), [0, 0, 1, 1])
    same = from_torch(Listed([(np.zeros(1), torch.tensor(k)) for k in range(4)], **known))
    assert same.class_names == ("apple", "frog", "newt", "pear")


def test_a_torchvision_folder_with_a_target_transform(tmp_path):
    from torchvision.datasets import ImageFolder

    for name in ("bee", "cow", "emu"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (6, 6)).save(tmp_path / name / "1.png")
    zoo = from_torch(ImageFolder(tmp_path, target_transform=lambda k: "bird" if k == 2 else "no bird"), size=6)
    assert [zoo.class_names[k] for k in zoo.labels] == ["no bird", "no bird", "bird"]


def test_class_names_that_do_not_fit_are_left_alone():
    rows = from_torch(Listed([(np.zeros(1), 0), (np.zeros(1), 7)], classes=["a", "b"]))
    assert rows.class_names == ("0", "7")


def test_errors():
    with pytest.raises(
        DataError, match="every item needs a label, got 0 labels for 2 items of Listed; give the dataset"
    ):
        from_torch(Listed([torch.zeros(1), torch.zeros(1)]))
    with pytest.raises(DataError, match=r"items must have one shape, got \(3,\) after \(2,\) in item 1"):
        from_torch(Listed([(torch.zeros(2), 0), (torch.zeros(3), 0)]))
    with pytest.raises(DataError, match="needs at least one item, got none in Listed"):
        from_torch(Listed([]))
    with pytest.raises(DataError, match="every item needs one label, got 2 items and 3 labels"):
        from_torch(Listed([torch.zeros(1), torch.zeros(1)], targets=[0, 1, 2]))
    with pytest.raises(DataError, match="labels must not be negative, got -1"):
        from_torch(Listed([(torch.zeros(1), -1), (torch.zeros(1), 0)]))
    with pytest.raises(DataError, match="an item must be an image, a tensor, an array or a text, got dict in item 0"):
        from_torch(Listed([{"image": torch.zeros(1), "label": 0}]))
    for target in (torch.eye(2)[1], np.ones(5), torch.zeros(0)):
        with pytest.raises(DataError, match=r"a label must be one number or text, got a .* of shape .* in item 0"):
            from_torch(Listed([(torch.zeros(1), target)]))
    with pytest.raises(DataError, match="a label must be one number or text, got a dict in item 1"):
        from_torch(Listed([(torch.zeros(1), 0), (torch.zeros(1), {"boxes": [1, 2]})]))
    with pytest.raises(DataError, match="a label must be one number or text, got a NoneType in item 1"):
        from_torch(Listed([(torch.zeros(1), 0), (torch.zeros(1), None)]))
