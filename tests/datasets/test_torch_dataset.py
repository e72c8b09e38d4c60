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


COARSE = {"a": 0, "b": 1, "c": 1, "d": 0}


@pytest.mark.parametrize("own", [list("xyyx"), [0, 1, 1, 0]])
def test_labels_that_come_with_the_items_win_over_targets(own):
    items = [torch.tensor([float(k)]) for k in range(4)]
    made = from_torch(Listed(list(zip(items, own, strict=True)), targets=[0, 1, 2, 3], classes=list("abcd")))
    assert [made.class_names[k] for k in made.labels] == [str(label) for label in own]  # and not those of the classes


def test_a_target_transform_of_torchvision(tmp_path):
    from torchvision.datasets import ImageFolder

    for k, name in enumerate(COARSE):
        (tmp_path / name).mkdir()
        Image.new("RGB", (6, 6), (k, 0, 0)).save(tmp_path / name / "1.png")
    plain, coarse = ImageFolder(tmp_path), ImageFolder(tmp_path, target_transform=lambda k: int(k in (1, 2)))
    assert from_torch(plain, size=6).class_names == tuple("abcd")
    made = from_torch(coarse, size=6)
    assert (made.class_names, made.labels.tolist()) == (("0", "1"), [0, 1, 1, 0])


def test_what_is_no_label_beside_an_item_leaves_the_targets():
    pairs = [
        (torch.tensor([1.0]), torch.tensor([2.0, 3.0])),
        (torch.tensor([4.0]), torch.tensor([5.0, 6.0])),
    ]  # two views
    assert from_torch(Listed(pairs, targets=[3, 1])).class_names == ("1", "3")
    assert from_torch(Listed([(torch.zeros(1), np.array([k])) for k in (4, 2)])).class_names == ("2", "4")


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (torch.eye(2)[0], r"got a Tensor of shape \(2,\) in item 1 of Listed; let a target_transform .* argmax"),
        (np.ones(3, int), r"got a ndarray of shape \(3,\) in item 1"),
        ({"boxes": [1]}, "got a dict in item 1"),
        (["a", "b"], "got a list in item 1"),
        (None, "got a NoneType in item 1"),
    ],
)
def test_labels_that_are_none_are_refused(label, message):
    with pytest.raises(DataError, match=message):
        from_torch(Listed([(torch.zeros(1), 0), (torch.zeros(1), label)]))


@pytest.mark.parametrize(
    "items",
    [
        [np.array([0, 0]), np.array([0.25, 0.75])],
        [torch.tensor([0, 0]), torch.tensor([0.25, 0.75])],
        [torch.tensor([0.0, 0.0], dtype=torch.float16), torch.tensor([0.25, 0.75], dtype=torch.float64)],
        [np.array([False, False]), np.array([0.25, 0.75], np.float32)],
    ],
)
def test_number_types_that_meet_become_the_wider_one(items):
    for order in (items, items[::-1]):
        made = np.asarray(from_torch(Listed([(item, k) for k, item in enumerate(order)])).items)
        np.testing.assert_array_equal(made, [np.asarray(item, np.float64) for item in order])


@pytest.mark.parametrize(
    ("first", "second", "got"),
    [
        (
            torch.zeros(2, dtype=torch.uint8),
            torch.tensor([0.25, 0.75]),
            "got torch.float32 after torch.uint8 in item 1",
        ),
        (np.zeros(2), np.zeros(2, np.uint8), "got uint8 after float64 in item 1"),
        ("a text", 3.5, "got float64 after StringDType.* in item 1"),
        (3.5, "a text", "got <U6 after float64 in item 1"),
        (torch.zeros(2), np.zeros(2), "got float64 after torch.float32 in item 1"),
    ],
)
def test_pixels_and_fractions_texts_and_numbers_do_not_mix(first, second, got):
    with pytest.raises(DataError, match=f"of one number type, or all texts, {got}"):
        from_torch(Listed([(first, 0), (second, 1)]))


def test_what_is_no_map_style_dataset():
    loader = torch.utils.data.DataLoader(Listed([(torch.zeros(1), 0)]))
    with pytest.raises(DataError, match=r"takes a dataset, got a DataLoader; pass its .dataset"):
        from_torch(loader)
    with pytest.raises(DataError, match=r"give items by number, got generator; pass list\(dataset\)"):
        from_torch(k for k in range(3))


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
