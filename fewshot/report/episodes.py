"""Some episodes of a result, from the hardest to the easiest, as rows of examples, queries and answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from fewshot.report.images import Shown, show

MOST_CLASSES, MOST_EXAMPLES, MOST_QUERIES = 10, 5, 10


@dataclass(frozen=True)
class Drawn:
    """An episode as data, before it is shown.

    Attributes:
        number: Which of the list.
        class_names: Of its classes.
        support: Items.
        support_y: Their classes, in ``0..n_way-1``.
        query: Items.
        query_y: Their classes; ``n_way`` for an open class.
        predicted: Answers, where they are known.
    """

    number: int
    class_names: Sequence[str]
    support: Sequence[Any]
    support_y: np.ndarray
    query: Sequence[Any]
    query_y: np.ndarray
    predicted: np.ndarray | None = None


@dataclass(frozen=True)
class Asked:
    """A query; ``right`` and ``answer`` only where the answer is known."""

    item: Shown
    right: bool | None
    answer: str


@dataclass(frozen=True)
class ClassRow:
    """Examples and queries of one class; ``more`` counts those that are not shown."""

    name: str
    examples: tuple[Shown, ...]
    more_examples: int
    queries: tuple[Asked, ...]
    more_queries: int
    right: int | None
    asked: int


@dataclass(frozen=True)
class Episode:
    """One episode on the page.

    Attributes:
        number: Which of the list.
        rank: Such as ``"hardest"``.
        right: Right answers, by the record.
        asked: Queries.
        rows: Classes, those with the most wrong answers first.
        more_classes: How many are not shown.
        others: Other methods on the same episode, with their right answers.
    """

    number: int
    rank: str
    right: int
    asked: int
    rows: tuple[ClassRow, ...]
    more_classes: int = 0
    others: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Viewer:
    """Episodes of one result, and sentences about what is not there."""

    title: str
    method: str
    episodes: tuple[Episode, ...] = ()
    sentences: tuple[str, ...] = ()


def choose_episodes(accuracies: Float[np.ndarray, " episodes"], count: int) -> list[tuple[int, str]]:
    """Numbers of episodes in even steps from the hardest to the easiest, each with its rank in words.

    Args:
        accuracies: One an episode; of equal ones the earlier counts as harder.
        count: How many at most; three are the hardest, the median and the easiest.
    """
    order, total = np.argsort(accuracies, kind="stable"), len(accuracies)
    places = dict.fromkeys(np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist())
    return [(int(order[place]), _rank(place, total)) for place in places]


def _rank(place: int, total: int) -> str:
    if place in (0, total - 1):
        return "hardest" if place == 0 else "easiest"
    middle = int(np.linspace(0, total - 1, 3).round()[1])
    return "median" if place == middle else f"hardest but {place}"


def class_rows(drawn: Drawn) -> tuple[tuple[ClassRow, ...], int]:
    """Rows of an episode, those with the most wrong answers first, and how many classes are left out."""
    rows = [_row(drawn, k, name) for k, name in enumerate(drawn.class_names)]
    if bool((drawn.query_y == len(rows)).any()):
        rows.append(_row(drawn, len(rows), "other classes"))
    ordered = sorted(rows, key=lambda row: (row.right or 0) - row.asked if row.right is not None else 0)
    return tuple(ordered[:MOST_CLASSES]), max(0, len(rows) - MOST_CLASSES)


def _row(drawn: Drawn, k: int, name: str) -> ClassRow:
    own, asked = np.flatnonzero(drawn.support_y == k), np.flatnonzero(drawn.query_y == k)
    right = None if drawn.predicted is None else drawn.predicted[asked] == k
    if right is not None:
        asked = asked[np.argsort(right, kind="stable")]  # wrong answers first: they are what there is to see
    return ClassRow(
        name,
        tuple(show(drawn.support[i]) for i in own[:MOST_EXAMPLES]),
        max(0, len(own) - MOST_EXAMPLES),
        tuple(_asked(drawn, int(i)) for i in asked[:MOST_QUERIES]),
        max(0, len(asked) - MOST_QUERIES),
        None if right is None else int(right.sum()),
        len(asked),
    )


def _asked(drawn: Drawn, i: int) -> Asked:
    if drawn.predicted is None:
        return Asked(show(drawn.query[i]), None, "")
    answer = int(drawn.predicted[i])
    return Asked(show(drawn.query[i]), answer == int(drawn.query_y[i]), drawn.class_names[answer])
