"""Labels of any kind: checked, joined, and as JSON."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.utils.validation import column_or_1d

from fewshot.datasets.labels import read_labels
from fewshot.errors import DataError
from fewshot.plumbing.names import unknown


class WrongTypeError(DataError, TypeError):
    """Something of a type that cannot be read; scikit-learn knows it as its own error too."""


def named(check: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """A check of scikit-learn whose error is ours, with its first sentence and its remedy.

    Raises:
        DataError: If the check fails.
    """
    try:
        return check(*arguments, **options)
    except (ValueError, TypeError) as error:
        kind = WrongTypeError if isinstance(error, TypeError) else DataError
        lines = str(error).splitlines()
        remedy = [line for line in lines[1:] if line.startswith("Reshape")]
        raise kind("; ".join([lines[0].rstrip(".:"), *remedy])) from None


def checked_labels(y: Any, count: int, estimator: str) -> np.ndarray:
    """A vector of labels, one an item: whole numbers, truth values or texts; see `read_labels`.

    Raises:
        DataError: If there are none, too few or too many, or one is absent, of another kind, or a fraction.
    """
    if y is None:
        raise DataError(f"{estimator} requires y to be passed, but the target y is None; give a label for each item")
    vector = read_labels(y)
    if getattr(y, "ndim", 1) == 2:
        column_or_1d(np.zeros((1, 1)), warn=True)  # scikit-learn's own words on a column
    if len(vector) != count:
        raise DataError(f"every item needs one label, got {count} items and {len(vector)} labels")
    return vector


def require_one_kind(before: np.ndarray, after: np.ndarray) -> None:
    """Let new labels pass that are of the kind of the old ones.

    Raises:
        DataError: If the ones are texts and the others numbers.
    """
    old, new = (next(iter(labels.tolist()), None) for labels in (before, after))
    if old is not None and new is not None and isinstance(old, str) != isinstance(new, str):
        raise DataError(
            f"labels must be all texts or all numbers, got {new!r} after {old!r}; convert them to the kind of fit"
        )


def joined(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Old and new labels in one vector.

    Raises:
        DataError: If the ones are texts and the others numbers.
    """
    require_one_kind(before, after)
    return np.concatenate([before, after])


def sorted_classes(labels: Any) -> np.ndarray:
    """Each label once, sorted.

    Raises:
        DataError: If one is absent, or kinds are mixed; see `read_labels`.
    """
    return np.unique(read_labels(labels))


def ids_of(labels: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Place of each label in the sorted classes.

    Raises:
        DataError: If labels are texts and classes numbers, or the other way round.
        UnknownNameError: If one is not among them; names the nearest match.
    """
    require_one_kind(classes, labels)
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


def from_json(content: Mapping[str, Any]) -> np.ndarray:
    """Labels from `as_json`.

    Raises:
        DataError: If they are no labels, or not of the type that is named.
    """
    values = content["values"]
    read_labels(values)
    try:
        labels = np.array(values, dtype=np.dtype(content["dtype"]))
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"labels must be of the type {content['dtype']}, got others ({error})") from None
    if labels.tolist() != values:
        raise DataError(f"labels must be of the type {content['dtype']}, got others")
    return labels
