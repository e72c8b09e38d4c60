"""Where the items of episodes come from: one collection or two, in one group of classes or many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fewshot.episodes.pools import Pools
from fewshot.episodes.spec import EpisodeSpec, high, low
from fewshot.errors import EpisodeError


@dataclass(frozen=True, eq=False)
class Source:
    """Items by class, and which classes may share an episode.

    Attributes:
        support: Classes and their items.
        query: Items of a second collection for queries and pool, same classes; None: the same items.
        groups: Classes that may share an episode, as positions in ``support.ids``; one array a group.
    """

    support: Pools
    query: Pools | None
    groups: list[np.ndarray]

    def room(self, positions: np.ndarray, shots: np.ndarray, unlabelled: int) -> np.ndarray:
        """How many queries each class can give when support and pool have taken their items."""
        sizes = self.support.sizes[positions] - shots if self.query is None else self.query.sizes[positions]
        room: np.ndarray = sizes - unlabelled
        return room

    def check(self, spec: EpisodeSpec) -> None:
        """Raise unless every episode of the spec can be drawn.

        Raises:
            EpisodeError: If classes are too few or too small, or the spec does not go with a second collection.
        """
        if self.query is not None and (spec.disjoint or spec.rule != "fixed"):
            raise EpisodeError(
                f"queries of a second collection need a spec without disjoint and rule, got {spec.short()}"
            )
        self._check_way(spec)
        own, known, opened = spec.least_items()
        if self.query is None:
            self.support.require(max(own + known, opened), "shot + query" + " + unlabelled" * (spec.unlabelled > 0))
        else:
            self.support.require(own - spec.unlabelled, "shot")
            pool = " + unlabelled" * (spec.unlabelled > 0)
            self.query.require(max(known + spec.unlabelled, opened), f"query{pool}, in the second collection")

    def _check_way(self, spec: EpisodeSpec) -> None:
        way = (high(spec.way) if spec.rule == "fixed" else low(spec.way)) + spec.extra_way()
        most = max(len(group) for group in self.groups)
        if way > most:
            where = "of the largest group" if spec.within_group else "of the collection"
            extra = f" (with {spec.extra_way()} open classes and distractors)" if spec.extra_way() else ""
            raise EpisodeError(
                f"way must be at most the number of classes {where}, {most}, got {way}{extra}; lower way"
            )

    def content(self, spec: EpisodeSpec) -> list[bytes]:
        """All that decides which rows are drawn, as bytes."""
        groups = [group.astype("<i8").tobytes() for group in self.groups] if spec.within_group else []
        pool = [b"pool of the second collection"] if self.query is not None and spec.unlabelled else []
        return [pools.content() for pools in (self.support, self.query) if pools is not None] + groups + pool


def make_source(
    labels: Any, spec: EpisodeSpec, class_names: Sequence[str] | None, groups: Any, query_labels: Any
) -> Source:
    """The source for a spec, checked; arguments as of `EpisodeSampler`.

    Raises:
        EpisodeError: If labels are wrong, classes do not match, or the spec needs more than there is.
    """
    support = Pools(labels, class_names)
    query = None if query_labels is None else Pools(query_labels, class_names)
    if query is not None and not np.array_equal(query.ids, support.ids):
        common = np.intersect1d(support.ids, query.ids)
        alone = [p.name(k) for p in (support, query) for k in np.flatnonzero(~np.isin(p.ids, common)).tolist()]
        raise EpisodeError(f"both collections need the same classes, got only in one of them: {', '.join(alone[:5])}")
    source = Source(support, query, _groups(support, groups) if spec.within_group else [np.arange(len(support.ids))])
    source.check(spec)
    return source


def _groups(pools: Pools, groups: Any) -> list[np.ndarray]:
    """Positions of the classes of each group."""
    if groups is None:
        raise EpisodeError("episodes within one group need the group of each class, got none; give groups=")
    groups = np.asarray(groups)
    if groups.ndim != 1 or len(groups) <= pools.ids[-1]:
        raise EpisodeError(f"groups must give one group a class id, 0..{pools.ids[-1]}, got shape {groups.shape}")
    member = groups[pools.ids]
    return [np.flatnonzero(member == name) for name in np.unique(member)]
