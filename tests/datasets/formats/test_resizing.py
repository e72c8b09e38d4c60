import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms import CenterCrop, Resize

from fewshot.datasets.formats.pixels import square
from fewshot.datasets.formats.resizing import RESIZES, crop, direct, key_of, read_images, resizer, unchanged
from fewshot.datasets.formats.trees import Tree
from fewshot.errors import DataError, UnknownNameError


def photo(width, height, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def last(image):
    return np.asarray(image).transpose(2, 0, 1)


sides = st.integers(20, 300)


@given(sides, sides, st.integers(0, 99))
def test_crop_is_torchvisions_resize_92_and_centre_crop_84(width, height, seed):
    image = photo(width, height, seed)
    np.testing.assert_array_equal(crop(image, 84, "x"), last(CenterCrop(84)(Resize(92)(image))))


@given(sides, sides, st.integers(0, 99))
def test_direct_is_torchvisions_resize_to_both_sides(width, height, seed):
    image = photo(width, height, seed)
    np.testing.assert_array_equal(direct(image, 84, "x"), last(Resize((84, 84))(image)))


def published(image):
    return last(CenterCrop(84)(Resize(92)(image)))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda image: last(CenterCrop(84)(Resize(96)(image))),  # SimpleShot's enlargement
        lambda image: last(Resize((84, 84))(CenterCrop(min(image.size))(image))),  # cut first
        lambda image: last(CenterCrop(84)(Resize(92, Image.Resampling.LANCZOS)(image))),
        lambda image: last(CenterCrop(84)(Resize((92, 92))(image))),  # stretched
        lambda image: square(image, 84, "x"),
    ],
)
def test_other_pipelines_are_told_from_the_published_one(wrong):
    images = [photo(width, height) for width, height in ((120, 100), (101, 97), (300, 200))]
    assert all(np.array_equal(crop(image, 84, "x"), published(image)) for image in images)
    assert not any(np.array_equal(wrong(image), published(image)) for image in images)


def test_the_pipelines_differ_and_each_has_a_key_of_its_own():
    image = photo(120, 100)
    made = {name: make(image, 84, "x").tobytes() for name, make in RESIZES.items() if name != "none"}
    assert len(set(made.values())) == 3
    assert len({tuple(key_of(name, 84)) for name in RESIZES}) == len(RESIZES)
    assert RESIZES["square"] is square


def test_images_of_the_size_are_untouched_by_direct_and_none():
    image = photo(84, 84)
    for make in (direct, unchanged):
        np.testing.assert_array_equal(make(image, 84, "x"), last(image))
    with pytest.raises(DataError, match=r"must have 84 x 84 pixels, got 84 x 85 in 'a\.jpg'; choose resize='direct'"):
        unchanged(photo(84, 85), 84, "a.jpg")


def test_unknown_pipeline():
    with pytest.raises(UnknownNameError, match="the resize must be a known name, got 'croop'; did you mean 'crop'"):
        resizer("croop")


def test_files_are_read_by_the_named_pipeline(tmp_path, own_cache):
    photo(100, 90).save(tmp_path / "a.png")
    photo(90, 100, 1).save(tmp_path / "b.png")
    for name in ("direct", "crop", "square"):
        got = read_images(Tree(tmp_path), ["b.png", "a.png"], 84, name)
        np.testing.assert_array_equal(got[1], RESIZES[name](photo(100, 90), 84, "a"))
    np.testing.assert_array_equal(read_images(Tree(tmp_path), ["a.png"], 84), [square(photo(100, 90), 84, "a")])
