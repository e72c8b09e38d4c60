"""The items of every class, ready to be drawn from."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from fewshot.errors import EpisodeError


class Pools:
    """Row numbers grouped by class.

    Args:
        labels: Class of each row: whole numbers from 0, in any order.
        class_names: Names for error messages, indexed by class id.

    Attributes:
        order: All row numbers, class by class.
        ids: The class ids that occur, ascending.
        starts: Where each of them begins in ``order``.
        sizes: Number of items of each of them.

    Raises:
        EpisodeError: If labels are not whole numbers of at least 0, or there are none.
    """

    def __init__(self, labels: Any, class_names: Sequence[str] | None = None) -> None:
        labels = np.asarray(labels)
        if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu" or int(labels.min()) < 0:
            raise EpisodeError(
                "labels must be a vector of whole numbers from 0, one an item, "
                f"got {_describe(labels)}; Collection.from_arrays makes them from any labels"
            )
        self.order = np.argsort(labels, kind="stable")
        self.ids, self.starts, self.sizes = np.unique(labels[self.order], return_index=True, return_counts=True)
        self.ids = self.ids.astype(np.int64)
        self.names = class_names

    def rows(self, positions: Int64[np.ndarray, "*e"], draws: Int64[np.ndarray, "*e n"]) -> Int64[np.ndarray, "*e n"]:
        """Row numbers of drawn items.

        Args:
            positions: Classes, as places in `ids`.
            draws: Numbers of items within their class.
        """
        rows: np.ndarray = self.order[self.starts[positions][..., None] + draws]
        return rows

    def draw(self, rng: np.random.Generator, position: int, count: int) -> Int64[np.ndarray, " rows"]:
        """``count`` different rows of one class, in random order."""
        places = rng.choice(self.sizes[position], count, replace=False)
        rows: np.ndarray = self.order[self.starts[position] + places]
        return rows

    def name(self, position: int) -> str:
        """A class as people know it."""
        return f"'{self.names[self.ids[position]]}'" if self.names is not None else str(self.ids[position])

    def require(self, least: int, what: str) -> None:
        """Raise unless every class has at least ``least`` items.

        Args:
            least: Number of items.
            what: What they are for.

        Raises:
            EpisodeError: Names the smallest class and its count.
        """
        smallest = int(self.sizes.argmin())
        if self.sizes[smallest] < least:
            raise EpisodeError(
                f"every class needs {least} items ({what}), got {self.sizes[smallest]} in class {self.name(smallest)} "
                f"({int((self.sizes < least).sum())} of {len(self.ids)} classes are too small); "
                "ask for fewer items, or leave small classes out"
            )

    def content(self) -> bytes:
        """The labels as bytes, the same on every machine."""
        return b"".join(part.astype("<i8").tobytes() for part in (self.order, self.ids, self.sizes))


def _describe(labels: np.ndarray) -> str:
    if labels.ndim != 1 or not len(labels) or labels.dtype.kind not in "iu":
        return f"shape {labels.shape} of {labels.dtype}"
    return f"the value {labels.min()}"
