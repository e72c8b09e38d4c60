"""The sampler: a list of episodes that exists without being stored."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from fewshot.episodes.disjoint import draw_disjoint
from fewshot.episodes.draws import BLOCK, VERSION, shuffled, stream, without_replacement
from fewshot.episodes.index import IndexEpisodes, group_by_shape, stack
from fewshot.episodes.pools import Pools
from fewshot.episodes.single import draw_one
from fewshot.episodes.spec import EpisodeSpec
from fewshot.errors import EpisodeError
from fewshot.files import digest


class EpisodeSampler:
    """Episode ``i`` is a pure function of (labels, spec, seed, i): no state, no order of calls.

    Args:
        labels: Class of each item: whole numbers from 0.
        spec: What an episode looks like.
        seed: Names the list of episodes.
        class_names: Names of the classes, for error messages.
        groups: Group (alphabet, superclass) of each class id, for ``spec.within_group``.
        query_labels: Classes of the items of a second collection, from which queries are drawn.

    Raises:
        EpisodeError: If the classes are too few or too small; the class and its count are named.

    Example:
        >>> sampler = EpisodeSampler([0, 0, 0, 1, 1, 1, 2, 2, 2], EpisodeSpec(way=2, shot=1, query=2), seed=0)
        >>> sampler[7].query_y.shape, sampler.batch(0, 100).support.shape
        ((4,), (100, 2))
    """

    def __init__(
        self,
        labels: Any,
        spec: EpisodeSpec,
        seed: int = 0,
        *,
        class_names: Sequence[str] | None = None,
        groups: Any = None,
        query_labels: Any = None,
    ) -> None:
        if not 0 <= seed < 2**63:
            raise EpisodeError(f"seed must lie in 0..2^63-1, got {seed}")
        self.spec, self.seed = spec, seed
        self.pools = Pools(labels, class_names)
        self.query_pools = None if query_labels is None else Pools(query_labels, class_names)
        self.class_groups = None if groups is None else np.asarray(groups)
        self._cached: tuple[int, IndexEpisodes] | None = None
        self._check()
        self._disjoint = draw_disjoint(self.pools, spec, seed) if spec.disjoint else None

    def _check(self) -> None:
        spec = self.spec
        if self.query_pools is not None and not np.array_equal(self.query_pools.ids, self.pools.ids):
            different = np.setxor1d(self.query_pools.ids, self.pools.ids).tolist()
            raise EpisodeError(f"both collections need the same classes, got classes of one only: {different}")
        if spec.is_plain(except_disjoint=True):
            own = spec.shot if self.query_pools is not None else spec.shot + spec.query  # type: ignore[operator]
            self.pools.require(own, spec.way)  # type: ignore[arg-type]
            if self.query_pools is not None:
                self.query_pools.require(spec.query, spec.way)  # type: ignore[arg-type]

    def __len__(self) -> int:
        """Number of episodes: finite only where they are disjoint."""
        return 2**62 if self._disjoint is None else len(self._disjoint)

    def __getitem__(self, i: int) -> IndexEpisodes:
        """Episode number ``i``, without an episode axis.

        Raises:
            IndexError: If ``i`` is negative or beyond the list.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"episode numbers run from 0 to {len(self) - 1}, got {i}")
        if self._disjoint is not None:
            return self._disjoint[i]
        if not self._in_blocks():
            return self._single(i)[0]
        return self._block(i // BLOCK)[i % BLOCK]

    def __iter__(self) -> Iterator[IndexEpisodes]:
        """All episodes in order."""
        return (self[i] for i in range(len(self)))

    def batch(self, start: int, count: int) -> IndexEpisodes:
        """Episodes ``start .. start + count - 1``, with a leading episode axis.

        Raises:
            EpisodeError: If they differ in shape, or the list of disjoint episodes ends before.
        """
        if start + count > len(self):
            raise EpisodeError(f"the pool of items allows {len(self)} disjoint episodes, got a request for {start + count}")
        if self._disjoint is not None or not self._in_blocks():
            return stack([self[i] for i in range(start, start + count)])
        numbers = range(start // BLOCK, (start + count - 1) // BLOCK + 1)
        parts = [self._block(b)[max(start - b * BLOCK, 0) : start + count - b * BLOCK] for b in numbers]
        return parts[0] if len(parts) == 1 else _join(parts)

    def groups(self, start: int, count: int) -> Iterator[IndexEpisodes]:
        """The same episodes in batches of one shape each, for specs whose episodes differ in shape."""
        if self._in_blocks():
            return iter([self.batch(start, count)])
        return group_by_shape([self[i] for i in range(start, start + count)])

    def rejected(self, start: int, count: int) -> int:
        """How many Dirichlet draws were rejected because a class could not fill its share."""
        if self.spec.dirichlet is None:
            return 0
        return sum(self._single(i)[1] for i in range(start, start + count))

    def seeds(self, index: Int64[np.ndarray, " e"]) -> Int64[np.ndarray, " e"]:
        """One seed per episode, for learners that draw random numbers."""
        blocks = {b: stream(self.seed, "torch", b).integers(0, 2**62, BLOCK) for b in np.unique(index // BLOCK).tolist()}
        return np.array([blocks[i // BLOCK][i % BLOCK] for i in index.tolist()], np.int64)

    def manifest(self, start: int, count: int, names: Any = ()) -> str:
        """One short line that names this list of episodes, the same for pixels and for any features.

        Args:
            start: First episode.
            count: Number of episodes.
            names: Item names, where the collection has them.
        """
        labels = [p.order.tobytes() + p.ids.tobytes() + p.sizes.tobytes() for p in (self.pools, self.query_pools) if p]
        groups = [] if self.class_groups is None else [str(self.class_groups.tolist()).encode()]
        items = digest([*labels, *groups, *(str(name).encode() for name in names)])[:16]
        spec = json.dumps(self.spec.as_dict(), separators=(",", ":"))
        return f"v{VERSION} items={items} spec={spec} seed={self.seed} episodes={start}+{count}"

    def _in_blocks(self) -> bool:
        return self.spec.is_plain() and self.query_pools is None

    def _single(self, i: int) -> tuple[IndexEpisodes, int]:
        rng = stream(self.seed, "single", i)
        return draw_one(self.pools, self.query_pools, self.class_groups, self.spec, rng, i)

    def _block(self, number: int) -> IndexEpisodes:
        if self._cached is None or self._cached[0] != number:
            self._cached = (number, self._draw_block(number))
        return self._cached[1]

    def _draw_block(self, number: int) -> IndexEpisodes:
        way, shot, query = self.spec.way, self.spec.shot, self.spec.query
        assert isinstance(way, int) and isinstance(shot, int) and isinstance(query, int)
        rng, pools = stream(self.seed, "block", number), self.pools
        classes = without_replacement(rng, np.full(BLOCK, len(pools.ids)), way)
        draws = without_replacement(rng, pools.sizes[classes.ravel()], shot + query)
        rows = pools.rows(classes, draws.reshape(BLOCK, way, shot + query))
        support, support_y = _shuffle(rng, rows[..., :shot])
        asked, asked_y = _shuffle(rng, rows[..., shot:])
        index = np.arange(number * BLOCK, (number + 1) * BLOCK)
        return IndexEpisodes(index, pools.ids[classes], support, support_y, asked, asked_y)


def _shuffle(rng: np.random.Generator, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``(e, way, n)`` in random order ``(e, way * n)`` with their labels."""
    flat = rows.reshape(len(rows), -1)
    order = shuffled(rng, *flat.shape)
    return np.take_along_axis(flat, order, 1), order // max(rows.shape[-1], 1)


def _join(parts: list[IndexEpisodes]) -> IndexEpisodes:
    names = ("index", "classes", "support", "support_y", "query", "query_y")
    return IndexEpisodes(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))
