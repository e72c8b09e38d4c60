"""Labels as people hold them: lists, arrays, tensors, columns of tables; one an item, all texts or all numbers."""

from collections.abc import Mapping, Set
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot.errors import DataError
from fewshot.plumbing.number_range import require_numbers

KINDS = {str: "texts", bool: "truth values", int: "numbers", float: "numbers"}


def read_labels(y: Any, decode: bool = False) -> np.ndarray:
    """A vector of labels, each of which is there: texts, whole numbers or truth values.

    Numbers in a list or in an array of objects become an array of numbers, so that they sort as numbers.

    Args:
        y: Any sequence, array, tensor, or column of a table; one column ``(n, 1)`` is a vector.
        decode: Whether labels of bytes are read as UTF-8 rather than refused.

    Raises:
        DataError: If a label is absent, an item has several, kinds are mixed, or one is a fraction or no label at all.
    """
    for one in y if isinstance(y, (list, tuple)) else (y,):
        require_numbers("labels", one)
    given = _vector(_as_array(y))
    if given.dtype.kind in "biu":
        return given
    values = [_plain(value, decode) for value in given.tolist()]
    _require_present(values)
    _require_one_kind(values)
    if values and isinstance(values[0], str):
        _require_whole_texts(values)
        return np.array(values)
    _require_whole_numbers(values)
    if given.dtype.kind == "f":
        return given
    numbers = np.array(values)
    lost = numbers.dtype.kind == "f" and not any(isinstance(value, float) for value in values)
    return np.array(values, object) if lost or numbers.tolist() != values else numbers  # beyond 64 bits


def is_missing(value: Any) -> bool:
    """Whether a value says that there is none: None, NaN, or pandas' NA and NaT."""
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float) and value != value


def _as_array(y: Any) -> np.ndarray:
    if isinstance(y, (str, bytes, Mapping, Set)):
        raise DataError(f"labels must be one an item, in order, got {type(y).__name__}; give a list")
    if isinstance(y, Tensor):
        y = y.detach().cpu()
        return np.asarray(y.float() if y.dtype == torch.bfloat16 else y)
    if isinstance(y, np.ma.MaskedArray):
        return _objects(y.tolist()) if y.ndim == 1 else np.asarray(y.filled())
    if hasattr(y, "__array__"):
        return np.asarray(y)
    return _from_items(_listed(y))


def _listed(y: Any) -> list[Any]:
    try:
        return list(y)
    except TypeError:
        raise DataError(f"labels must be one an item, got {type(y).__name__}; give a list") from None


def _from_items(items: list[Any]) -> np.ndarray:
    """One label a place; lists of equal length become rows."""
    rows = [np.asarray(item) if isinstance(item, (np.ndarray, Tensor)) else item for item in items]
    rows = [row.tolist() if isinstance(row, (np.ndarray, np.generic)) else row for row in rows]
    sizes = {len(row) for row in rows if isinstance(row, (list, tuple))}
    if len(sizes) == 1 and all(isinstance(row, (list, tuple)) for row in rows):
        flat = [value for row in rows for value in row]
        return _objects(flat).reshape(len(rows), -1)
    return _objects(rows)


def _objects(values: list[Any]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _vector(labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        return labels[:, 0]
    if labels.ndim == 2 and len(labels) and not _is_one_hot(labels):
        raise DataError(
            f"every item needs one label, got several in row 0: {labels[0].tolist()}; keep one, or fit a classifier for each"
        )
    if labels.ndim != 1:
        raise DataError(
            f"labels must be a vector, one an item, got shape {labels.shape}; use argmax(1) on one-hot rows"
        )
    return labels


def _is_one_hot(rows: np.ndarray) -> bool:
    try:
        numbers = rows.astype(float)
    except (TypeError, ValueError):
        return False
    return bool(np.isin(numbers, (0, 1)).all() and (numbers.sum(1) == 1).all())


def _plain(value: Any, decode: bool) -> Any:
    """A number of NumPy as Python's, bytes as a text where they shall be."""
    if isinstance(value, bytes) and decode:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return value.item() if isinstance(value, (np.generic, Tensor)) and value.ndim == 0 else value


def _require_present(values: list[Any]) -> None:
    row = next((row for row, value in enumerate(values) if is_missing(value)), None)
    if row is not None:
        raise DataError(f"every item needs a label, got {values[row]} in row {row}; drop that item")


def _require_one_kind(values: list[Any]) -> None:
    kinds = [_kind(value, row) for row, value in enumerate(values)]
    row = next((row for row, kind in enumerate(kinds) if kind != kinds[0]), None)
    if row is not None:
        raise DataError(
            f"labels must be all texts or all numbers, got {values[0]!r} in row 0 and {values[row]!r} in row {row}; "
            "convert them to texts"
        )


def _kind(value: Any, row: int) -> str:
    if isinstance(value, (list, tuple, set, np.ndarray)):
        raise DataError(
            f"every item needs one label, got several in row {row}: {value}; keep one, or fit a classifier for each"
        )
    if type(value) in KINDS or isinstance(value, str):
        return KINDS.get(type(value), "texts")
    remedy = "decode them to texts" if isinstance(value, bytes) else "convert them to texts"
    raise DataError(
        f"labels must be texts, whole numbers or truth values, got {type(value).__name__} in row {row}; {remedy}"
    )


def _require_whole_texts(values: list[str]) -> None:
    for row, value in enumerate(values):
        if not value.strip():
            raise DataError(f"every item needs a label, got {value!r} in row {row}; drop that item, or name its class")
        if "\0" in value or not _is_unicode(value):
            raise DataError(f"labels must be whole texts, got {value!r} in row {row}; repair that label")


def _is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: half of an emoji cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _require_whole_numbers(values: list[Any]) -> None:
    for row, value in enumerate(values):
        if isinstance(value, float) and value in (float("inf"), -float("inf")):
            raise DataError(f"labels must be finite, got {value} (infinity, no NaN) in row {row}; drop that item")
        if not isinstance(value, Integral) and value != int(value):
            raise DataError(
                f"labels must be classes (Unknown label type: continuous), got the fraction {value} in row {row}; "
                "convert them to texts, or sort them into classes"
            )
