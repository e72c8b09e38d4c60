"""A picture of one episode: support, queries, and what was answered."""

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fewshot.errors import ShapeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG = "#0072B2", "#D55E00"  # blue and vermilion of Okabe and Ito, "Color Universal Design", 2008


def episode_picture(
    support: np.ndarray,
    support_y: np.ndarray,
    query: np.ndarray,
    query_y: np.ndarray,
    predicted: np.ndarray,
    class_names: Sequence[str],
) -> "Figure":
    """One episode: a row a class, its support images, then its queries with the answer below each.

    A right answer has a thin frame and a tick; a wrong one a thick frame, a cross
    and the name of the class that was answered.

    Args:
        support: Images ``(s, channels, height, width)``, uint8 or in 0..1.
        support_y: Row (class) of each, in ``0..n_way-1``.
        query: Images ``(q, channels, height, width)``.
        query_y: True row of each query.
        predicted: Answered row of each query.
        class_names: Name of each row.

    Raises:
        ShapeError: If there is no query, if items are no images of one or three channels, or counts do not fit.
    """
    for images, labels in ((support, support_y), (query, query_y), (query, predicted)):
        _check_images(images, labels)
    if not len(query):
        raise ShapeError("a picture needs at least one query, got none")
    shots, asked = (int(np.bincount(y, minlength=1).max()) for y in (support_y, query_y))
    grid = _grid(len(class_names), shots, asked)
    for row, name in enumerate(class_names):
        _write(grid[row, 0], short(name), (0.0, 0.5), (-8, 0), ha="right", va="center", fontsize=9)
        for axes, image in zip(grid[row, :shots], support[support_y == row], strict=False):
            _show_image(axes, image, "0.6", 0.8)
        for axes, j in zip(grid[row, shots + 1 :], np.flatnonzero(query_y == row), strict=False):
            _show_answer(axes, query[j], int(predicted[j]), row, class_names)
    right = f"queries: {int((predicted == query_y).sum())} of {len(query)} right"
    # the long heading must not widen its column; the short one, blank in zero-shot, keeps the line free for both
    _write(grid[0, shots + 1], right, (0.0, 1.0), (0, 4), ha="left", va="bottom", fontsize=9, in_layout=False)
    _write(grid[0, 0], "support" if shots else " ", (0.0, 1.0), (0, 4), ha="left", va="bottom", fontsize=9)
    return grid[0, 0].figure  # type: ignore[no-any-return]


def _grid(ways: int, shots: int, asked: int) -> Any:
    """Axes in a row a class: support, a narrow gap, queries; all of them hidden."""
    figure = blank(0.9 * (shots + asked) + 2, 1.08 * ways + 0.5)
    widths = [1] * shots + [0.3] + [1] * asked
    grid = figure.subplots(ways, len(widths), squeeze=False, gridspec_kw={"width_ratios": widths})
    for axes in grid.flat:
        axes.set_axis_off()
    return grid


def _write(axes: "Axes", text: str, place: tuple[float, float], shift: tuple[int, int], **style: Any) -> None:
    """Text at a place of the axes (fractions), shifted by points."""
    axes.annotate(text, place, xycoords="axes fraction", xytext=shift, textcoords="offset points", **style)


def _check_images(images: np.ndarray, labels: np.ndarray) -> None:
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) != len(labels):
        raise ShapeError(
            "a picture needs images (n, 1 or 3, height, width) with one label each, got "
            f"{images.shape} with {len(labels)} labels"
        )


def _show_answer(axes: "Axes", image: np.ndarray, answer: int, truth: int, names: Sequence[str]) -> None:
    right = answer == truth
    _show_image(axes, image, RIGHT if right else WRONG, 1.0 if right else 3.0)
    text, colour = ("✓", RIGHT) if right else (f"✗ {short(names[answer], 12)}", WRONG)
    _write(axes, text, (0.5, 0.0), (0, -3), ha="center", va="top", fontsize=7, color=colour)


def _show_image(axes: "Axes", image: np.ndarray, frame: str, width: float) -> None:
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    axes.imshow(as_pixels(image), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for spine in axes.spines.values():
        spine.set(color=frame, linewidth=width)


def as_pixels(image: np.ndarray) -> np.ndarray:
    """An image ``(1 or 3, height, width)``, uint8 or in 0..1, as ``(height, width)`` or ``(height, width, 3)`` in 0..1."""
    values = image / 255 if image.dtype == np.uint8 else image
    return values[0] if len(values) == 1 else np.moveaxis(values, 0, -1)


def blank(width: float, height: float) -> Any:
    """An empty figure of a size in inches, outside of pyplot's global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def short(name: str, most: int = 22) -> str:
    """A long name with its middle left out, and dollar signs as they are, not as formulas."""
    whole = name if len(name) <= most else name[: most // 2] + "…" + name[-(most - most // 2 - 1) :]
    return whole.replace("$", r"\$")


def short_names(names: Iterable[str], most: int) -> dict[str, str]:
    """Names of at most so many letters, such that different ones stay different.

    Names that `short` makes equal keep what follows their common beginning instead, and a number where that is equal too.

    Args:
        names: Any, some of them equal.
        most: Letters of a short name, of which at least 8.
    """
    shortened = {name: short(name, most) for name in dict.fromkeys(names)}
    for way in (_from_difference, _numbered):
        for same in _equal(shortened):
            shortened |= way(same, most)
    return shortened


def _equal(shortened: dict[str, str]) -> list[list[str]]:
    """Groups of names whose short forms are equal."""
    groups: dict[str, list[str]] = {}
    for name, form in shortened.items():
        groups.setdefault(form, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _from_difference(names: list[str], most: int) -> dict[str, str]:
    """The end of each name, or where that would be equal, what follows the beginning that all share."""
    ends = {name: name[-(most - 1) :] for name in names}
    if len(set(ends.values())) < len(names):
        start = max(0, len(os.path.commonprefix(names)) - 2)  # noqa: RUF071
        ends = {name: name[start : start + most - 2] for name in names}
    return {name: short(f"…{end}", most) for name, end in ends.items()}


def _numbered(names: list[str], most: int) -> dict[str, str]:
    return {name: f"{short(name, most - 4)} #{k + 1}" for k, name in enumerate(names)}
