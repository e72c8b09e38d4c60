"""How well known queries are told from queries of other classes, by a number that says how known each is.

Papers: Hendrycks and Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution
    Examples in Neural Networks", ICLR 2017, section 2 (AUROC; the largest probability as the
    number); Liang, Li and Srikant, "Enhancing the Reliability of Out-of-distribution Image
    Detection in Neural Networks", ICLR 2018, section 4 (FPR at 95 % TPR); Liu et al.,
    "Few-Shot Open-Set Recognition using Meta-Learning", CVPR 2020 (a value an episode, averaged).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import OPEN, Interval, check_level


def auroc(known: Float[np.ndarray, " known"], other: Float[np.ndarray, " other"]) -> float:
    """Chance that a known query scores above one of another class, a tie counting half; higher is better, 0..1.

    It is the area under the ROC curve. 0.5 is chance.

    Args:
        known: How known each query of a class of the episode is; higher is more known.
        other: The same of the queries of other classes.

    Raises:
        StatisticsError: If there is no query of either kind, or a number is NaN.
    """
    known, other = _checked(known, other)
    ordered = np.sort(other)
    below_or_equal = np.searchsorted(ordered, known, "right") + np.searchsorted(ordered, known, "left")
    return float(below_or_equal.mean() / (2 * len(other)))


def fpr_at_tpr(known: Float[np.ndarray, " known"], other: Float[np.ndarray, " other"], tpr: float = 0.95) -> float:
    """Share of other queries that are taken for known once 95 % of the known ones are; lower is better, 0..1.

    A query is taken for known if its number reaches the threshold, and the threshold is
    the highest that lets at least the share ``tpr`` of the known ones pass.

    Args:
        known: As for `auroc`.
        other: As for `auroc`.
        tpr: Share of known queries that must pass, above 0 and at most 1.

    Raises:
        StatisticsError: As `auroc`, or if the share is out of range.
    """
    if not 0 < tpr <= 1:
        raise StatisticsError(f"the share of known queries that pass must be above 0 and at most 1, got {tpr}")
    known, other = _checked(known, other)
    passing = math.ceil(tpr * len(known) - 1e-9)  # 0.95 * n may lie above a whole number by rounding alone
    threshold = np.sort(known)[len(known) - passing]
    return float((other >= threshold).mean())


def resampled(
    figure: Callable[[Any, Any], float],
    known: Float[np.ndarray, " known"],
    other: Float[np.ndarray, " other"],
    *,
    level: float = 0.95,
    seed: int = 0,
    draws: int = 1000,
) -> Interval:
    """A figure of one fixed set of items, with a percentile interval for new items like these.

    Args:
        figure: `auroc` or `fpr_at_tpr`.
        known: As for `auroc`.
        other: As for `auroc`.
        level: Of the interval.
        seed: Of the draws: known and other items are each drawn anew with replacement.
        draws: Number of them.
    """
    rng = np.random.default_rng(seed)
    values = [figure(rng.choice(known, len(known)), rng.choice(other, len(other))) for _ in range(draws)]
    low, high = np.quantile(values, [(1 - check_level(level)) / 2, (1 + level) / 2])
    value = figure(known, other)
    return Interval(value, min(float(low), value), max(float(high), value), level, "bootstrap", OPEN, len(other))


def _checked(
    known: Float[np.ndarray, " known"], other: Float[np.ndarray, " other"]
) -> tuple[Float[np.ndarray, " known"], Float[np.ndarray, " other"]]:
    known, other = np.asarray(known, np.float64), np.asarray(other, np.float64)
    if known.ndim != 1 or other.ndim != 1 or not len(known) or not len(other):
        raise StatisticsError(
            f"known and other queries are needed, one number each, got shapes {known.shape} and {other.shape}"
        )
    if np.isnan(known).any() or np.isnan(other).any():
        raise StatisticsError("how known a query is must be a number, got NaN")
    return known, other
