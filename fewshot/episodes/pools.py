"""The items of every class, ready to be drawn from."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fewshot.errors import EpisodeError


class Pools:
    """Row numbers grouped by class.

    Args:
        labels: Class of each row: whole numbers from 0, in any order.
        class_names: Names for error messages, indexed by class id.

    Attributes:
        ids: The class ids that occur, ascending.
        sizes: Number of items of each of them.

    Raises:
        EpisodeError: If labels are not whole numbers of at least 0, or there are none.
    """

    def __init__(self, labels: Any, class_names: Sequence[str] | None = None) -> None:
        labels = np.asarray(labels)
        if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu" or int(labels.min()) < 0:
            raise EpisodeError(
                "labels must be a vector of whole numbers from 0, one an item, "
                f"got {_describe(labels)}; Collection makes them from any labels"
            )
        self.order = np.argsort(labels, kind="stable")
        self.ids, self.starts, self.sizes = np.unique(labels[self.order], return_index=True, return_counts=True)
        self.ids = self.ids.astype(np.int64)
        self.names = class_names

    def rows(self, classes: np.ndarray, draws: np.ndarray) -> np.ndarray:
        """Row numbers of the drawn items; ``classes`` counts within `ids`."""
        return self.order[self.starts[classes][..., None] + draws]

    def name(self, position: int) -> str:
        """A class as people know it."""
        return f"'{self.names[self.ids[position]]}'" if self.names is not None else str(self.ids[position])

    def require(self, least: int, way: int, remedy: str = "lower shot or query, or leave the class out") -> None:
        """Raise unless there are ``way`` classes and each has at least ``least`` items.

        Raises:
            EpisodeError: Names the smallest class and its count.
        """
        if way > len(self.ids):
            raise EpisodeError(f"way must be at most the number of classes, {len(self.ids)}, got {way}")
        smallest = int(self.sizes.argmin())
        if self.sizes[smallest] < least:
            raise EpisodeError(
                f"every class needs {least} items (shot + query), got {self.sizes[smallest]} in class "
                f"{self.name(smallest)} ({int((self.sizes < least).sum())} of {len(self.ids)} classes are too small); {remedy}"
            )


def _describe(labels: np.ndarray) -> str:
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        return f"shape {labels.shape} of {labels.dtype}"
    return f"the value {labels.min()}"
