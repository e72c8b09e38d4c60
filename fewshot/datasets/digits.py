"""Handwritten digits that come with scikit-learn: as they are, and as strokes.

Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository (1998), the test part: 1,797 grey images of 8 × 8 pixels. Nothing is downloaded.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Real
from PIL import Image

from fewshot.datasets.collection import Collection

SIDE = 28
INK = 16  # the darkest value of the original images
SIZE, THRESHOLD, THINNING = 22, 0.3, 2
"""Chosen by scripts/match_digits_to_omniglot.py: no label and no accuracy entered."""


def load_digits() -> Collection:
    """1,797 digits of 10 classes as grey pixels, ``(n, 1, 8, 8)``, ink 255 on 0."""
    from sklearn import datasets

    digits = datasets.load_digits()
    pixels = np.rint(digits.images[:, None] * (255 / INK)).astype(np.uint8)
    names = [f"digit{i:04d}" for i in range(len(pixels))]
    return Collection.from_arrays(pixels, digits.target, name="digits", origin="digits", item_names=names)


def load_digits_strokes() -> Collection:
    """The same digits in the same order as black and white strokes, ``(n, 1, 28, 28)``, ink 255 on 0.

    They look like Omniglot's drawings in their share of ink, stroke width and extent, so
    that a network trained there meets familiar lines. Episodes are those of ``digits``.
    """
    from sklearn import datasets

    ink = strokes(datasets.load_digits().images, SIZE, THRESHOLD, THINNING)
    return replace(load_digits(), items=ink[:, None].astype(np.uint8) * 255, name="digits-strokes")


def strokes(
    images: Real[np.ndarray, "n 8 8"], size: int, threshold: float, thinning: int
) -> Bool[np.ndarray, "n side side"]:
    """Enlarge, pad to 28 × 28, make black and white, thin.

    Args:
        images: Grey values from 0 to 16, ink high.
        size: Side after bicubic enlargement, in pixels; at most 28.
        threshold: Share of the darkest value above which a pixel is ink.
        thinning: Passes of `thin`.
    """
    large = np.stack([_enlarge(image, size) for image in images])
    before = (SIDE - size) // 2
    ink = np.pad(large > threshold * INK, ((0, 0), *[(before, SIDE - size - before)] * 2))
    for _ in range(thinning):
        ink = thin(ink)
    return ink


def thin(ink: Bool[np.ndarray, "n side side"]) -> Bool[np.ndarray, "n side side"]:
    """One pass of thinning: takes a layer off the strokes, and never breaks one.

    Zhang and Suen, "A fast parallel algorithm for thinning digital patterns",
    Communications of the ACM 27(3), 1984: both of its half-passes.
    """
    for sides in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):  # of the ring: 0 above, 2 right, 4 below, 6 left
        ring = _ring(ink)
        count, starts = ring.sum(0), (~ring & np.roll(ring, -1, 0)).sum(0)
        border = np.all([~ring[list(three)].all(0) for three in sides], 0)
        ink = ink & ~((count >= 2) & (count <= 6) & (starts == 1) & border)
    return ink


def _ring(ink: np.ndarray) -> np.ndarray:
    """The eight neighbours of every pixel, clockwise from the one above: ``(8, n, side, side)``."""
    height, width = ink.shape[1:]
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    corners = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    return np.stack([padded[:, r : r + height, c : c + width] for r, c in corners])


def _enlarge(image: np.ndarray, size: int) -> np.ndarray:
    grey = Image.fromarray(image.astype(np.float32))
    return np.asarray(grey.resize((size, size), Image.Resampling.BICUBIC))
