"""The digits, and the strokes made from them, against slow computations of their own."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from sklearn import datasets

from fewshot import load_dataset
from fewshot.datasets.named.digits import STROKES
from fewshot.datasets.named.omniglot import load_omniglot
from fewshot.datasets.strokes import strokes, thin

SCRIPT = Path(__file__).parents[3] / "scripts" / "match_digits_to_omniglot.py"
RAW = datasets.load_digits()
SOME = slice(0, 1797, 60)


def bicubic(x, a=-0.5):
    x = abs(x)
    if x < 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def bilinear(x):
    return max(0.0, 1 - abs(x))


def half_pixel(i, size):
    return (i + 0.5) * 8 / size - 0.5


def corners(i, size):
    return i * 7 / (size - 1)


def enlarged(images, size, kernel=bicubic, place=half_pixel):
    """Separable interpolation, weights beyond the border left out and the others scaled to sum 1 (Keys, 1981)."""
    weights = np.array([[kernel(place(i, size) - j) for j in range(8)] for i in range(size)])
    weights /= weights.sum(1, keepdims=True)
    return weights @ images @ weights.T


def padded(images):
    side = images.shape[1]
    before = (28 - side) // 2
    return np.stack([np.pad(image, ((before, 28 - side - before),) * 2) for image in images])


def thinned(image, halves=(1, 2)):
    """Zhang and Suen (1984), pixel by pixel, in the paper's words: P2 is above, then clockwise to P9."""
    ink = np.pad(image, 1).astype(int)
    for half in halves:
        gone = []
        for r, c in np.argwhere(ink == 1):
            p2, p3, p4 = ink[r - 1, c], ink[r - 1, c + 1], ink[r, c + 1]
            p5, p6, p7 = ink[r + 1, c + 1], ink[r + 1, c], ink[r + 1, c - 1]
            p8, p9 = ink[r, c - 1], ink[r - 1, c - 1]
            ring = [p2, p3, p4, p5, p6, p7, p8, p9]
            a = sum(x == 0 and y == 1 for x, y in zip(ring, [*ring[1:], p2], strict=True))
            c_and_d = (p2 * p4 * p6, p4 * p6 * p8) if half == 1 else (p2 * p4 * p8, p2 * p6 * p8)
            if 2 <= sum(ring) <= 6 and a == 1 and c_and_d == (0, 0):
                gone.append((r, c))
        for r, c in gone:
            ink[r, c] = 0
    return ink[1:-1, 1:-1].astype(bool)


def oracle(images, size, threshold, thinning, halves=(1, 2), **how):
    ink = padded(enlarged(images / 16, size, **how)) > threshold
    for _ in range(thinning):
        ink = np.stack([thinned(image, halves) for image in ink])
    return ink


def test_strokes_against_pixel_by_pixel_computation():
    grey = enlarged(RAW.images[SOME] / 16, STROKES["size"])
    assert abs(grey - STROKES["threshold"]).min() > 1e-6  # no pixel hangs on rounding
    found = load_dataset("digits-strokes").items[SOME, 0] > 0
    np.testing.assert_array_equal(found, oracle(RAW.images[SOME], **STROKES))


@pytest.mark.parametrize(("size", "threshold", "thinning"), [(14, 0.45, 0), (21, 0.55, 1), (28, 0.35, 3)])
def test_other_settings_against_the_same_computation(size, threshold, thinning):
    found = strokes(RAW.images[:12] / 16, size, threshold, thinning)
    np.testing.assert_array_equal(found, oracle(RAW.images[:12], size, threshold, thinning))


@pytest.mark.parametrize(
    "wrong",
    [
        {"kernel": bilinear},
        {"kernel": lambda x: bicubic(x, a=-0.75)},
        {"place": corners},
        {"halves": (1,)},
        {"halves": (2, 1)},
        {"thinning": STROKES["thinning"] - 1},
        {"threshold": 0.5},
    ],
)
def test_wrong_preprocessing_is_noticed(wrong):
    found = load_dataset("digits-strokes").items[SOME, 0] > 0
    assert (found != oracle(RAW.images[SOME], **{**STROKES, **wrong})).any()


def test_shapes_ink_and_labels():
    plain, drawn = load_dataset("digits"), load_dataset("digits-strokes")
    assert plain.items.shape == (1797, 1, 8, 8) and drawn.items.shape == (1797, 1, 28, 28)
    assert plain.items.dtype == drawn.items.dtype == np.uint8
    assert set(np.unique(drawn.items)) == {0, 255}
    assert (plain.items.min(), plain.items.max()) == (0, 255)
    np.testing.assert_array_equal(plain.labels, RAW.target)
    np.testing.assert_array_equal(drawn.labels, RAW.target)
    np.testing.assert_allclose(plain.items[:, 0] / 255, RAW.images / 16, atol=0.5 / 255 + 1e-12)
    assert drawn.name == "digits-strokes" and drawn.hash != plain.hash
    assert plain.qualified_names() == drawn.qualified_names() == tuple(f"digits:{k}" for k in range(10))


@given(arrays(bool, (2, 12, 12), elements=st.booleans()))
def test_thinning_only_takes_ink_and_knows_no_neighbour_image(ink):
    once = thin(ink)
    assert not (once & ~ink).any()
    np.testing.assert_array_equal(thin(ink[1:])[0], once[1])
    np.testing.assert_array_equal(once, [thinned(image) for image in ink])


def test_thinning_of_a_square_and_of_a_line():
    square, line = np.zeros((2, 1, 8, 8), bool)
    square[0, 3:5, 3:5], line[0, 4, 1:7] = True, True
    assert not thin(square).any()
    np.testing.assert_array_equal(thin(line), line)


def test_thinning_breaks_no_digit():
    before = strokes(RAW.images / 16, STROKES["size"], STROKES["threshold"], 0)
    after = strokes(RAW.images / 16, **STROKES)
    eight = np.ones((3, 3))
    pieces = [(ndimage.label(b, eight)[1], ndimage.label(a, eight)[1]) for b, a in zip(before, after, strict=True)]
    assert all(b == a for b, a in pieces)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("match_digits_to_omniglot", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def look(image):
    """Ink share, stroke width and longer side of one image, by SciPy and loops over pairs of neighbours."""
    box = ndimage.find_objects(image.astype(int))[0]
    sides = sum(
        not (0 <= r + dr < 28 and 0 <= c + dc < 28 and image[r + dr, c + dc])
        for r, c in np.argwhere(image)
        for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0))
    )
    return image.mean(), 2 * image.sum() / sides, max(s.stop - s.start for s in box)


def test_statistics_of_the_script_against_slow_ones(script):
    ink = load_dataset("digits-strokes").items[SOME, 0] > 0
    np.testing.assert_allclose(script.statistics(ink), [look(image) for image in ink], rtol=1e-12)


def test_statistics_of_a_known_bar(script):
    bar = np.zeros((1, 28, 28), bool)
    bar[0, 4:24, 9:12] = True  # 20 long, 3 wide
    np.testing.assert_allclose(script.statistics(bar), [[60 / 784, 120 / 46, 20]])


def test_strokes_look_like_omniglot(data_root, script):
    data_root("omniglot")
    wanted = script.statistics(load_omniglot(rotations="none").split("train").items[:, 0] > 0)
    chosen = script.statistics(load_dataset("digits-strokes").items[:, 0] > 0)
    apart = np.abs(chosen.mean(0) - wanted.mean(0)) / wanted.std(0)
    assert (apart < 0.6).all()
    neighbours = [(22, 0.3, 2), (22, 0.6, 1), (20, 0.6, 1), (24, 0.4, 2), (22, 0.2, 2), (22, 0.3, 0)]
    found = [script.distance(script.statistics(strokes(RAW.images / 16, *n)), wanted) for n in neighbours]
    assert tuple(STROKES.values()) == neighbours[int(np.argmin(found))]
    assert found[0] < found[-1] / 3  # without thinning it is far away
