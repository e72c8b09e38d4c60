"""Differences of two zero-shot learners that answered the same items: what both get right or wrong cancels.

Paper: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13; images are drawn anew within their class, the same
    ones for both learners.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import NEW_CLASSES, OPEN, Interval, check_level
from fewshot.statistics.per_class import DRAWS, ClassCounts, harmonic_mean

Means = tuple[Float[np.ndarray, " draws"], Float[np.ndarray, " draws"]]


@dataclass(frozen=True, eq=False)
class PairCounts:
    """Items of each class that neither learner got right, only the second, only the first, both."""

    cells: Integer[np.ndarray, "classes 4"]

    @classmethod
    def of(cls, first: ClassCounts, second: ClassCounts) -> "PairCounts":
        """Counted from the single answers to the same items.

        Raises:
            StatisticsError: If single answers are not known, or the items are others.
        """
        if first.answers is None or second.answers is None:
            raise StatisticsError(
                "a paired difference needs every single answer, got counts alone; run it again with --again"
            )
        if not np.array_equal(first.items, second.items):
            raise StatisticsError(
                f"a paired difference needs the same items, got {first.items.sum()} and {second.items.sum()} in "
                f"{len(first.items)} and {len(second.items)} classes"
            )
        of = np.repeat(np.arange(len(first.items)), first.items)
        kind = 2 * first.answers + second.answers
        return cls(np.bincount(4 * of + kind, minlength=4 * len(first.items)).reshape(-1, 4))

    def means(self) -> tuple[float, float]:
        """Mean accuracies of both, each class of the same weight."""
        first, second = _accuracies(self.cells)
        return float(first), float(second)

    def resampled(self, rng: np.random.Generator, draws: int, new_classes: bool) -> Means:
        """Both means in bootstrap replicates: images drawn anew within their class, or classes first and then images."""
        count = len(self.cells)
        chosen = np.broadcast_to(np.arange(count), (draws, count))
        if new_classes:
            chosen = rng.integers(count, size=(draws, count))
        items = self.cells.sum(1)
        return _accuracies(rng.multinomial(items[chosen], (self.cells / items[:, None])[chosen]))


def _accuracies(cells: np.ndarray) -> tuple[Any, Any]:
    items = cells.sum(-1)
    return (cells[..., 2:].sum(-1) / items).mean(-1), (cells[..., 1::2].sum(-1) / items).mean(-1)


def paired_bootstrap(
    unseen: PairCounts,
    seen: PairCounts | None = None,
    *,
    new_classes: bool = False,
    level: float = 0.95,
    seed: int = 0,
    draws: int = DRAWS,
) -> Interval:
    """Percentile interval of a difference, first minus second: of the means, or with seen classes of the harmonic means.

    Args:
        unseen: Counts of the unseen classes.
        seen: Counts of the seen classes, a stratum of their own.
        new_classes: Draw classes with replacement, and then images; else images within each class only.
        level: Coverage, between 0 and 1.
        seed: Of the replicates.
        draws: Number of replicates.

    Raises:
        StatisticsError: If the level is not between 0 and 1.
    """
    rng, tail = np.random.default_rng(seed), (1 - check_level(level)) / 2
    estimates, means = unseen.means(), unseen.resampled(rng, draws, new_classes)
    kinds = [unseen] if seen is None else [unseen, seen]
    if seen is not None:
        both, other = seen.means(), seen.resampled(rng, draws, new_classes)
        estimates = harmonic_mean(estimates[0], both[0]), harmonic_mean(estimates[1], both[1])
        means = harmonic_mean(means[0], other[0]), harmonic_mean(means[1], other[1])
    low, high = np.quantile(means[0] - means[1], [tail, 1 - tail]).tolist()
    units = sum(len(one.cells) if new_classes else int(one.cells.sum()) for one in kinds)
    estimand = NEW_CLASSES if new_classes else OPEN
    return Interval(float(estimates[0] - estimates[1]), low, high, level, "paired bootstrap", estimand, units)
