"""Episodes of several collections in turn, by default by the rule of Meta-Dataset.

Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples", ICLR 2020, section 3.2.
"""

from collections.abc import Sequence

from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.episodes.index import IndexEpisodes
from fewshot.errors import EpisodeError


class EpisodesInTurn:
    """Episode ``i`` is episode ``i // n`` of collection ``i % n``: a pure function of collections, spec, seed and ``i``.

    Every collection has a list of episodes of its own, so that leaving out the last episodes changes none. Figures belong to one
    collection each: average accuracies within a collection first.

    Args:
        collections: One or more, each with classes and items enough for the spec.
        spec: What an episode looks like; `EpisodeSpec.meta_dataset` when left out: 5 to 50 ways, unequal shots, at most 10 queries
            a class and at most half of the smallest class of the episode.
        seed: Names the lists of episodes.

    Raises:
        EpisodeError: If there is no collection, or one has too few classes or items; it is named.

    Example:
        >>> from fewshot.datasets.index import load_dataset
        >>> turns = EpisodesInTurn([load_dataset("digits"), load_dataset("digits-strokes")])
        >>> collection, episode = turns[1]
        >>> collection.name, 5 <= episode.n_way <= 10
        ('digits-strokes', True)
    """

    def __init__(self, collections: Sequence[Collection], spec: EpisodeSpec | None = None, seed: int = 0) -> None:
        if not collections:
            raise EpisodeError("episodes in turn need at least one collection, got none")
        self.collections, self.spec, self.seed = tuple(collections), spec or EpisodeSpec.meta_dataset(), seed
        self._samplers = [self._sampler(k) for k in range(len(collections))]

    def __getitem__(self, i: int) -> tuple[Collection, IndexEpisodes]:
        """The collection of episode ``i``, and the rows of it.

        Raises:
            IndexError: If ``i`` is negative, or a list of disjoint episodes ends before.
        """
        number, turn = divmod(i, len(self.collections))
        return self.collections[turn], self._samplers[turn][number]

    def _sampler(self, turn: int) -> EpisodeSampler:
        one = self.collections[turn]
        own = self.seed * len(self.collections) + turn  # equal seeds would choose alike in collections of one shape
        try:
            return EpisodeSampler(one.labels, self.spec, own, class_names=one.class_names, groups=one.groups)
        except EpisodeError as error:
            raise EpisodeError(f"every collection must have what an episode needs, got '{one.name}': {error}") from None
