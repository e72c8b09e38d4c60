"""A contact sheet: every image with the label that it got, and how sure that is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot.errors import ShapeError
from fewshot.figures.pictures import RIGHT, WRONG, as_pixels, blank, short_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ACROSS = 8
MOST = 240  # images on a sheet: the least sure of them where there are more


def contact_sheet(
    images: np.ndarray, labels: Sequence[str], confidence: Sequence[float], rejected: Sequence[bool] = ()
) -> "Figure":
    """Images by label, within a label the surest first; below each its label and probability.

    A rejected image stands at the end with a thick frame, and a question mark before the label that came nearest.

    Args:
        images: ``(n, 1 or 3, height, width)``, uint8 or in 0..1.
        labels: The likeliest label of each.
        confidence: Its probability.
        rejected: Which answers were not given; none when left out.

    Raises:
        ShapeError: If there is no image, items are no images of one or three channels, or counts do not fit.
    """
    unsure = list(rejected) or [False] * len(labels)
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images) == len(labels) == len(confidence) > 0:
        raise ShapeError(
            f"a contact sheet needs images (n, 1 or 3, height, width) with a label each, got {images.shape} "
            f"with {len(labels)} labels"
        )
    order = sorted(range(len(labels)), key=lambda k: confidence[k])[:MOST]
    order.sort(key=lambda k: (unsure[k], labels[k], -confidence[k]))
    names, axes = short_names(labels, 16), _axes(len(order))
    for place, k in enumerate(order):
        sure = "> 99 %" if confidence[k] > 0.99 else f"{100 * confidence[k]:.0f} %"
        caption = f"{'? ' if unsure[k] else ''}{names[labels[k]]}\n{sure}"
        _thumbnail(axes, images[k], divmod(place, ACROSS), caption, unsure[k])
    if len(order) < len(labels):
        axes.set_title(f"the {len(order)} least sure of {len(labels)} images", fontsize=9, loc="left")
    return axes.figure  # type: ignore[no-any-return]


def _axes(count: int) -> Any:
    across, down = min(ACROSS, count), -(-count // ACROSS)
    axes = blank(1.15 * across + 0.1, 1.5 * down + 0.3).subplots()
    axes.set(xlim=(-0.05, across), ylim=(1.3 * down, -0.05), aspect="equal")
    axes.set_axis_off()
    return axes


def _thumbnail(axes: Any, image: np.ndarray, place: tuple[int, int], caption: str, unsure: bool) -> None:
    from matplotlib.patches import Rectangle

    row, column = place
    top = 1.3 * row
    axes.imshow(
        as_pixels(image),
        cmap="gray",
        vmin=0,
        vmax=1,
        extent=(column, column + 0.92, top + 0.92, top),
        interpolation="antialiased",
    )
    colour, width = (WRONG, 2.5) if unsure else (RIGHT, 0.8)
    axes.add_patch(Rectangle((column, top), 0.92, 0.92, fill=False, edgecolor=colour, linewidth=width))
    text = {"ha": "center", "va": "top", "fontsize": 7, "linespacing": 1.1, "color": WRONG if unsure else "black"}
    axes.text(column + 0.46, top + 0.96, caption, **text)
