"""What an episode looks like: how many classes, how many examples, which queries."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fewshot.errors import EpisodeError, FewShotError
from fewshot.plumbing.number_checks import finite_number, plain, truth_value, whole_number

Count = int | tuple[int, int]
MOST_SUPPORT = 500  # items in a support set of Meta-Dataset


@dataclass(frozen=True)
class EpisodeSpec:
    """The shape of an episode. A pair ``(low, high)`` is drawn anew, uniformly, in every episode.

    Attributes:
        way: Number of classes.
        shot: Support items of each class; 0 is zero-shot. A pair is drawn per episode.
        query: Query items of each class.
        shots: Unequal shots, one count a class (its order is shuffled); replaces ``shot``.
        dirichlet: Concentration of the query's class shares; ``way * query`` queries are
            then shared out by Dirichlet(dirichlet), never clipped: shares that some class
            cannot fill are rejected and drawn again, for the same classes.
        within_group: All classes of an episode come from one group (an alphabet).
        open_way: Further classes that are only queried, labelled ``way``.
        open_query: Queries of each open class; as many as of a known class when left out.
        unlabelled: Items of each class in a pool without labels.
        distractors: Further classes in that pool that no query belongs to.
        disjoint: No item is used twice in the whole list of episodes, which then ends.
        rule: ``"fixed"``, or ``"meta-dataset"`` for the sampling rule of
            Triantafillou et al. (2020), section 3.2; see `EpisodeSpec.meta_dataset`.

    Raises:
        EpisodeError: If a count is out of range or two settings exclude each other.

    Example:
        >>> EpisodeSpec(way=5, shot=1, query=15).short()
        'way=5 shot=1 query=15'
    """

    way: Count = 5
    shot: Count = 1
    query: Count = 15
    shots: tuple[int, ...] | None = None
    dirichlet: float | None = None
    within_group: bool = False
    open_way: int = 0
    open_query: int | None = None
    unlabelled: int = 0
    distractors: int = 0
    disjoint: bool = False
    rule: str = "fixed"

    def __post_init__(self) -> None:
        for name, least in (("way", 1), ("shot", 0), ("query", 0)):
            self._keep(name, _count(name, getattr(self, name), least))
        for name in ("open_way", "open_query", "unlabelled", "distractors"):
            if name != "open_query" or self.open_query is not None:
                self._keep(name, whole_number(name, getattr(self, name), 0, error=EpisodeError))
        for name in ("within_group", "disjoint"):
            self._keep(name, truth_value(name, getattr(self, name), EpisodeError))
        if self.shots is not None:
            self._keep("shots", _shots(self.shots))
        if self.dirichlet is not None:  # 2 and 2.0 are one spec, and one manifest
            self._keep("dirichlet", finite_number("dirichlet", self.dirichlet, "(0, inf)", EpisodeError))
        self._check_together()

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check_together(self) -> None:
        counts = self._has_equal_counts()
        rules = (
            (self.shots is None or len(self.shots) == self.way,
             f"shots must give one count a class, got {self.shots} for way {self.way}"),
            (self.open_query is None or self.open_way > 0, f"open_query needs open_way, got open_query={self.open_query}"),
            (self.distractors == 0 or self.unlabelled > 0,
             f"distractors need a pool of unlabelled items, got distractors={self.distractors} and unlabelled=0"),
            (self.rule in ("fixed", "meta-dataset"), f"rule must be 'fixed' or 'meta-dataset', got '{self.rule}'"),
            (self.rule == "fixed" or not (self.disjoint or any(self._options())),
             f"the rule '{self.rule}' takes no option but within_group, got {self.short()}"),
            (self.rule == "fixed" or high(self.way) <= MOST_SUPPORT,
             f"way must be at most {MOST_SUPPORT}, the support of the rule '{self.rule}', got {self.way}"),
            (not self.disjoint or (counts and (self.shot, self.query) != (0, 0)),
             f"disjoint episodes need fixed way, shot and query and no other option, got {self.short()}"),
        )  # fmt: skip
        for holds, message in rules:
            if not holds:
                raise EpisodeError(message)

    def _options(self) -> tuple[Any, ...]:
        return (self.shots, self.dirichlet, self.open_way, self.unlabelled)

    def _has_equal_counts(self) -> bool:
        fixed = all(isinstance(n, int) for n in (self.way, self.shot, self.query))
        return fixed and not self.within_group and not any(self._options()) and self.rule == "fixed"

    def is_plain(self) -> bool:
        """Whether all episodes have one shape with equal counts, so that blocks of them are drawn at once."""
        return self._has_equal_counts() and not self.disjoint

    def extra_way(self) -> int:
        """Classes of an episode beyond those of its labels: open ones and distractors."""
        return self.open_way + self.distractors

    def least_items(self) -> tuple[int, int, int]:
        """Items that every class must have: for support and pool, for its queries, and to be an open class.

        Dirichlet shares have no bound below the total, so they ask for none in advance.
        """
        if self.rule == "meta-dataset":
            return 1, 1, 0
        query = 0 if self.dirichlet is not None else high(self.query)
        opened = high(self.query) if self.open_query is None else self.open_query
        return max(self.shots or (high(self.shot),)) + self.unlabelled, query, opened if self.open_way else 0

    @classmethod
    def meta_dataset(cls, max_way: int = 50, query: int = 10, within_group: bool = False) -> "EpisodeSpec":
        """The rule of Meta-Dataset: 5 to ``max_way`` classes, unequal shots, at most ``query`` queries a class."""
        return cls(way=(5, max_way), shot=(1, 100), query=query, within_group=within_group, rule="meta-dataset")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EpisodeSpec":
        """A spec from what JSON or YAML hold: lists for pairs.

        Raises:
            EpisodeError: If there is no such field, or a value is out of range.
        """
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            known = ", ".join(cls.__dataclass_fields__)
            raise EpisodeError(
                f"an episode's spec has the fields {known}, got '{unknown[0]}'; spell it so or leave it out"
            )
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)

    def query_distribution(self) -> str:
        """How the classes share the queries, in the words of a record."""
        if self.dirichlet is not None:
            return f"dirichlet({self.dirichlet:g})"
        return "meta-dataset" if self.rule == "meta-dataset" else "balanced"

    def as_dict(self) -> dict[str, Any]:
        """Way, shot (or shots) and query, and the other fields that differ from their defaults.

        `from_dict` turns it back into an equal spec.
        """
        default = EpisodeSpec.__dataclass_fields__
        always = ("way", "query", "shot" if self.shots is None else "shots")
        return {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in asdict(self).items()
            if k in always or v != default[k].default
        }

    def short(self) -> str:
        """One short line: ``way=5 shot=1 query=15``."""
        return " ".join(f"{k}={v}" for k, v in self.as_dict().items())


def low(count: Count) -> int:
    """The least that a count can be."""
    return count if isinstance(count, int) else count[0]


def high(count: Count) -> int:
    """The most that a count can be."""
    return count if isinstance(count, int) else count[1]


def _count(name: str, value: Any, least: int) -> Count:
    """A whole number, or a pair of them in order, as Python's own."""
    pair = isinstance(value, tuple) and len(value) == 2
    try:
        low, high = (whole_number(name, n, least) for n in (value if pair else (value, value)))
    except FewShotError:
        low, high = 1, 0
    if low > high:
        raise EpisodeError(
            f"{name} must be a whole number of at least {least}, or a pair (low, high), got {plain(value)!r}"
        )
    return (low, high) if pair else low


def _shots(values: Any) -> tuple[int, ...]:
    if isinstance(values, (str, bytes)) or np.ndim(values) != 1:
        raise EpisodeError(f"shots must give one count a class, such as (1, 2, 5), got {values!r}")
    return tuple(whole_number("every count of shots", n, 0, error=EpisodeError) for n in values)
