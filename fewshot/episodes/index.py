"""Episodes as indices into a collection; pixels come later, in one gather."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Int64

from fewshot.errors import EpisodeError
from fewshot.plumbing.number_checks import whole_number


@dataclass(frozen=True, eq=False)
class IndexEpisodes:
    """A batch of episodes of one shape, or one episode without the leading axis ``e``.

    Attributes:
        index: Which episodes of the list these are.
        classes: Class ids of the collection, in the order of the labels ``0..n_way-1``.
        support: Row numbers of the support items, shuffled.
        support_y: Their labels in ``0..n_way-1``.
        query: Row numbers of the queries, shuffled.
        query_y: Their labels; ``n_way`` for a query of an open class.
        unlabelled: Row numbers of a pool without labels, or nothing.
    """

    index: Int64[np.ndarray, "*e"]
    classes: Int64[np.ndarray, "*e n"]
    support: Int64[np.ndarray, "*e s"]
    support_y: Int64[np.ndarray, "*e s"]
    query: Int64[np.ndarray, "*e q"]
    query_y: Int64[np.ndarray, "*e q"]
    unlabelled: Int64[np.ndarray, "*e u"] | None = None

    @property
    def n_way(self) -> int:
        """Number of classes of each episode."""
        return int(self.classes.shape[-1])

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.index)

    def __getitem__(self, k: int | slice) -> "IndexEpisodes":
        """One episode without its axis (an int), or some episodes (a slice): views, not copies."""
        return self._map(lambda values: np.asarray(values[k]))

    def copy(self) -> "IndexEpisodes":
        """The same episodes in arrays of their own."""
        return self._map(np.copy)

    def names(self, item_names: Sequence[str] | None, query_names: Sequence[str] | None = None) -> dict[str, list[Any]]:
        """File names (or other names) of the items, in the order of the rows.

        Args:
            item_names: Name of each row of the collection: ``Collection.item_names``.
            query_names: Those of a second collection that gives the queries.

        Returns:
            ``support``, ``query`` and, where there is a pool, ``unlabelled``; lists of
            names, nested if there is an episode axis.

        Raises:
            EpisodeError: If the collection has no names.
        """
        if item_names is None:
            raise EpisodeError("the items of the collection must have names, got none; set Collection.item_names")
        own = np.asarray(item_names, object)
        other = own if query_names is None else np.asarray(query_names, object)
        named = {"support": own[self.support].tolist(), "query": other[self.query].tolist()}
        return named if self.unlabelled is None else {**named, "unlabelled": own[self.unlabelled].tolist()}

    def shape(self) -> tuple[int | None, ...]:
        """Way, support size, query size and pool size: what must agree within a batch."""
        arrays = (self.classes, self.support, self.query, self.unlabelled)
        return tuple(None if a is None else int(a.shape[-1]) for a in arrays)

    def _map(self, change: Callable[[np.ndarray], np.ndarray]) -> "IndexEpisodes":
        values = (getattr(self, f.name) for f in fields(self))
        return IndexEpisodes(*(None if v is None else change(v) for v in values))  # type: ignore[arg-type]


def stack(episodes: Sequence[IndexEpisodes]) -> IndexEpisodes:
    """Single episodes of one shape as a batch.

    Raises:
        EpisodeError: If their shapes differ.
    """
    shapes = {episode.shape() for episode in episodes}
    if len(shapes) != 1:
        raise EpisodeError(f"a batch needs episodes of one shape, got {len(shapes)} shapes; use .groups(start, count)")
    return _combine(episodes, np.stack)


def join(batches: Sequence[IndexEpisodes]) -> IndexEpisodes:
    """Batches of one shape as one batch, in arrays of its own."""
    return batches[0].copy() if len(batches) == 1 else _combine(batches, np.concatenate)


def group_by_shape(episodes: Sequence[IndexEpisodes]) -> Iterator[IndexEpisodes]:
    """Batches of one shape each; within a shape the order is kept."""
    by_shape: dict[tuple[int | None, ...], list[IndexEpisodes]] = {}
    for episode in episodes:
        by_shape.setdefault(episode.shape(), []).append(episode)
    return (stack(group) for group in by_shape.values())


def check_range(start: int, count: int, length: int, what: str) -> None:
    """Raise unless a list has all requested episodes.

    Raises:
        EpisodeError: Says how many there are.
    """
    start, count = (whole_number(name, n, error=EpisodeError) for name, n in (("start", start), ("count", count)))
    if start < 0 or count < 1:
        raise EpisodeError(f"a range of episodes needs start >= 0 and count >= 1, got start={start} and count={count}")
    if start + count > length:
        raise EpisodeError(f"{what} ends after {length} episodes, got a request for {start + count}; ask for fewer")


def _combine(parts: Sequence[IndexEpisodes], how: Callable[[Any], np.ndarray]) -> IndexEpisodes:
    columns = ([getattr(part, f.name) for part in parts] for f in fields(IndexEpisodes))
    return IndexEpisodes(*(None if column[0] is None else how(column) for column in columns))  # type: ignore[arg-type]
