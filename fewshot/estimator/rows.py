"""Rows of features, checked as scikit-learn checks them."""

from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import validate_data
from torch import Tensor

from fewshot.datasets.containers import shown
from fewshot.errors import DataError
from fewshot.estimator.items import embed
from fewshot.estimator.labels import named


def read_rows(estimator: Any, x: Any, backbone: Any, first: bool) -> Any:
    """Rows ``(n, dim)``, as float64 or float32; embedded where there is a backbone, which gets float32.

    Args:
        estimator: Gets ``n_features_in_`` and the names of columns in the first call; later calls must fit them.
        x: A table of numbers.
        backbone: What embeds, or nothing.
        first: Whether this is ``fit``.

    Raises:
        DataError: If there is no row, or one is not finite or of another length.
    """
    plain = x.detach().cpu().numpy() if isinstance(x, Tensor) else x
    floats = [np.float64, np.float32] if backbone is None else np.float32
    if isinstance(plain, list):
        _require_numbers(plain)
    rows = named(validate_data, estimator, plain, reset=first, dtype=floats)
    return embed(iter([torch.tensor(rows)]), backbone)


def _require_numbers(rows: list[Any]) -> None:
    """Let rows pass only if each is numbers, and they have one length.

    Raises:
        DataError: If not; the row is named.
    """
    try:
        if np.asarray(rows).dtype.kind in "fiub":
            return
    except (ValueError, TypeError):
        pass
    shapes = [_shape(row, place) for place, row in enumerate(rows)]
    other = next((place for place, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is not None:
        raise DataError(
            f"rows must have one length, got {shapes[other]} after {shapes[0]} in row {other}; fill up, cut or drop that row"
        )


def _shape(row: Any, place: int) -> tuple[int, ...]:
    try:
        return np.asarray(row, np.float64).shape
    except (ValueError, TypeError):
        raise DataError(
            f"a row must be numbers, got {shown(row)} in row {place}; convert it, or give texts and images as lists of their own"
        ) from None
