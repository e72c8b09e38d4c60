"""Accuracy on one fixed test set whose classes weigh equally, and the harmonic mean of two: the figures of zero-shot learning.

There are no episodes here, so no interval over episodes: either the images are new and the classes stay, or the classes are
new, too. The second interval is several times as wide, and is the one that a claim about new classes needs.

Papers: Xian, Schiele and Akata, "Zero-Shot Learning - the Good, the Bad and the Ugly", CVPR 2017, section 4.2 (U, S and H);
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13 (percentile interval).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.special import ndtri

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import NEW_CLASSES, OPEN, Estimand, Interval, check_level, student_quantile

DRAWS = 2000


@dataclass(frozen=True, eq=False)
class ClassCounts:
    """Right answers and items of each class of a test set.

    Attributes:
        correct: Right answers.
        items: Items that were queried.
        answers: Whether each single answer was right, class after class; where it is known.

    Raises:
        StatisticsError: Unless 0 <= correct <= items, at least one item, in every class, and there is a class; or answers and
            counts disagree.
    """

    correct: Integer[np.ndarray, " classes"]
    items: Integer[np.ndarray, " classes"]
    answers: Bool[np.ndarray, " all_items"] | None = None

    def __post_init__(self) -> None:
        right, asked = np.asarray(self.correct), np.asarray(self.items)
        if right.shape != asked.shape or right.ndim != 1 or not len(right):
            raise StatisticsError(f"every class needs two counts, got shapes {right.shape} and {asked.shape}")
        if not ((right >= 0) & (right <= asked) & (asked >= 1)).all():
            raise StatisticsError(
                "every class needs 0 <= correct <= items and at least one item, got correct in "
                f"{right.min()}..{right.max()} and items in {asked.min()}..{asked.max()}"
            )
        if self.answers is not None and not np.array_equal(_sums(self.answers, asked), right):
            raise StatisticsError("answers must add up to the counts of each class, got others; count them anew")

    @classmethod
    def of(cls, right: Bool[np.ndarray, " n"], classes: Integer[np.ndarray, " n"]) -> "ClassCounts":
        """Counts of answers, in any order, to items of these classes; classes are taken in the order of their numbers."""
        items = np.unique(classes, return_counts=True)[1]
        answers = right[np.argsort(classes, kind="stable")]
        return cls(_sums(answers, items), items, answers)

    @property
    def accuracies(self) -> Float[np.ndarray, " classes"]:
        """Of each class, a fraction."""
        accuracies: np.ndarray = np.asarray(self.correct) / np.asarray(self.items)
        return accuracies

    @property
    def mean(self) -> float:
        """Mean over classes, each of the same weight; higher is better."""
        return float(self.accuracies.mean())

    def resampled(self, rng: np.random.Generator, draws: int, new_classes: bool) -> Float[np.ndarray, " draws"]:
        """Means of bootstrap replicates: images are drawn anew within their class, or classes first and then images."""
        chosen = np.broadcast_to(np.arange(len(self.items)), (draws, len(self.items)))
        if new_classes:
            chosen = rng.integers(len(self.items), size=(draws, len(self.items)))
        items = np.asarray(self.items)[chosen]
        means: np.ndarray = (rng.binomial(items, self.accuracies[chosen]) / items).mean(1)
        return means


def _sums(answers: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Right answers of each class, where answers stand class after class; none where their number is another."""
    if len(answers) != items.sum():
        return np.array([])
    return np.bincount(np.repeat(np.arange(len(items)), items)[answers], minlength=len(items))


def harmonic_mean(unseen: Any, seen: Any) -> Any:
    """H = 2 U S / (U + S), of numbers or arrays; 0 where both are 0, never above twice the smaller."""
    total = np.add(unseen, seen)
    return 2 * np.multiply(unseen, seen) / np.where(total > 0, total, 1)


def image_interval(counts: ClassCounts, level: float = 0.95) -> Interval:
    """For new images of these classes: Var(U) = Σ u_c (1 - u_c) / (n_c - 1) / C², normal quantile.

    Raises:
        StatisticsError: If a class has a single item, whose spread says nothing.
    """
    if counts.items.min() < 2:
        raise StatisticsError("an interval for new images needs two items of each class, got one; leave that class out")
    u, n = counts.accuracies, counts.items
    error = float(np.sqrt((u * (1 - u) / (n - 1)).sum()) / len(n))
    return _around(counts.mean, _normal_quantile(level) * error, level, "delta", OPEN, int(n.sum()))


def class_interval(counts: ClassCounts, level: float = 0.95) -> Interval:
    """For new classes: t(C - 1) times the spread of the classes' accuracies (ddof 1) over √C.

    Raises:
        StatisticsError: If there is a single class.
    """
    u = counts.accuracies
    if len(u) < 2:
        raise StatisticsError("an interval for new classes needs two classes or more, got one")
    error = float(u.std(ddof=1) / np.sqrt(len(u)))
    return _around(counts.mean, student_quantile(level, len(u) - 1) * error, level, "t", NEW_CLASSES, len(u))


def harmonic_interval(unseen: ClassCounts, seen: ClassCounts, level: float = 0.95) -> Interval:
    """For H with new images, by the delta method; seen and unseen images are different ones, so they do not covary.

    It fails where U or S is near 0; then quote `bootstrap`.

    Raises:
        StatisticsError: As `image_interval`.
    """
    quantile = _normal_quantile(level)
    u, s = unseen.mean, seen.mean
    errors = np.array([image_interval(c, level).half_width / quantile for c in (unseen, seen)])
    slopes = 2 * np.array([s**2, u**2]) / max(u + s, 1e-300) ** 2
    half = quantile * float(np.sqrt(((slopes * errors) ** 2).sum()))
    return _around(float(harmonic_mean(u, s)), half, level, "delta", OPEN, int(unseen.items.sum() + seen.items.sum()))


def bootstrap(
    unseen: ClassCounts,
    seen: ClassCounts | None = None,
    *,
    new_classes: bool = False,
    level: float = 0.95,
    seed: int = 0,
    draws: int = DRAWS,
) -> dict[str, Interval]:
    """Percentile intervals of ``"unseen"``, and with seen classes of ``"seen"`` and ``"harmonic"``, from the same replicates.

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
    means = {"unseen": unseen.resampled(rng, draws, new_classes)}
    estimates = {"unseen": unseen.mean}
    if seen is not None:
        means["seen"] = seen.resampled(rng, draws, new_classes)
        means["harmonic"] = harmonic_mean(means["unseen"], means["seen"])
        estimates |= {"seen": seen.mean, "harmonic": float(harmonic_mean(unseen.mean, seen.mean))}
    count = len(unseen.items) + (len(seen.items) if seen else 0)
    items = int(unseen.items.sum() + (seen.items.sum() if seen else 0))
    estimand, units = (NEW_CLASSES, count) if new_classes else (OPEN, items)
    ends = {name: np.quantile(m, [tail, 1 - tail]).tolist() for name, m in means.items()}
    return {
        name: Interval(estimates[name], low, high, level, "bootstrap", estimand, units)
        for name, (low, high) in ends.items()
    }


def _normal_quantile(level: float) -> float:
    return float(ndtri((1 + check_level(level)) / 2))


def _around(mean: float, half: float, level: float, method: str, estimand: Estimand, count: int) -> Interval:
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half), level, method, estimand, count)
