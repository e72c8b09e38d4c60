"""Labels of any kind: checked, joined, and as JSON."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from fewshot.errors import DataError
from fewshot.names import unknown


def named(check: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """A check of scikit-learn whose ``ValueError`` is ours, with its first sentence and its remedy.

    Raises:
        DataError: If the check fails.
    """
    try:
        return check(*arguments, **options)
    except ValueError as error:
        lines = str(error).splitlines()
        remedy = [line for line in lines[1:] if line.startswith("Reshape")]
        raise DataError("; ".join([lines[0].rstrip(".:"), *remedy])) from None


def checked_labels(y: Any, count: int, estimator: str) -> np.ndarray:
    """A vector of labels, one an item: numbers, truth values or texts.

    Raises:
        DataError: If there are none, too few or too many, or one is absent or of another kind.
    """
    if y is None:
        raise DataError(f"{estimator} requires y to be passed, but the target y is None; give a label for each item")
    if isinstance(y, (list, tuple)) and len({isinstance(label, str) for label in y}) > 1:
        raise DataError("labels must be all texts or all numbers, got both; convert them to texts")
    vector: np.ndarray = named(column_or_1d, np.asarray(y), warn=True)
    if vector.dtype.kind == "T":
        vector = vector.astype(object)
    absent = [row for row, label in enumerate(vector.tolist()) if label is None or label != label]
    if absent:
        raise DataError(f"every item needs a label, got {vector[absent[0]]} (NaN) in row {absent[0]}; drop that item")
    if len(vector) != count:
        raise DataError(f"every item needs one label, got {count} items and {len(vector)} labels")
    if vector.dtype.kind == "f" and not np.isfinite(vector).all():
        raise DataError("labels must be finite, but the input y contains infinity; drop those items")
    named(check_classification_targets, vector)
    return vector


def joined(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Old and new labels in one vector.

    Raises:
        DataError: If the ones are texts and the others numbers.
    """
    kinds = [set(map(is_text, labels.tolist())) for labels in (before, after)]
    if len(kinds[0] | kinds[1]) > 1:
        raise DataError(
            f"labels must be all texts or all numbers, got {after.tolist()[0]!r} after {before.tolist()[0]!r}; convert them"
        )
    return np.concatenate([before, after])


def sorted_classes(labels: Any) -> np.ndarray:
    """Each label once, sorted."""
    vector = np.asarray(labels)
    return np.unique(vector.astype(object) if vector.dtype.kind == "T" else vector)


def is_text(label: Any) -> bool:
    """Whether a label is a text."""
    return isinstance(label, str)


def ids_of(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Place of each label in the sorted classes.

    Raises:
        UnknownNameError: If one is not among them; names the nearest match.
    """
    place = {label: k for k, label in enumerate(classes.tolist())}
    for label in labels.tolist():
        if label not in place:
            raise unknown("label", str(label), map(str, place))
    return np.array([place[label] for label in labels.tolist()], np.int64)


def as_json(labels: np.ndarray) -> dict[str, Any]:
    """Labels as JSON; `from_json` makes them again.

    Raises:
        DataError: If one is neither text, number nor truth value.
    """
    values = labels.tolist()
    odd = [value for value in values if not isinstance(value, (str, int, float, bool))]
    if odd:
        raise DataError(f"labels must be texts, numbers or truth values to be saved, got {odd[0]!r}; convert them")
    return {"dtype": labels.dtype.str if labels.dtype.kind != "O" else "object", "values": values}


def from_json(content: dict[str, Any]) -> np.ndarray:
    """Labels from `as_json`."""
    return np.array(content["values"], dtype=np.dtype(content["dtype"]))
