"""Episodes of new classes: each with a few examples, drawn from one collection, or with queries from a second one."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec, FixedEpisodes, IndexEpisodes
from fewshot.errors import EpisodeError
from fewshot.plumbing.number_checks import seed_number
from fewshot.records.record import EpisodesInfo, Record
from fewshot.records.summary import further_intervals, open_note, summarize, summarize_open_set
from fewshot.tasks.answered import OfEpisodes
from fewshot.tasks.described import data_info, sources_info
from fewshot.tasks.guarded import Guarded
from fewshot.tasks.overlap import asked_classes, check_overlap
from fewshot.tasks.required import require_collection, require_episodes
from fewshot.tasks.target import make_sampler, manifest_of, require_alike

DRAWN = 1000  # episodes where no number is given


@dataclass(frozen=True, eq=False)
class Episodes:
    """Small classification problems: some classes, a few examples of each, queries of the same classes.

    The accuracy is the mean over episodes. The guard compares classes: none that is queried may have trained the learner.

    Attributes:
        collection: Classes to draw episodes from.
        spec: Shape of an episode; 5-way 1-shot with 15 queries a class when left out.
        episodes: How many to draw, or a fixed list of them.
        seed: Names the list of episodes.
        queries: A second collection with the same classes, the target: queries are drawn from it, and the pool
            without labels. The record names it, and its classes are guarded like those of the first.
        allow_seen: Let the learner have been trained on classes that are queried; the record says so.
        open_interval: Also evaluate disjoint episodes, for an interval that speaks of new images.

    Raises:
        DataError: If the data are no collection, or items of two collections differ in shape or type.
        EpisodeError: If episodes are neither a number nor a list.
        StatisticsError: If there are fewer than two.
    """

    collection: Collection
    spec: EpisodeSpec | None = None
    episodes: int | FixedEpisodes = DRAWN
    seed: int = 0
    queries: Collection | None = None
    allow_seen: bool = False
    open_interval: bool = False
    at_once: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        require_collection(self.collection)
        if self.queries is not None:
            require_collection(self.queries)
            require_alike(self.collection, self.queries)
        object.__setattr__(self, "episodes", require_episodes(self.episodes))
        object.__setattr__(self, "seed", seed_number(self.seed, EpisodeError))

    @property
    def listed(self) -> "Episodes":
        """What is put to the learner: these episodes themselves."""
        return self

    @property
    def items(self) -> Collection:
        """What support items come from, and queries where there is no second collection."""
        return self.collection

    @cached_property
    def sampler(self) -> EpisodeSampler | FixedEpisodes:
        """The list of episodes."""
        if isinstance(self.episodes, FixedEpisodes):
            return self.episodes
        return make_sampler(self.collection, self.spec or EpisodeSpec(), self.seed, self.queries)

    @property
    def count(self) -> int:
        """How many episodes of the list."""
        return self.episodes if isinstance(self.episodes, int) else len(self.episodes)

    @cached_property
    def first(self) -> IndexEpisodes:
        """Two episodes that the learner's claims are checked on; of a short list one, which may be costly."""
        return next(iter(self.sampler.groups(0, min(2, self.count // 2))))

    @property
    def classes(self) -> tuple[str, ...]:
        """Qualified names of all classes that may be queried."""
        return tuple(asked_classes(self.collection, self.queries))

    def check(self, learner: Any) -> Guarded:
        """Compare classes: those that are queried with those that trained the learner.

        Raises:
            EpisodeError: If the episodes have no query.
            LeakageError: If classes are in both, unless ``allow_seen``.
        """
        first = self.sampler[0]
        if not (first.query_y < first.n_way).any():
            raise EpisodeError("an evaluation needs queries, got episodes without one; set query to 1 or more")
        return Guarded(check_overlap(learner, self.collection, self.allow_seen, self.queries))

    @cached_property
    def disjoint(self) -> tuple[EpisodeSampler | None, str | None]:
        """Disjoint episodes of the same shape, where an interval for new images is wanted, or why there are none."""
        if not self.open_interval:
            return None, None
        if isinstance(self.sampler, FixedEpisodes) or not self.sampler.spec.is_plain() or self.queries is not None:
            return None, "open interval: only for drawn episodes of one shape from one collection"
        apart = EpisodeSampler(self.collection.labels, replace(self.sampler.spec, disjoint=True), self.seed)
        why_not = open_note(len(apart))
        return (None, why_not) if why_not else (apart, None)

    def figures(self, found: OfEpisodes, level: float) -> dict[str, Any]:
        """Counts and means with their intervals, field by field of a record."""
        answers, why_not = found.answers, self.disjoint[1]
        intervals, notes = further_intervals(answers, found.disjoint, level)
        return {
            "correct": answers.correct.tolist(),
            "queries": _one_if_equal(answers.queries),
            "summary": summarize(answers, level),
            "intervals": intervals,
            "open_set": summarize_open_set(answers, level),
            "notes": [*notes, *([why_not] if why_not else [])],
        }

    def described(self) -> dict[str, Any]:
        """Data and episodes, field by field of a record."""
        data = {"data": data_info(self.collection), "episodes": self._info()}
        return data | sources_info(self.collection, self.queries)

    def _info(self) -> EpisodesInfo:
        sampler, first = self.sampler, self.sampler[0]
        spec = sampler.spec if isinstance(sampler, EpisodeSampler) else None
        way = len(first.classes)
        return EpisodesInfo(
            way=way if spec is None else _plain(spec.way),
            shot=len(first.support) // max(way, 1) if spec is None else _plain(spec.shot),
            query=len(first.query) // max(way, 1) if spec is None else _plain(spec.query),
            query_distribution="as given" if spec is None else spec.query_distribution(),
            count=self.count,
            seed=self.seed,
            manifest=manifest_of(sampler, self.count, self.collection, self.queries),
            spec={} if spec is None else spec.as_dict(),
            rejected_draws=sampler.rejected(0, self.count) if isinstance(sampler, EpisodeSampler) else 0,
        )

    def record(self, found: OfEpisodes, fields: dict[str, Any]) -> Record:
        """The record, with its answers in memory."""
        return Record(**fields).with_answers(found.answers)


def _one_if_equal(queries: np.ndarray) -> int | list[int]:
    return int(queries[0]) if (queries == queries[0]).all() else queries.tolist()


def _plain(count: Any) -> Any:
    return list(count) if isinstance(count, tuple) else count
