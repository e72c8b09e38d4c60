"""What is known of classes, put in the order of a collection: by name, or by place."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer
from torch import Tensor

from fewshot.datasets.conversion import as_items
from fewshot.errors import DataError
from fewshot.plumbing.names import unknown


def named_classes(
    labels: np.ndarray, class_names: Sequence[str] | np.ndarray | None
) -> tuple[tuple[str, ...], Integer[np.ndarray, " n_classes"] | None]:
    """Names of the classes, and their places among the given names, where there are any.

    Args:
        labels: Each once, sorted.
        class_names: Labels are among these names, or number them.

    Raises:
        DataError: If a name comes twice, or a number has none.
        UnknownNameError: If a label is not among the names; names the nearest match.
    """
    own = tuple(str(label) for label in labels.tolist())
    if class_names is None:
        return own, None
    names = [str(name) for name in class_names]
    if len(set(names)) < len(names):
        raise DataError(
            f"class_names must name each class once, got {len(names)} names, {len(set(names))} of them different"
        )
    places = _places(labels, own, names)
    return tuple(names[place] for place in places), np.array(places, np.int64)


def _places(labels: np.ndarray, own: tuple[str, ...], names: list[str]) -> list[int]:
    if set(own) <= set(names):
        return [names.index(label) for label in own]
    if labels.dtype.kind == "U":
        raise unknown("label", next(label for label in own if label not in names), names)
    if int(labels.max()) >= len(names):
        raise DataError(f"labels must number the {len(names)} class_names from 0, got {labels.max()}; name all classes")
    return [int(label) for label in labels]


def by_class(known: Any, what: str, names: tuple[str, ...], place: Integer[np.ndarray, " n_classes"] | None) -> Any:
    """Descriptors or groups in the order of the classes.

    Args:
        known: By name, or a row for each class.
        what: They are, for the message.
        names: Of the classes.
        place: Of each class among the rows; None where rows are in order.

    Raises:
        DataError: If a class has none.
    """
    if known is None:
        return None
    rows = _by_name(known)
    if rows is not None:
        absent = [name for name in names if name not in rows]
        if absent:
            raise DataError(f"{what} must have each class, got none for '{absent[0]}'; add it")
        return _as_array([rows[name] for name in names], what)
    values = known if isinstance(known, (np.ndarray, Tensor)) else _as_array(known, what)
    if place is None:
        return values
    if len(values) <= place.max():
        raise DataError(f"{what} must have a row for each of class_names, got {len(values)}; add the others")
    return values[place] if isinstance(values, np.ndarray) else values[place.tolist()]


def _by_name(known: Any) -> dict[str, Any] | None:
    """Values by the name of the class, from a dictionary, or a table or column of pandas with names in its index."""
    if isinstance(known, Mapping):
        return {str(name): value for name, value in known.items()}
    if hasattr(known, "to_numpy") and hasattr(known, "index"):
        return dict(zip(map(str, known.index), known.to_numpy(), strict=True))
    return None


def _as_array(values: Any, what: str) -> Any:
    return as_items(list(values)) if what == "descriptors" else np.asarray(values)
