"""The bootstrap over classes, for comparison with the jackknife of ``new_classes``.

A replicate draws the classes with replacement. An episode cannot hold a class
twice, so multiplicity becomes weight: an episode counts with the product of the
multiplicities of its classes. Such products vary so much that about T / 2^n_way
episodes are left to average over; with fewer than some hundreds of those the
interval is too wide, and from ten classes it is too narrow. The jackknife has
neither fault, so reports use that.

Paper: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13
    (percentile interval).
"""

import numpy as np
from jaxtyping import Float, Integer

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import NEW_CLASSES, Interval, check_level
from fewshot.statistics.new_classes import index_classes

BLOCK = 1_000_000
"""Most weights of the bootstrap held at one time."""


def class_bootstrap_interval(
    values: Float[np.ndarray, " episodes"],
    classes: Integer[np.ndarray, "episodes n_way"],
    rng: np.random.Generator,
    level: float = 0.95,
    draws: int = 2000,
) -> Interval:
    """Percentile interval of ``class_bootstrap``; wide unless episodes far outnumber 2^n_way.

    Raises:
        StatisticsError: As ``class_bootstrap``, or if the level is not in 0..1.
    """
    tail = (1 - check_level(level)) / 2
    low, high = np.quantile(class_bootstrap(values, classes, rng, draws), [tail, 1 - tail])
    mean, count = float(np.mean(values)), len(np.unique(classes))
    return Interval(mean, float(low), float(high), level, "class bootstrap", NEW_CLASSES, count)


def class_bootstrap_p(
    differences: Float[np.ndarray, " episodes"],
    classes: Integer[np.ndarray, "episodes n_way"],
    rng: np.random.Generator,
    draws: int = 2000,
) -> float:
    """Two-sided p-value: twice the smaller share of bootstrap means on one side of 0.

    One is added to count and number, so it is never 0.

    Raises:
        StatisticsError: As ``class_bootstrap``.
    """
    means = class_bootstrap(differences, classes, rng, draws)
    fewer = min((means <= 0).sum(), (means >= 0).sum())
    return float(min(1.0, 2 * (1 + fewer) / (1 + len(means))))


def class_bootstrap(
    values: Float[np.ndarray, " episodes"],
    classes: Integer[np.ndarray, "episodes n_way"],
    rng: np.random.Generator,
    draws: int = 2000,
) -> Float[np.ndarray, " replicates"]:
    """Mean of each bootstrap replicate in which the classes are drawn with replacement.

    A replicate in which no episode has all its classes is left out.

    Args:
        values: Accuracies, or their differences between two methods.
        classes: Class ids of each episode.
        rng: Source of all randomness.
        draws: Number of replicates B.

    Raises:
        StatisticsError: As ``index_classes``, and if half of the replicates are
            empty, as with many ways or barely more classes than ways.
    """
    values, index, count = index_classes(values, classes)
    block = max(1, BLOCK // len(values))
    sizes = [min(block, draws - start) for start in range(0, draws, block)]
    means = np.concatenate([_replicates(values, index, count, rng, size) for size in sizes])
    if len(means) < draws / 2:
        raise StatisticsError(
            f"{draws - len(means)} of {draws} bootstrap replicates hold no episode: {len(values)} "
            f"episodes of {classes.shape[1]} among {count} classes are too few; use class_interval"
        )
    return means


def _replicates(
    values: Float[np.ndarray, " episodes"],
    index: Integer[np.ndarray, "episodes n_way"],
    count: int,
    rng: np.random.Generator,
    size: int,
) -> Float[np.ndarray, " replicates"]:
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=size).astype(np.float64)  # (B, C)
    weights = np.ones((size, len(values)))
    for column in index.T:
        weights *= drawn[:, column]
    total = weights.sum(1)
    held = total > 0
    means: Float[np.ndarray, " replicates"] = (weights[held] @ values) / total[held]
    return means
