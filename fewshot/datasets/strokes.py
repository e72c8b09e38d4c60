"""From grey blobs on a few pixels to black and white strokes on 28 × 28, as Omniglot has them."""

import numpy as np
from jaxtyping import Bool, Real
from PIL import Image

SIDE = 28


def strokes(
    grey: Real[np.ndarray, "n height width"], size: int, threshold: float, thinning: int
) -> Bool[np.ndarray, "n side side"]:
    """Enlarge, pad to 28 × 28, make black and white, thin.

    Args:
        grey: Images with values from 0 (paper) to 1 (ink).
        size: Side after bicubic enlargement, in pixels; at most 28.
        threshold: Grey value above which a pixel is ink.
        thinning: Passes of `thin`.
    """
    large = np.stack([_enlarge(image, size) for image in grey])
    before = (SIDE - size) // 2
    ink = np.pad(large > threshold, ((0, 0), *[(before, SIDE - size - before)] * 2))
    for _ in range(thinning):
        ink = thin(ink)
    return ink


def thin(ink: Bool[np.ndarray, "n height width"]) -> Bool[np.ndarray, "n height width"]:
    """One pass of thinning: takes a layer off thick strokes; a lone square of 2 × 2 vanishes, as in the paper.

    Zhang and Suen, "A fast parallel algorithm for thinning digital patterns",
    Communications of the ACM 27(3), 1984: both of its half-passes.
    """
    for sides in (((0, 2, 4), (2, 4, 6)), ((0, 2, 6), (0, 4, 6))):  # in the ring: 0 above, 2 right, 4 below, 6 left
        ring = _ring(ink)
        count, starts = ring.sum(0), (~ring & np.roll(ring, -1, 0)).sum(0)
        border = np.all([~ring[list(three)].all(0) for three in sides], 0)
        ink = ink & ~((count >= 2) & (count <= 6) & (starts == 1) & border)
    return ink


def _ring(ink: np.ndarray) -> np.ndarray:
    """The eight neighbours of every pixel, clockwise from the one above: ``(8, n, height, width)``."""
    height, width = ink.shape[1:]
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    corners = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    return np.stack([padded[:, r : r + height, c : c + width] for r, c in corners])


def _enlarge(image: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))
