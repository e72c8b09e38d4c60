"""The classes that are told apart worst, and what they are taken for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.tables.class_tables import class_counts

MOST_ROWS, MOST_COLUMNS = 8, 12


@dataclass(frozen=True)
class HardClass:
    """A class with few right answers.

    Attributes:
        name: Of the class.
        right: Right answers.
        asked: Queries.
        answers: How many queries got the answer of each column.
    """

    name: str
    right: int
    asked: int
    answers: tuple[int, ...] = ()

    @property
    def accuracy(self) -> float:
        """A fraction."""
        return self.right / self.asked


@dataclass(frozen=True)
class Hardest:
    """The worst classes of one result; columns are answers: those of the rows, further frequent ones, all others."""

    title: str
    method: str
    rows: tuple[HardClass, ...] = ()
    columns: tuple[str, ...] = ()
    classes: int = 0
    sentence: str = ""


def hardest_classes(
    title: str,
    method: str,
    true: Integer[np.ndarray, " query"],
    predicted: Integer[np.ndarray, " query"],
    names: Sequence[str] | None,
) -> Hardest:
    """The worst classes over all episodes.

    Args:
        title: Of the group.
        method: Which result.
        true: Class id of each query; −1, an open class, is left out.
        predicted: Answered class id.
        names: Of each class id; numbers without.
    """
    ids, counts = class_counts(true, predicted)
    asked, right = counts.sum(1), counts.diagonal()
    order = [int(k) for k in np.argsort(right / np.maximum(asked, 1), kind="stable") if asked[k]]
    worst = order[:MOST_ROWS]
    taken_for = [int(k) for k in np.argsort(-counts[worst].sum(0), kind="stable") if counts[worst][:, k].any()]
    columns = [*worst, *(k for k in taken_for if k not in worst)][:MOST_COLUMNS]
    name = [f"class {k}" if names is None else names[k] for k in ids.tolist()]
    answers, heads = counts[worst][:, columns], [name[k] for k in columns]
    left = asked[worst] - answers.sum(1)
    if left.any():
        answers, heads = np.column_stack([answers, left]), [*heads, "all others"]
    rows = [
        HardClass(name[k], int(right[k]), int(asked[k]), tuple(a)) for k, a in zip(worst, answers.tolist(), strict=True)
    ]
    return Hardest(title, method, tuple(rows), tuple(heads), len(order))


def hardest_unseen(title: str, method: str, record: ZeroShotRecord) -> Hardest:
    """The worst unseen classes of a zero-shot record, which has right answers only."""
    unseen = record.unseen
    rows = [HardClass(*row) for row in zip(unseen.classes, unseen.correct, unseen.items, strict=True)]
    ordered = tuple(sorted(rows, key=lambda row: row.accuracy)[:MOST_ROWS])
    told = "A zero-shot record counts right answers of each class, not what wrong ones were."
    return Hardest(title, method, ordered, classes=len(rows), sentence=told)
