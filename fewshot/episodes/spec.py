"""What an episode looks like: how many classes, how many examples, which queries."""

from dataclasses import asdict, dataclass
from typing import Any

from fewshot.errors import EpisodeError

Count = int | tuple[int, int]


@dataclass(frozen=True)
class EpisodeSpec:
    """The shape of an episode. A pair ``(low, high)`` is drawn anew, uniformly, in every episode.

    Attributes:
        way: Number of classes.
        shot: Support items of each class; 0 is zero-shot. A pair is drawn per episode.
        query: Query items of each class.
        shots: Unequal shots, one count a class (its order is shuffled); replaces ``shot``.
        dirichlet: Concentration of the query's class shares; ``way * query`` queries are
            then shared out by Dirichlet(dirichlet), never clipped: a share that a class
            cannot fill rejects the draw.
        within_group: All classes of an episode come from one group (an alphabet).
        open_way: Further classes that are only asked, labelled ``way``.
        open_query: Queries of each open class; ``query`` when left out.
        unlabelled: Items of each class in a pool without labels.
        distractors: Further classes in that pool that no query asks for.
        disjoint: No item is used twice in the whole list of episodes, which then ends.
        rule: ``"fixed"``, or ``"meta-dataset"`` for the sampling rule of
            Triantafillou et al. (2020), section 3.2; see `EpisodeSpec.meta_dataset`.

    Raises:
        EpisodeError: If a count is out of range or two settings exclude each other.
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
            _check_count(name, getattr(self, name), least)
        for name in ("open_way", "unlabelled", "distractors"):
            _check_count(name, getattr(self, name), 0)
        if self.shots is not None:
            self._check_shots(self.shots)
        if self.dirichlet is not None and not self.dirichlet > 0:
            raise EpisodeError(f"dirichlet must be above 0, got {self.dirichlet}")
        if self.rule not in ("fixed", "meta-dataset"):
            raise EpisodeError(f"rule must be 'fixed' or 'meta-dataset', got '{self.rule}'")
        if self.disjoint and not self.is_plain(except_disjoint=True):
            raise EpisodeError("disjoint episodes need fixed way, shot and query and no other option, got " + self.short())

    def _check_shots(self, shots: tuple[int, ...]) -> None:
        if len(shots) != self.way:
            raise EpisodeError(f"shots must give one count a class, got {len(shots)} counts for way {self.way}")
        for shot in shots:
            _check_count("shots", shot, 0)

    def is_plain(self, except_disjoint: bool = False) -> bool:
        """Whether all episodes have one shape with equal counts, so that blocks of them are drawn at once."""
        fixed = all(isinstance(n, int) for n in (self.way, self.shot, self.query))
        options = (self.shots, self.dirichlet, self.within_group, self.open_way, self.unlabelled, self.distractors)
        return fixed and not any(options) and self.rule == "fixed" and (except_disjoint or not self.disjoint)

    @classmethod
    def meta_dataset(cls, max_way: int = 50, query: int = 10, within_group: bool = False) -> "EpisodeSpec":
        """The rule of Meta-Dataset: 5 to ``max_way`` classes, unequal shots, at most ``query`` queries a class."""
        return cls(way=(5, max_way), shot=(1, 100), query=query, within_group=within_group, rule="meta-dataset")

    def query_distribution(self) -> str:
        """How the classes share the queries, in the words of a record."""
        if self.dirichlet is not None:
            return f"dirichlet({self.dirichlet:g})"
        return "meta-dataset" if self.rule == "meta-dataset" else "balanced"

    def as_dict(self) -> dict[str, Any]:
        """The fields that differ from their defaults, and always way, shot and query."""
        default = EpisodeSpec()
        return {
            k: list(v) if isinstance(v, tuple) else v
            for k, v in asdict(self).items()
            if k in ("way", "shot", "query") or v != getattr(default, k)
        }

    def short(self) -> str:
        """One short line: ``way=5 shot=1 query=15``."""
        return " ".join(f"{k}={v}" for k, v in self.as_dict().items())


def _check_count(name: str, value: Any, least: int) -> None:
    low, high = value if isinstance(value, tuple) and len(value) == 2 else (value, value)
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (low, high))
    if not (whole and least <= low <= high):
        raise EpisodeError(f"{name} must be a whole number of at least {least}, or a pair (low, high), got {value}")
