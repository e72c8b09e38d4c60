"""CUB-200-2011 on a folder made in the test: 200 classes of two images, in the published layout."""

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms import Resize

from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.index import load_dataset
from fewshot.datasets.named import cub
from fewshot.datasets.named.cub import load_cub, within
from fewshot.errors import DataError, MissingDataError, UnknownNameError

NAMES = sorted(sum(load_class_split("cub-easyfsl").parts.values(), ()))
IMAGES = [f"{name}/{name[4:]}_{k:04d}_{7 * i}.jpg" for i, name in enumerate(NAMES) for k in (1, 2)]
WIDTH, HEIGHT = 40, 30
SIDE = 16
PARTS = ("train", "val", "test")
SIZES = {"chen2019": (100, 50, 50), "easyfsl": (140, 30, 30), "feat": (100, 50, 50)}
FEAT_IN_CHEN, EASYFSL_IN_CHEN = [23, 15, 12], [14, 9, 7]


def photo(i):
    return Image.fromarray(np.random.default_rng(i).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8))


def box(i):
    """Left, top, width and height in the file's form."""
    return 5.0 + i % 7, 3.0 + i % 5, 20.0, 12.0 + i % 3


def shared(names):
    """How many of the classes Chen et al. train on, validate on and test on, by their rule: numbers modulo 4."""
    left = [NAMES.index(name) % 4 for name in names]
    return [left.count(0) + left.count(2), left.count(1), left.count(3)]


@pytest.fixture
def folder(tmp_path, monkeypatch, own_cache):
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    monkeypatch.setattr(cub, "IMAGES", len(IMAGES))
    root = tmp_path / "cub" / "CUB_200_2011"
    (root / "attributes").mkdir(parents=True)
    numbered(root / "classes.txt", NAMES)
    numbered(root / "images.txt", IMAGES)
    numbered(root / "image_class_labels.txt", [1 + i // 2 for i in range(len(IMAGES))])
    numbered(root / "bounding_boxes.txt", [" ".join(map(str, box(i))) for i in range(len(IMAGES))])
    table = np.random.default_rng(0).uniform(0, 100, (200, 312))
    np.savetxt(root / "attributes" / "class_attribute_labels_continuous.txt", table, "%.8f")
    for i, name in enumerate(IMAGES):
        (root / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        photo(i).save(root / "images" / name, format="PNG")
    return root


def numbered(path, values):
    path.write_text("".join(f"{k} {value}\n" for k, value in enumerate(values, 1)))


def test_images_classes_and_attributes_are_those_of_the_files(folder):
    data = load_dataset("cub", size=SIDE)
    assert (data.name, data.origin, data.items.shape) == ("cub-chen2019", "cub", (400, 3, SIDE, SIDE))
    assert list(data.class_names) == NAMES and data.item_names == IMAGES
    for i in (0, 1, 399):
        np.testing.assert_array_equal(data.items[i], np.asarray(Resize((SIDE, SIDE))(photo(i))).transpose(2, 0, 1))
        assert data.class_names[data.labels[i]] == IMAGES[i].split("/")[0]
    table = np.loadtxt(folder / "attributes" / "class_attribute_labels_continuous.txt")
    np.testing.assert_allclose(data.descriptors, table, rtol=1e-6)
    test = data.split("test")
    np.testing.assert_allclose(test.descriptors[0], table[NAMES.index(test.class_names[0])], rtol=1e-6)


def test_attributes_may_be_absent(folder):
    (folder / "attributes" / "class_attribute_labels_continuous.txt").unlink()
    assert load_cub(size=SIDE).descriptors is None


def test_chen_counts_classes(folder):
    """Even numbers train, 1 mod 4 validates, 3 mod 4 tests, counting from 0."""
    data = load_cub(size=SIDE)
    of = {part: sorted({NAMES.index(n) for n in data.split(part).class_names}) for part in ("train", "val", "test")}
    assert of == {
        "train": [c for c in range(200) if c % 2 == 0],
        "val": [c for c in range(200) if c % 4 == 1],
        "test": [c for c in range(200) if c % 4 == 3],
    }


def test_the_splits_are_three_benchmarks(folder):
    of = {split: load_cub(split, size=SIDE) for split in SIZES}
    parts = {split: {part: data.split(part).class_names for part in PARTS} for split, data in of.items()}
    assert {split: tuple(len(names) for names in found.values()) for split, found in parts.items()} == SIZES
    assert [data.name for data in of.values()] == [f"cub-{split}" for split in SIZES]
    assert shared(parts["easyfsl"]["test"]) == EASYFSL_IN_CHEN
    assert shared(parts["feat"]["test"]) == FEAT_IN_CHEN
    with pytest.raises(UnknownNameError, match="the split must be a known name, got 'ye2020'"):
        load_cub("ye2020")
    with pytest.raises(UnknownNameError, match="the resize must be a known name, got 'cut'"):
        load_cub(resize="cut")


def test_classes_of_feat_are_those_of_its_tables():
    """Classes read off the authors' tables, at several places of each, the last row among them."""
    read = {
        "train": {"131.Vesper_Sparrow", "038.Great_Crested_Flycatcher", "087.Mallard", "113.Baird_Sparrow"},
        "val": {"159.Black_and_white_Warbler", "105.Whip_poor_Will", "106.Horned_Puffin"},
        "test": {"133.White_throated_Sparrow", "083.White_breasted_Kingfisher", "173.Orange_crowned_Warbler"},
    }
    of = load_class_split("cub-feat").parts
    assert all(read[part] <= set(of[part]) for part in PARTS)
    assert sorted(sum(of.values(), ())) == NAMES


@pytest.mark.parametrize("other", ["train", "val"])
def test_parts_of_feat_that_are_exchanged_are_told_by_their_overlap(other):
    assert shared(load_class_split("cub-feat").parts[other]) != FEAT_IN_CHEN


def test_boxes_are_cut_out_before_anything_else(folder):
    data = load_cub(boxes=True, size=SIDE)
    assert data.name == "cub-chen2019-boxes"
    for i in (0, 5, 399):
        left, top, width, height = map(int, box(i))
        cut = Image.fromarray(np.asarray(photo(i))[top : top + height, left : left + width])
        np.testing.assert_array_equal(data.items[i], np.asarray(Resize((SIDE, SIDE))(cut)).transpose(2, 0, 1))
    numbered(folder / "bounding_boxes.txt", ["0.0 0.0 40.0 30.0"] * 400)
    whole = load_cub(boxes=True, size=SIDE)  # other boxes are other pixels, also in the cache
    np.testing.assert_array_equal(whole.items, load_cub(size=SIDE).items)


def test_boxes_keep_to_whole_pixels_of_the_image():
    pixels = np.asarray(photo(3))
    got = np.asarray(within(photo(3), (-4.0, 2.5, 12.2, 99.0)))
    np.testing.assert_array_equal(got, pixels[2:, :13])


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("images.txt", None, "images.txt' must have 400 numbered lines, got 399"),
        ("classes.txt", "200 200.Other", r"got a difference in|must lie in the folder of its class"),
        ("image_class_labels.txt", "400 1", r"must lie in the folder of its class, got '200.* in class 1$"),
        ("image_class_labels.txt", "400 0", r"must lie in the folder of its class, got '200.* in class 0$"),
        ("image_class_labels.txt", "401 200", "must have 400 numbered lines, got 400, or others"),
    ],
)
def test_other_lists_are_refused(file, line, message, folder):
    lines = (folder / file).read_text().splitlines()[:-1] + ([line] if line else [])
    (folder / file).write_text("\n".join(lines))
    with pytest.raises(DataError, match=message):
        load_cub()


def test_other_attributes_are_refused(folder):
    (folder / "attributes" / "class_attribute_labels_continuous.txt").write_text("1 2\n3 4\n")
    with pytest.raises(DataError, match=r"a row of numbers for each of 200 classes, got shape \(2, 2\)"):
        load_cub(size=SIDE)


def test_absent_files(folder):
    (folder / "images" / IMAGES[3]).unlink()
    with pytest.raises(
        MissingDataError, match=r"_0002_7.jpg' must be a file, got 'No such file or directory'; fetch it again"
    ):
        load_cub()
    (folder / "images.txt").unlink()
    with pytest.raises(
        MissingDataError, match=r"CUB needs the file '.*images.txt', got none; extract CUB_200_2011.tgz"
    ):
        load_cub()
    assert cub.CLASSES == 200
