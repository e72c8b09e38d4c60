"""A sheet of pairs: the two images of each beside one another, to be looked at."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fewshot.errors import ShapeError
from fewshot.figures.pictures import as_pixels, blank, short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 4


def pair_sheet(first: np.ndarray, second: np.ndarray, captions: Sequence[tuple[str, str, str]]) -> "Figure":
    """Four pairs a row, with the name of each image below it and a word above both.

    Args:
        first: Images ``(n, 1 or 3, height, width)``, uint8 or in 0..1.
        second: The other image of each pair, alike.
        captions: Name of the first, name of the second, word above, of each pair.

    Raises:
        ShapeError: If there is no pair, items are no images, or counts do not fit.
    """
    shapes = (first.shape, second.shape)
    if not len(captions) or any(len(s) != 4 or s[1] not in (1, 3) or s[0] != len(captions) for s in shapes):
        raise ShapeError(f"a sheet needs pairs of images (n, 1 or 3, height, width), got {shapes[0]} and {shapes[1]}")
    down = -(-len(captions) // ACROSS)
    figure = blank(2.9 * ACROSS, 1.75 * down)
    grid = figure.subplots(down, 3 * ACROSS, squeeze=False, gridspec_kw={"width_ratios": [1, 1, 0.12] * ACROSS})
    for axes in grid.flat:
        axes.set_axis_off()
    for k, (left, right, word) in enumerate(captions):
        places = grid[k // ACROSS, 3 * (k % ACROSS) :][:2]
        for axes, image, name in zip(places, (first[k], second[k]), (left, right), strict=True):
            axes.imshow(as_pixels(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.text(0.5, -0.04, short(name, 32), transform=axes.transAxes, ha="center", va="top", fontsize=5)
        places[0].text(0, 1.03, word, transform=places[0].transAxes, ha="left", va="bottom", fontsize=6)
    return figure  # type: ignore[no-any-return]
