"""Tables of single classes, from stored answers."""

from collections.abc import Sequence

import numpy as np

from fewshot.statistics.confusion import confusion
from fewshot.tables.record_tables import ABSENT, Table, percent


def class_counts(true: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Class ids that were queried or answered, and the number of queries of each (row) by answer (column).

    Args:
        true: Class id of each query; −1, an open class, is left out.
        predicted: Answered class id.
    """
    closed = true >= 0
    ids = np.unique(np.concatenate([true[closed], predicted[closed]]))
    return ids, confusion(ids, true[closed], predicted[closed])


def class_table(true: np.ndarray, predicted: np.ndarray, names: Sequence[str] | None = None) -> Table:
    """Accuracy of each class over all its queries, worst first.

    Args:
        true: Class id of each query; −1, an open class, is left out.
        predicted: Answered class id.
        names: Name of each class id; ids are printed without.
    """
    ids, counts = class_counts(true, predicted)
    asked, right = counts.sum(1), counts.diagonal()
    order = np.argsort(right / np.maximum(asked, 1), kind="stable")
    rows = tuple(
        (_name(int(ids[k]), names), percent(right[k] / asked[k]) if asked[k] else ABSENT, str(asked[k]), _mistaken(counts[k], int(k), ids, names))
        for k in order
    )  # fmt: skip
    return Table(("class", "accuracy %", "queries", "most often mistaken for"), rows)


def _mistaken(row: np.ndarray, own: int, ids: np.ndarray, names: Sequence[str] | None) -> str:
    others = np.delete(row, own)
    if not others.any():
        return ABSENT
    rival = int(others.argmax())
    return f"{_name(int(np.delete(ids, own)[rival]), names)} ({others[rival]})"


def confusion_table(true: np.ndarray, predicted: np.ndarray, names: Sequence[str] | None = None) -> Table:
    """Number of queries of each true class (row) that got each answer (column); open classes are left out.

    Args:
        true: Class id of each query.
        predicted: Answered class id.
        names: Name of each class id; ids are printed without.
    """
    ids, counts = class_counts(true, predicted)
    labels = tuple(_name(k, names) for k in ids.tolist())
    rows = tuple((label, *(str(n) for n in row)) for label, row in zip(labels, counts.tolist(), strict=True))
    return Table(("true \\ answer", *labels), rows)


def _name(class_id: int, names: Sequence[str] | None) -> str:
    return str(class_id) if names is None else names[class_id]
