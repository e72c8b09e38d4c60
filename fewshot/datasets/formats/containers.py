"""Containers that users hand over: lists, columns, tables, arrays, generators, and which of them are refused."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from fewshot.errors import DataError
from fewshot.plumbing.number_range import require_numbers


def listed(x: Any) -> Any:
    """Items one by one, as a list, where a container or column of any library holds them; arrays and tables as they are.

    A single text, path or image is a list of one. Arrays of texts or of objects with one axis become lists, and so does a table
    whose only column holds texts.

    Raises:
        DataError: If a container has keys or no order, a table has texts beside other columns, or a tensor has no numbers.
    """
    if isinstance(x, (str, bytes, Path, Image.Image)):
        return [x]
    for one in x if isinstance(x, (list, tuple)) else (x,):
        require_numbers("items", one)
    if isinstance(x, (Mapping, set, frozenset)) and not hasattr(x, "ndim"):  # some sparse arrays are dictionaries
        remedy = "list(x.values())" if isinstance(x, Mapping) else "sorted(x)"
        raise DataError(f"items must have an order, got a {type(x).__name__}; give a list, such as {remedy}")
    if isinstance(x, (list, tuple)):
        return list(x)
    if np.ma.is_masked(x):
        raise DataError("items must all be there, got an array with masked values; fill or drop those items")
    if hasattr(x, "columns"):
        return _column(x)
    if hasattr(x, "__array__") and not isinstance(x, Tensor):
        return _from_array(x)
    return list(x) if isinstance(x, Iterable) and not hasattr(x, "ndim") else x  # tensors and sparse rows have an ndim


def _column(table: Any) -> Any:
    """The texts of a table's only column; a table of numbers as it is."""
    values = np.asarray(table)
    if not any(isinstance(value, str) for value in values[:1].ravel().tolist()):
        return table
    if values.shape[1] > 1:
        names = [str(name) for name in table.columns]
        raise DataError(f"texts must be in one column, got a table of {names}; choose one: table[{names[0]!r}]")
    return values[:, 0].tolist()


def _from_array(x: Any) -> Any:
    values = np.asarray(x)
    column = values.ndim == 2 and values.shape[1] == 1 and values.dtype.kind in "OUTS"
    if values.ndim == 0 or (column and any(isinstance(value, (str, bytes)) for value in values[:1].ravel().tolist())):
        return values.ravel().tolist()
    return values.tolist() if values.ndim == 1 and values.dtype.kind in "OUTS" else x


def shown(item: Any) -> str:
    """An item in the sentence of an error: short things themselves, else their type."""
    return repr(item)[:40] if isinstance(item, (str, bytes, Path, int, float, type(None))) else type(item).__name__
