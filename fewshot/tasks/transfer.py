"""Transfer between domains: a labelled source, a target whose labels are hidden, the same classes in both."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.joined import kind_of
from fewshot.episodes.fixed import FixedEpisodes
from fewshot.episodes.index import IndexEpisodes
from fewshot.errors import DataError, EpisodeError
from fewshot.plumbing.number_checks import seed_number, whole_number
from fewshot.records.answers import Answers
from fewshot.records.record import EpisodesInfo, Record
from fewshot.records.summary import summarize
from fewshot.statistics.interval import DRAWS, OPEN
from fewshot.tasks.answered import OfEpisodes
from fewshot.tasks.described import data_info, sources_info
from fewshot.tasks.equal_rows import check_rows
from fewshot.tasks.guarded import Guarded
from fewshot.tasks.single_queries import one_query_each
from fewshot.tasks.target import manifest_of

PROTOCOLS = ("inductive", "transductive")
ONE_SOURCE = "interval: over items of the target, for these source items; other source items would move it too"
EVEN = 7919  # of the seed that halves a target without parts of its own


@dataclass(frozen=True, eq=False)
class Transfer:
    """Support from the source, a pool without labels from the target, queries from the target.

    A learner sees ``support.x`` and ``support.y`` of the source, ``support.unlabelled`` of the target, and
    ``support.domain`` (0 for the source, 1 for labelled items of the target). Labels of the target are in no object
    that it can reach, but those of ``labelled``.

    Attributes:
        source: Labelled items.
        target: Items of the same classes, matched by name; their labels only judge.
        protocol: ``"inductive"``: the pool is the target's ``train`` part, queries are its ``test`` part; a target
            without these parts is halved at random. ``"transductive"``: all of the target is queried, there is no
            pool, and a learner that adapts to its queries may do so; most published tables are of this kind.
        per_class: Items of each source class, drawn anew for each draw; all of them when left out.
        draws: How many supports are drawn; needs ``per_class`` or ``labelled``.
        labelled: Labelled items of each class of the target that join the support, from its training part.
        seed: Names the draws.
        common_classes: Drop classes that one of the two lacks, instead of refusing them.
        allow_fewer: Let a source class with fewer than ``per_class`` items give all of them, instead of refusing it.
        allow_equal: Let items pass that are queried and are equal to one that the learner sees; the record says how many.

    Raises:
        DataError: If shapes or types of items differ, or a class is in one of the two alone.
        EpisodeError: If the source has fewer than two classes, a class is too small, or an option is out of range.
    """

    source: Collection
    target: Collection
    protocol: str = "inductive"
    per_class: int | None = None
    draws: int = 1
    labelled: int = 0
    seed: int = 0
    common_classes: bool = False
    allow_fewer: bool = False
    allow_equal: bool = False
    queries: ClassVar[None] = None  # both domains are one table
    at_once: ClassVar[int] = 1
    disjoint: ClassVar[tuple[None, None]] = (None, None)

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise EpisodeError(f"protocol must be 'inductive' or 'transductive', got '{self.protocol}'")
        for name, least in (("draws", 1), ("labelled", 0)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least, error=EpisodeError))
        object.__setattr__(self, "seed", seed_number(self.seed, EpisodeError))
        if self.per_class is not None:
            object.__setattr__(self, "per_class", whole_number("per_class", self.per_class, 1, error=EpisodeError))
        if self.draws > 1 and self.per_class is None and not self.labelled:
            raise EpisodeError(
                f"draws of all source items are all the same, got draws {self.draws}; set per_class or labelled"
            )
        if self.labelled and self.protocol == "transductive":
            raise EpisodeError(
                f"labelled items come from the target's training part, got labelled {self.labelled} with the protocol "
                "'transductive', which queries all of it; take 'inductive'"
            )
        self._match_classes()

    def _match_classes(self) -> None:
        kinds = [kind_of(one.items) for one in (self.source, self.target)]
        if kinds[0] != kinds[1]:
            raise DataError(
                f"items of both domains must have one shape and type, got {kinds[0]} in '{self.source.name}' and "
                f"{kinds[1]} in '{self.target.name}'; convert one of them"
            )
        both = set(self.source.class_names) & set(self.target.class_names)
        alone = sorted(set(self.source.class_names) ^ set(self.target.class_names))
        if alone and not self.common_classes:
            raise DataError(
                f"both domains must have the same classes, got {len(alone)} in one alone, such as '{alone[0]}'; drop them "
                "with common_classes=True"
            )
        if len(both) < 2:
            raise EpisodeError(f"a transfer needs two classes or more in both domains, got {sorted(both)}")
        if alone:
            for name in ("source", "target"):
                object.__setattr__(self, name, _of_classes(getattr(self, name), both))

    @cached_property
    def items(self) -> Collection:
        """Both domains as one table; ``source`` and ``target`` are its parts."""
        return Collection.join({"source": self.source, "target": self.target})

    @cached_property
    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the target for the pool, and for queries: its ``train`` and ``test`` parts, or random halves."""
        everything = np.arange(len(self.target))
        if self.protocol == "transductive":
            return everything[:0], everything
        if {"train", "test"} <= set(self.target.splits):
            return self.target.splits["train"], self.target.splits["test"]
        order = np.random.default_rng([self.seed, EVEN]).permutation(everything)
        half = (len(order) + 1) // 2
        return np.sort(order[:half]), np.sort(order[half:])

    @cached_property
    def episodes(self) -> FixedEpisodes:
        """One episode a draw of source items; all of them have the same queries."""
        drawn = [self._episode(k) for k in range(self.draws)]
        told = f"{self.source.hash[:12]} {self.target.hash[:12]} {self.protocol} {self.per_class} {self.labelled}"
        told += " or fewer" if self.allow_fewer else ""
        return FixedEpisodes(drawn, f"transfer {told}", self.seed)

    def _episode(self, draw: int) -> IndexEpisodes:
        rng, start = np.random.default_rng([self.seed, draw]), len(self.source)
        train, test = self.parts
        labels = self.items.labels
        source = np.arange(start) if self.per_class is None else self._drawn(rng, np.arange(start), self.per_class)
        few = self._drawn(rng, train + start, self.labelled) if self.labelled else train[:0]
        pool = np.setdiff1d(train + start, few)
        support, query = np.concatenate([source, few]), test + start
        return IndexEpisodes(
            index=np.asarray(draw),
            classes=np.arange(len(self.items.class_names)),
            support=support,
            support_y=labels[support],
            query=query,
            query_y=labels[query],
            unlabelled=pool if len(pool) else None,
        )

    def _drawn(self, rng: np.random.Generator, rows: np.ndarray, count: int) -> np.ndarray:
        """So many rows of each class, in the order of the classes."""
        chosen = []
        for label, name in enumerate(self.items.class_names):
            own = rows[self.items.labels[rows] == label]
            of_source = len(rows) and rows[0] < len(self.source)
            if len(own) < count and not (of_source and self.allow_fewer):
                where = "source" if of_source else "target's training part"
                raise EpisodeError(f"class '{name}' must have {count} items or more in the {where}, got {len(own)}")
            chosen.append(np.sort(rng.choice(own, min(count, len(own)), replace=False)))
        return np.concatenate(chosen)

    @property
    def listed(self) -> "Transfer":
        """What is put to the learner: the draws of this task."""
        return self

    @property
    def sampler(self) -> FixedEpisodes:
        """The draws."""
        return self.episodes

    @property
    def count(self) -> int:
        """How many draws."""
        return self.draws

    @property
    def first(self) -> IndexEpisodes:
        """The draw that the learner's claims are checked on."""
        return self.episodes.batch(0, 1)

    def check(self, learner: Any) -> Guarded:
        """Compare rows: no queried item, and none equal to one, may be in what the learner sees.

        Raises:
            EpisodeError: If nothing is queried.
            LeakageError: If an item is, unless ``allow_equal``.
        """
        if not len(self.parts[1]):
            raise EpisodeError(f"an evaluation needs queries, got an empty test part of '{self.target.name}'")
        names = self.target.name, len(self.source)
        return Guarded(notes=tuple(check_rows(learner, self.items, self.episodes, self.allow_equal, names)))

    def figures(self, found: OfEpisodes, level: float) -> dict[str, Any]:
        """Counts and the mean with its interval, over items of the target with one draw, over draws with several."""
        answers, one = self.units(found.answers), self.draws == 1
        return {
            "correct": answers.correct.tolist(),
            "queries": int(answers.queries[0]),
            "summary": summarize(answers, level, OPEN if one else DRAWS),
            "notes": [ONE_SOURCE] if one else [],
        }

    def units(self, answers: Answers) -> Answers:
        """Answers by unit: an item of the target with one draw, a draw with several."""
        return one_query_each(answers) if self.draws == 1 else answers

    def described(self) -> dict[str, Any]:
        """Both domains and the draws, field by field of a record."""
        queries, one, whole = len(self.parts[1]), self.draws == 1, self.protocol == "transductive"
        episodes = EpisodesInfo(
            way=len(self.items.class_names),
            shot=self.per_class or len(self.source) // len(self.source.class_names),
            query=1 if one else queries,
            query_distribution="all of the target" if whole else "the target's test part",
            count=queries if one else self.draws,
            seed=self.seed,
            manifest=manifest_of(self.episodes, self.draws, self.items, None),
            spec=self.spec(),
        )
        return {"data": data_info(self.items), "episodes": episodes} | sources_info(self.items, None)

    def spec(self) -> dict[str, Any]:
        """What a record says of the task; items of one fit are queried once each, which makes them disjoint."""
        told = {
            name: getattr(self, name)
            for name in ("protocol", "per_class", "draws", "labelled", "common_classes", "allow_equal")
        }
        further = {"allow_fewer": True} if self.allow_fewer else {}
        return {"task": "transfer", **told, **further} | ({"disjoint": True} if self.draws == 1 else {})

    def record(self, found: OfEpisodes, fields: dict[str, Any]) -> Record:
        """The record, with its answers in memory."""
        return Record(**fields).with_answers(self.units(found.answers))


def _of_classes(one: Collection, names: set[str]) -> Collection:
    """The items of some classes, in the splits of the whole."""
    rows = np.flatnonzero(np.isin(one.labels, [k for k, name in enumerate(one.class_names) if name in names]))
    splits = {name: np.flatnonzero(np.isin(rows, own)) for name, own in one.splits.items()}
    return replace(one.subset(rows), splits=splits)
