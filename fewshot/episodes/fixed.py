"""A list of episodes that somebody else has drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from jaxtyping import Int64

from fewshot.episodes.draws import episode_seeds
from fewshot.episodes.index import IndexEpisodes, check_range, group_by_shape, stack
from fewshot.episodes.manifest import manifest_line
from fewshot.errors import EpisodeError
from fewshot.plumbing.number_checks import seed_number


class FixedEpisodes:
    """A given list of episodes, such as released runs: everywhere where a sampler fits.

    Args:
        episodes: Single episodes, or a batch of them; their ``index`` becomes their place in the list.
        name: What the list is, for the manifest.
        seed: For learners that draw random numbers.

    Raises:
        EpisodeError: If there are none, or one is a batch.
    """

    def __init__(self, episodes: Sequence[IndexEpisodes] | IndexEpisodes, name: str, seed: int = 0) -> None:
        listed = [episodes[i] for i in range(len(episodes))]
        if not listed or any(episode.classes.ndim != 1 for episode in listed):
            raise EpisodeError(
                f"a list of episodes needs at least one, each without a leading axis, got {len(listed)} "
                f"in '{name}'; give a batch as it is, not in a list"
            )
        self.episodes = [replace(episode, index=np.asarray(i)) for i, episode in enumerate(listed)]
        self.name, self.seed = name, seed_number(seed, EpisodeError)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.episodes)

    def __getitem__(self, i: int) -> IndexEpisodes:
        """Episode number ``i``.

        Raises:
            IndexError: If ``i`` is negative or beyond the list.
        """
        if not 0 <= i < len(self):
            raise IndexError(f"episode numbers run from 0 to {len(self) - 1}, got {i}")
        return self.episodes[i].copy()

    def batch(self, start: int, count: int) -> IndexEpisodes:
        """Episodes ``start .. start + count - 1``, which must be of one shape.

        Raises:
            EpisodeError: If they differ in shape, or the list ends before.
        """
        return stack(self._range(start, count))

    def groups(self, start: int, count: int) -> Iterator[IndexEpisodes]:
        """The same episodes in batches of one shape each.

        Raises:
            EpisodeError: If the list ends before.
        """
        return group_by_shape(self._range(start, count))

    def seeds(self, index: Int64[np.ndarray, " e"]) -> Int64[np.ndarray, " e"]:
        """One seed per episode, for learners that draw random numbers."""
        return episode_seeds(self.seed, index)

    def manifest(self, start: int, count: int, names: Any = ()) -> str:
        """One short line that names this list of episodes: a hash of their rows, labels and item names.

        Args:
            start: First episode.
            count: Number of episodes.
            names: Item names, where the collection has them.
        """
        content = (part for episode in self._range(start, count) for part in _content(episode))
        return manifest_line(content, names, f"list='{self.name}' seed={self.seed}", start, count)

    def _range(self, start: int, count: int) -> list[IndexEpisodes]:
        check_range(start, count, len(self), f"the list '{self.name}'")
        return self.episodes[start : start + count]


def _content(episode: IndexEpisodes) -> Iterator[bytes]:
    values = (getattr(episode, f.name) for f in fields(episode))
    return (b"none" if v is None else v.astype("<i8").tobytes() for v in values)
