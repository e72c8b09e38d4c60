"""Rows of features, checked as scikit-learn checks them."""

import copy
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import issparse
from sklearn.utils.validation import validate_data
from torch import Tensor

from fewshot.datasets.formats.containers import shown
from fewshot.errors import DataError
from fewshot.estimator.items import embed
from fewshot.estimator.labels import named
from fewshot.plumbing.number_range import require_numbers


class Columns(NamedTuple):
    """The columns of a table: how many, and their names where all are texts."""

    count: int  # type: ignore[assignment]  # a tuple counts, too
    names: tuple[str, ...] | None = None

    @classmethod
    def of(cls, estimator: Any) -> "Columns":
        """Those that scikit-learn has seen."""
        names = getattr(estimator, "feature_names_in_", None)
        return cls(int(estimator.n_features_in_), None if names is None else tuple(names.tolist()))

    def put_on(self, estimator: Any) -> None:
        """Let scikit-learn compare later tables with these columns."""
        estimator.n_features_in_ = self.count
        if self.names is not None:
            estimator.feature_names_in_ = np.array(self.names, object)


def read_rows(estimator: Any, x: Any, backbone: Any, first: bool) -> tuple[Any, Columns]:
    """Rows ``(n, dim)``, as float64 or float32, and their columns; embedded where there is a backbone, which gets float32.

    Args:
        estimator: Stays as it is; its ``n_features_in_`` and names of columns must fit, but in the first call.
        x: A table of numbers, an array, or a sparse one.
        backbone: What embeds, or nothing.
        first: Whether this is ``fit``.

    Raises:
        DataError: If there is no row, or one is not finite or of another length, or columns have other names.
    """
    plain = _dense(x)
    floats = [np.float64, np.float32] if backbone is None else np.float32
    if isinstance(plain, list):
        _require_numbers(plain)
    seen = copy.copy(estimator)
    rows = named(validate_data, seen, plain, reset=first, dtype=floats)
    return embed(iter([torch.tensor(np.ascontiguousarray(rows))]), backbone), Columns.of(seen)


def _dense(x: Any) -> Any:
    """Tensors and sparse rows as arrays; others as they are."""
    if issparse(x):
        return x.toarray()
    if not isinstance(x, Tensor):
        return x
    require_numbers("items", x)
    whole = (x.to_dense() if x.layout != torch.strided else x).detach().cpu()
    return (whole.float() if whole.dtype == torch.bfloat16 else whole).numpy()  # NumPy has no bfloat16


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
    # what NumPy makes objects of: rows of several lengths, no numbers, or whole numbers of any size
    shapes = [_shape(row, place) for place, row in enumerate(rows)]
    other = next((place for place, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is not None:
        raise DataError(
            f"rows must have one length, got {shapes[other]} after {shapes[0]} in row {other}; fill up, cut or drop that row"
        )


def _shape(row: Any, place: int) -> tuple[int, ...]:
    try:
        return np.asarray(row, np.float64).shape
    except (ValueError, TypeError, OverflowError):
        raise DataError(
            f"a row must be numbers, got {shown(row)} in row {place}; convert it, or give texts and images as lists of their own"
        ) from None
