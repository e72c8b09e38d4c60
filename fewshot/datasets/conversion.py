"""Items and labels of any kind as the arrays of a collection."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot.errors import DataError


def as_labels(y: Any) -> np.ndarray:
    """A vector of labels, each of which is there: numbers from 0, or texts.

    Raises:
        DataError: If a label is negative, NaN or absent, or labels are no vector.
    """
    labels = as_numpy(y) if isinstance(y, Tensor) else np.asarray(y)
    if labels.dtype.kind == "O":
        absent = [i for i, label in enumerate(labels.ravel().tolist()) if label is None or label != label]
        if absent:
            raise DataError(
                f"every item needs a label, got {labels.ravel()[absent[0]]} in row {absent[0]}; drop that item"
            )
        labels = labels.astype(np.dtypes.StringDType())
    if labels.ndim != 1:
        raise DataError(
            f"labels must be a vector, one an item, got shape {labels.shape}; use argmax(1) on one-hot rows"
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise DataError("labels must be finite, got NaN or infinity; drop the items without a label")
    if labels.dtype.kind in "if" and len(labels) and labels.min() < 0:
        raise DataError(f"labels must not be negative, got {labels.min()}; drop the items without a label")
    return labels


def as_items(x: Any) -> Any:
    """A tensor as it is, texts as a StringDType array, NumPy's float64 as float32; all finite.

    Raises:
        DataError: If a number is not finite, or too large for float32, or a text has no word.
    """
    if isinstance(x, Tensor):
        items: Any = x.detach()
    elif isinstance(x, (list, tuple)) and x and isinstance(x[0], str):
        return _with_words(np.array(x, np.dtypes.StringDType()))
    else:
        items = np.asarray(x)
        if items.dtype.kind in "USTO":
            return _with_words(items.astype(np.dtypes.StringDType()))
        with np.errstate(over="ignore"):  # what is too large for float32 is refused below
            items = items.astype(np.float32 if items.dtype == np.float64 else items.dtype.newbyteorder("="), copy=False)
    require_finite(items)
    return items


def _with_words(texts: np.ndarray) -> np.ndarray:
    empty = [row for row, text in enumerate(texts.ravel().tolist()) if not text.strip()]
    if empty:
        raise DataError(f"every text needs a word, got {texts.ravel()[empty[0]]!r} in row {empty[0]}; drop that item")
    return texts


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
