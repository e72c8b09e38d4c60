"""Items and labels of any kind as the arrays of a collection."""

from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fewshot.datasets.formats.containers import listed, shown
from fewshot.datasets.formats.texts import as_texts, decoded_text
from fewshot.datasets.labels import read_labels
from fewshot.errors import DataError


def as_labels(y: Any) -> np.ndarray:
    """A vector of labels, each of which is there: whole numbers from 0, texts, or truth values.

    Raises:
        DataError: If a label is negative or absent, an item has several, or kinds are mixed; see `read_labels`.
    """
    labels = read_labels(y, decode=True)
    if labels.dtype.kind in "ifO" and len(labels) and labels.min() < 0:
        raise DataError(f"labels must not be negative, got {labels.min()}; drop the items without a label")
    return labels


def as_rows(what: str, rows: Any, count: int) -> np.ndarray:
    """Row numbers of some of the items, from numbers or from one truth value an item.

    Args:
        what: They are, for the message.
        rows: Each row once, in any order.
        count: Number of items.

    Raises:
        DataError: If they are neither, lie outside of ``0..count-1``, or a row is there twice.
    """
    given = as_numpy(rows) if isinstance(rows, Tensor) else np.asarray(rows)
    if given.dtype == bool and given.shape == (count,):
        return np.flatnonzero(given)
    if not given.size:
        return np.zeros(0, np.int64)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise DataError(
            f"{what} must be row numbers, or one truth value for each of the {count} items, got {given.dtype} of shape "
            f"{given.shape}"
        )
    if not 0 <= int(given.min()) <= int(given.max()) < count:
        raise DataError(f"{what} must lie in 0..{count - 1}, got {given.min()}..{given.max()}")
    times = np.bincount(given, minlength=count)
    if times.max() > 1:
        raise DataError(f"{what} must list each row once, got row {times.argmax()} {times.max()} times")
    return given.astype(np.int64, copy=False)


def as_items(x: Any) -> Any:
    """A tensor as it is, texts as a StringDType array, NumPy's float64 as float32; all finite.

    Objects that are all numbers or truth values become float32.

    Raises:
        DataError: If a number is not finite, or too large for float32, a text has no word, or items are neither numbers nor
            texts, or differ in shape; the row is named.
    """
    x = listed(x)
    items = _dense(x) if isinstance(x, Tensor) else _stacked(x) if isinstance(x, list) else np.asarray(x)
    if not isinstance(items, Tensor):
        items = _of_objects(items) if items.dtype.kind in "UTSO" and items.ndim else items
        if items.dtype.kind == "T":
            return items
        items = _plain_numbers(items)
    require_finite(items)
    return items


def _dense(x: Tensor) -> Tensor:
    return (x if x.layout == torch.strided else x.to_dense()).detach()


def _stacked(items: list[Any]) -> Any:
    """Items of a list as one array.

    Raises:
        DataError: If they are pictures, or differ in shape; the row is named.
    """
    if any(isinstance(item, str) for item in items):
        return as_texts(items)
    pictures = [row for row, item in enumerate(items) if isinstance(item, (Path, Image.Image))]
    if pictures:
        raise DataError(
            f"items must be texts or arrays of one shape, got {shown(items[pictures[0]])} in row {pictures[0]}; "
            "from_torch(list(zip(pictures, labels)), size=84) reads pictures"
        )
    if items and all(isinstance(item, Tensor) for item in items):
        _require_one_shape(items)
        return torch.stack(items).detach()
    try:
        return np.asarray(items)
    except (ValueError, TypeError):
        _require_one_shape(items)
        raise DataError(f"items must be numbers or texts, got such as {shown(items[0])}; convert them") from None


def _require_one_shape(items: list[Any]) -> None:
    """Let items pass only if they have one shape.

    Raises:
        DataError: If not; the row is named.
    """
    shapes = [_shape(item) for item in items]
    for row, shape in enumerate(shapes):
        if shape is None or shape != shapes[0]:
            got = "one of several lengths" if shape is None else f"{shape} after {shapes[0]}"
            raise DataError(f"items must have one shape, got {got} in row {row}; fill up, cut or drop that item")


def _shape(item: Any) -> tuple[int, ...] | None:
    try:
        return tuple(np.shape(item))
    except (ValueError, TypeError):
        return None


def _of_objects(items: np.ndarray) -> np.ndarray:
    """Texts, or numbers that objects hold."""
    values = items.ravel().tolist()
    if items.dtype.kind == "S":
        values = [decoded_text(value, row) for row, value in enumerate(values)]
    texts = [isinstance(value, str) for value in values]
    if any(texts):
        return as_texts(values).reshape(items.shape)
    width = max(1, len(values) // max(1, len(items)))
    for place, value in enumerate(values):
        if not isinstance(value, (Number, np.bool_)) or isinstance(value, complex):
            raise DataError(f"items must be numbers or texts, got {shown(value)} in row {place // width}; convert it")
    try:
        return np.array([float(value) for value in values], np.float64).reshape(items.shape)
    except OverflowError:
        raise DataError(
            "items must be numbers that fit into float64, got a larger whole number; rescale them"
        ) from None


def _plain_numbers(items: np.ndarray) -> np.ndarray:
    """Numbers of this machine's byte order; wide floats as float32."""
    if items.dtype.kind not in "fiub" or not items.ndim:
        got = f"{items.dtype} of shape {items.shape}"
        raise DataError(f"items must be an array of numbers or texts, one row an item, got {got}; convert them")
    wide = items.dtype.kind == "f" and items.dtype.itemsize > 4
    with np.errstate(over="ignore"):  # what is too large for float32 is refused by require_finite
        return items.astype(np.float32 if wide else items.dtype.newbyteorder("="), copy=False)


def as_numpy(items: Any) -> np.ndarray:
    """The same values as an array; bfloat16, which NumPy lacks, bit by bit."""
    if not isinstance(items, Tensor):
        return items if isinstance(items, np.ndarray) else np.asarray(items)
    items = items.detach().cpu()
    return (items.view(torch.int16) if items.dtype == torch.bfloat16 else items).numpy()  # type: ignore[no-any-return]


def require_finite(items: Any) -> None:
    """Let numbers pass only if all are finite.

    Raises:
        DataError: Names the first row that has NaN or infinity.
    """
    if isinstance(items, Tensor) and items.numel() and torch.isfinite(torch.stack(items.aminmax())).all():
        return  # NaN and infinities show in the extremes, which one quick pass finds
    finite = torch.isfinite(items) if isinstance(items, Tensor) else np.isfinite(items)
    if not finite.all():
        bad = int(np.flatnonzero(~np.asarray(finite).reshape(len(items), -1).all(1))[0])
        raise DataError(f"features must be finite, got NaN or infinity in row {bad}; drop or repair that item")
