"""Draws of a training set: K examples of every class from one split, and all of another split queried each time."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fewshot.datasets.collection import Collection
from fewshot.episodes import FixedEpisodes, training_draws
from fewshot.tasks.episodes import Episodes
from fewshot.tasks.equal_rows import check_rows
from fewshot.tasks.guarded import Guarded
from fewshot.tasks.required import require_collection


@dataclass(frozen=True, eq=False)
class TrainingDraws:
    """All classes are known; what is drawn anew is the small training set.

    The accuracy is the mean over draws. The guard compares rows: no queried item, and none equal to one, may be among the
    examples. Examples of a draw with fewer shots are among those of the same draw with more.

    Attributes:
        collection: Items, with both splits.
        shot: Examples of each class.
        draws: How many training sets are drawn.
        seed: Names the list of draws.
        support: Split from which examples are drawn.
        query: Split that is queried.
        allow_equal: Let items pass that are queried and are equal to an example; the record says how many.
        allow_seen: Let the learner have been trained on these classes; the record says so.

    Raises:
        DataError: If the data are no collection.
        EpisodeError: If a split is absent, a queried class has no example, or one has too few.
    """

    collection: Collection
    shot: int = 1
    draws: int = 10
    seed: int = 0
    support: str = "train"
    query: str = "test"
    allow_equal: bool = False
    allow_seen: bool = False

    def __post_init__(self) -> None:
        require_collection(self.collection)

    @cached_property
    def listed(self) -> Episodes:
        """What is put to the learner: the draws as a list of episodes."""
        labels, splits = self.collection.labels, self.collection.splits
        drawn = training_draws(labels, splits, self.support, self.query, self.shot, self.draws, self.seed)
        return Episodes(self.collection, None, drawn, self.seed, allow_seen=self.allow_seen)

    @property
    def classes(self) -> tuple[str, ...]:
        """Qualified names of all classes."""
        return self.listed.classes

    def check(self, learner: Any) -> Guarded:
        """Compare rows, and classes with those of earlier training.

        Raises:
            LeakageError: If a queried item is among the examples, unless ``allow_equal``, or classes trained the learner,
                unless ``allow_seen``.
        """
        drawn = self.listed.sampler
        assert isinstance(drawn, FixedEpisodes)
        notes = check_rows(learner, self.collection, drawn, self.allow_equal, (self.collection.name, 0))
        return Guarded(self.listed.check(learner).seen, tuple(notes))
