"""Episodes as indices into a collection; pixels come later, in one gather."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from jaxtyping import Int64

from fewshot.errors import EpisodeError


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
        """One episode without its axis (an int), or some episodes (a slice)."""
        values = (getattr(self, f.name) for f in fields(self))
        return IndexEpisodes(*(None if v is None else np.asarray(v[k]) for v in values))

    def shape(self) -> tuple[int, ...]:
        """Way, support size, query size and pool size: what must agree within a batch."""
        arrays = (self.classes, self.support, self.query, self.unlabelled)
        return tuple(0 if a is None else int(a.shape[-1]) for a in arrays)


def stack(episodes: Sequence[IndexEpisodes]) -> IndexEpisodes:
    """Single episodes of one shape as a batch.

    Raises:
        EpisodeError: If their shapes differ.
    """
    shapes = {episode.shape() for episode in episodes}
    if len(shapes) != 1:
        raise EpisodeError(f"a batch needs episodes of one shape, got {len(shapes)} shapes; use .groups(start, count)")

    def column(name: str) -> Any:
        values = [getattr(episode, name) for episode in episodes]
        return None if values[0] is None else np.stack(values)

    return IndexEpisodes(**{f.name: column(f.name) for f in fields(IndexEpisodes)})


class FixedEpisodes:
    """A given list of episodes, such as released runs: everywhere where a sampler fits.

    Args:
        episodes: Single episodes; their ``index`` is their place in the list.
        name: What the list is, for the manifest.
    """

    def __init__(self, episodes: Sequence[IndexEpisodes], name: str) -> None:
        self.episodes, self.name = list(episodes), name

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.episodes)

    def __getitem__(self, i: int) -> IndexEpisodes:
        """Episode number ``i``."""
        return self.episodes[i]

    def batch(self, start: int, count: int) -> IndexEpisodes:
        """Episodes ``start .. start + count - 1``, which must be of one shape."""
        return stack(self.episodes[start : start + count])

    def groups(self, start: int, count: int) -> Iterator[IndexEpisodes]:
        """The same episodes in batches of one shape each."""
        return group_by_shape(self.episodes[start : start + count])


def group_by_shape(episodes: Sequence[IndexEpisodes]) -> Iterator[IndexEpisodes]:
    """Batches of one shape each; within a shape the order is kept."""
    by_shape: dict[tuple[int, ...], list[IndexEpisodes]] = {}
    for episode in episodes:
        by_shape.setdefault(episode.shape(), []).append(episode)
    return (stack(group) for group in by_shape.values())
