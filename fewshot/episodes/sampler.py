"""The sampler: a list of episodes that exists without being stored."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from fewshot.episodes.block import draw_block, draw_disjoint
from fewshot.episodes.draws import BLOCK, episode_seeds, stream
from fewshot.episodes.index import IndexEpisodes, check_range, group_by_shape, join, stack
from fewshot.episodes.manifest import manifest_line
from fewshot.episodes.single import draw_one
from fewshot.episodes.source import make_source
from fewshot.episodes.spec import EpisodeSpec
from fewshot.errors import EpisodeError
from fewshot.plumbing.number_checks import seed_number


class EpisodeSampler:
    """Episode ``i`` is a pure function of (labels, spec, seed, i): no state, no order of calls.

    Args:
        labels: Class of each item: whole numbers from 0.
        spec: What an episode looks like.
        seed: Names the list of episodes.
        class_names: Names of the classes, for error messages.
        groups: Group (alphabet, superclass) of each class id, for ``spec.within_group``.
        query_labels: Classes of the items of a second collection, from which queries and the pool are drawn.

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
        if not isinstance(spec, EpisodeSpec):
            raise EpisodeError(
                f"the spec must be an EpisodeSpec, got {spec!r}; write EpisodeSpec(way=5, shot=1, query=15)"
            )
        self.spec, self.seed = spec, seed_number(seed, EpisodeError)
        self.source = make_source(labels, spec, class_names, groups, query_labels)
        self._in_blocks = spec.is_plain() and self.source.query is None
        self._disjoint = draw_disjoint(self.source.support, spec, self.seed) if spec.disjoint else None
        self._cached: tuple[int, IndexEpisodes] | None = None
        self._rejections: dict[int, int] = {}  # of the episodes drawn so far

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
            return self._disjoint[i].copy()
        return self._block(i // BLOCK)[i % BLOCK].copy() if self._in_blocks else self._single(i)

    def __iter__(self) -> Iterator[IndexEpisodes]:
        """All episodes in order."""
        return (self[i] for i in range(len(self)))

    def batch(self, start: int, count: int) -> IndexEpisodes:
        """Episodes ``start .. start + count - 1``, with a leading episode axis.

        Raises:
            EpisodeError: If they differ in shape, or the list of disjoint episodes ends before.
        """
        self._check_range(start, count)
        if self._disjoint is not None:
            return self._disjoint[start : start + count].copy()
        if not self._in_blocks:
            return stack([self[i] for i in range(start, start + count)])
        numbers = range(start // BLOCK, (start + count - 1) // BLOCK + 1)
        return join([self._block(b)[max(start - b * BLOCK, 0) : start + count - b * BLOCK] for b in numbers])

    def groups(self, start: int, count: int) -> Iterator[IndexEpisodes]:
        """The same episodes in batches of one shape each, for specs whose episodes differ in shape.

        Raises:
            EpisodeError: If the list of disjoint episodes ends before.
        """
        if self._in_blocks or self._disjoint is not None:
            return iter([self.batch(start, count)])
        self._check_range(start, count)
        return group_by_shape([self[i] for i in range(start, start + count)])

    def rejected(self, start: int, count: int) -> int:
        """How many Dirichlet draws were rejected because a class could not fill its share."""
        if self.spec.dirichlet is None:
            return 0
        for i in range(start, start + count):
            if i not in self._rejections:
                self._single(i)
        return sum(self._rejections[i] for i in range(start, start + count))

    def seeds(self, index: Int64[np.ndarray, " e"]) -> Int64[np.ndarray, " e"]:
        """One seed per episode, for learners that draw random numbers."""
        return episode_seeds(self.seed, index)

    def manifest(self, start: int, count: int, names: Any = ()) -> str:
        """One short line that names this list of episodes, the same for pixels and for any features.

        Args:
            start: First episode.
            count: Number of episodes.
            names: Item names, where the collection has them.
        """
        self._check_range(start, count)
        spec = json.dumps(self.spec.as_dict(), separators=(",", ":"))
        return manifest_line(self.source.content(self.spec), names, f"spec={spec} seed={self.seed}", start, count)

    def __getstate__(self) -> dict[str, Any]:
        """All but what was drawn, which a worker draws again."""
        return {**self.__dict__, "_cached": None, "_rejections": {}}

    def _check_range(self, start: int, count: int) -> None:
        check_range(start, count, len(self), "a list of disjoint episodes")

    def _single(self, i: int) -> IndexEpisodes:
        episode, self._rejections[i] = draw_one(self.source, self.spec, stream(self.seed, "single", i), i)
        return episode

    def _block(self, number: int) -> IndexEpisodes:
        cached = self._cached  # read once: another thread may put its own block there meanwhile
        if cached is None or cached[0] != number:
            cached = self._cached = (number, draw_block(self.source.support, self.spec, self.seed, number))
        return cached[1]
