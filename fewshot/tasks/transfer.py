"""Transfer between domains: a labelled source, a target whose labels are hidden, the same classes in both."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.conversion import as_numpy
from fewshot.datasets.joined import kind_of
from fewshot.episodes.fixed import FixedEpisodes
from fewshot.episodes.index import IndexEpisodes
from fewshot.errors import DataError, EpisodeError, LeakageError
from fewshot.plumbing.number_checks import seed_number, whole_number

PROTOCOLS = ("inductive", "transductive")
EVEN = 7919  # of the seed that halves a target without parts of its own


@dataclass(frozen=True, eq=False)
class Transfer:
    """Support from the source, a pool without labels from the target, queries from the target.

    A learner sees ``support.x`` and ``support.y`` of the source, ``support.unlabelled`` of the target, and
    ``support.domain`` (0 for the source, 1 for labelled items of the target). Labels of the target are in no object
    that it can reach, but those that ``labelled`` asks for.

    Attributes:
        source: Labelled items.
        target: Items of the same classes, matched by name; their labels only judge.
        protocol: ``"inductive"``: the pool is the target's ``train`` part, queries are its ``test`` part; a target
            without these parts is halved at random. ``"transductive"``: all of the target is queried, there is no
            pool, and a learner that adapts to its queries may do so; most published tables are of this kind.
        per_class: Items of each source class, drawn anew for each draw; all of them when left out.
        draws: How many sets of source items are drawn; needs ``per_class``.
        labelled: Labelled items of each class of the target that join the support, from its training part.
        seed: Names the draws.
        common_classes: Drop classes that one of the two lacks, instead of refusing them.
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
    allow_equal: bool = False

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise EpisodeError(f"protocol must be 'inductive' or 'transductive', got '{self.protocol}'")
        for name, least in (("draws", 1), ("labelled", 0)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least, error=EpisodeError))
        object.__setattr__(self, "seed", seed_number(self.seed, EpisodeError))
        if self.per_class is not None:
            object.__setattr__(self, "per_class", whole_number("per_class", self.per_class, 1, error=EpisodeError))
        if self.draws > 1 and self.per_class is None:
            raise EpisodeError(f"draws of all source items are all the same, got draws {self.draws}; set per_class")
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
            if len(own) < count:
                where = "source" if rows[0] < len(self.source) else "target's training part"
                raise EpisodeError(f"class '{name}' must have {count} items or more in the {where}, got {len(own)}")
            chosen.append(np.sort(rng.choice(own, count, replace=False)))
        return np.concatenate(chosen)

    def check(self, learner: Any) -> list[str]:
        """Compare rows: no queried item, and none equal to one, may be in what the learner sees.

        Returns:
            Sentences for the record: how many equal items were let pass.

        Raises:
            LeakageError: If an item is, unless ``allow_equal``.
        """
        query, drawn = self.episodes[0].query, self.episodes.episodes
        shown = [rows for one in drawn for rows in (one.support, one.unlabelled) if rows is not None]
        seen = set(_digests(self.items, np.unique(np.concatenate(shown))))
        equal = [row for row, own in zip(query, _digests(self.items, query), strict=True) if own in seen]
        if not equal:
            return []
        told = f"{len(equal)} of {len(query)} queried items are equal to one that {type(learner).__name__} sees"
        if not self.allow_equal:
            raise LeakageError(
                f"queried items must be new to the learner, got {told}, such as item {equal[0] - len(self.source)} of "
                f"'{self.target.name}'; take them out, or allow it with allow_equal=True and say so"
            )
        return [f"equal items: {told}"]

    def spec(self) -> dict[str, Any]:
        """What a record says of the task; items of one fit are queried once each, which makes them disjoint."""
        told = {
            name: getattr(self, name)
            for name in ("protocol", "per_class", "draws", "labelled", "common_classes", "allow_equal")
        }
        return {"task": "transfer", **told} | ({"disjoint": True} if self.draws == 1 else {})


def _of_classes(one: Collection, names: set[str]) -> Collection:
    """The items of some classes, in the splits of the whole."""
    rows = np.flatnonzero(np.isin(one.labels, [k for k, name in enumerate(one.class_names) if name in names]))
    splits = {name: np.flatnonzero(np.isin(rows, own)) for name, own in one.splits.items()}
    return replace(one.subset(rows), splits=splits)


def _digests(collection: Collection, rows: np.ndarray) -> list[bytes]:
    items = as_numpy(collection.take(rows))
    if items.dtype.kind in "TU":
        return [hashlib.blake2b(str(text).encode(), digest_size=16).digest() for text in items.tolist()]
    return [hashlib.blake2b(np.ascontiguousarray(item).tobytes(), digest_size=16).digest() for item in items]
