"""Intervals of a mean accuracy, each of which says what it is an interval for.

Every function takes plain arrays (one accuracy an episode, as a fraction) and
returns an ``Interval``; its ``estimand`` names the population that the level
holds for. Which interval is used when, and how often each holds in simulation,
is in ``docs/intervals.md``.

Papers: Lafargue et al., "Oops, I Sampled it Again: Reinterpreting Confidence
    Intervals in Few-Shot Learning", TMLR 2024, arXiv:2409.02850 (closed and
    open intervals).
Difference from most published code: the spread has ``ddof=1`` and the factor
    is Student's quantile, not 1.96; close to 0 and 1 the interval is built on
    the logit scale, where papers print a symmetric one.
"""

import numpy as np
from jaxtyping import Float, Integer
from scipy.special import expit, logit

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import (
    CLOSED,
    OPEN,
    TRAINING_RUNS,
    Estimand,
    Interval,
    check_accuracies,
    check_level,
    check_values,
    standard_error,
    student_quantile,
)

LOGIT_MARGIN = 0.1
"""Means nearer than this to 0 or 1 get a logit interval; from the simulation in docs/intervals.md."""

FEWEST_OPEN_EPISODES = 30
"""Below this many disjoint episodes no open interval is given."""


def t_interval(values: Float[np.ndarray, " count"], level: float = 0.95, estimand: Estimand = CLOSED) -> Interval:
    """Mean plus or minus t(T-1) s / sqrt(T), with s of ``ddof=1``.

    Args:
        values: One value an independent unit: accuracies of episodes, or their
            differences between two methods.
        level: Coverage, between 0 and 1.
        estimand: What the units were drawn from; nothing is checked here.

    Raises:
        StatisticsError: With fewer than two values, or any that is not finite.
    """
    values = check_values(values)
    half = student_quantile(level, len(values) - 1) * standard_error(values)
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half, level, "t", estimand, len(values))


def logit_interval(
    accuracies: Float[np.ndarray, " episodes"],
    level: float = 0.95,
    estimand: Estimand = CLOSED,
    distinct_queries: int | None = None,
) -> Interval:
    """Interval that stays inside 0..1, for means close to either end.

    Student's interval for logit(A) with the delta-method standard error
    se(A) / (A (1 - A)), mapped back. If every episode is at 1 (or at 0) there is
    no spread, and the result is the one-sided bound of ``exact_bound``.

    Args:
        accuracies: Fractions, one an episode.
        level: Coverage, between 0 and 1.
        estimand: What the episodes were drawn from.
        distinct_queries: Number of different query images in all episodes
            together; needed only if all answers are right or all are wrong.

    Raises:
        StatisticsError: As ``t_interval``, for values outside 0..1, and if
            ``distinct_queries`` is needed but absent.
    """
    accuracies = check_accuracies(accuracies)
    mean = float(accuracies.mean())
    if accuracies.min() == 1 or accuracies.max() == 0:
        return exact_bound(mean == 1, distinct_queries, level, estimand)
    half = student_quantile(level, len(accuracies) - 1) * standard_error(accuracies)
    half /= mean * (1 - mean)
    low, high = expit(logit(mean) - half), expit(logit(mean) + half)
    return Interval(mean, float(low), float(high), level, "logit t", estimand, len(accuracies))


def exact_bound(all_right: bool, distinct_queries: int | None, level: float, estimand: Estimand) -> Interval:
    """One-sided bound when all of n answers agree: error at most 1 - (1 - level)^(1/n).

    With n independent answers and a true accuracy p, all are right with
    probability p^n; the bound is the p for which that is ``1 - level`` (0.05).
    Images that other episodes query again are not new evidence, so n
    counts different images. It is exact if answers to different images are
    independent; a shared support set makes it somewhat too narrow.

    Raises:
        StatisticsError: If the number of distinct query images is not given or
            is not positive.
    """
    check_level(level)
    if distinct_queries is None or distinct_queries < 1:
        raise StatisticsError(
            f"all answers are {'right' if all_right else 'wrong'}, so the bound needs the number of "
            f"different query images, got {distinct_queries}; pass distinct_queries"
        )
    accuracy = (1 - level) ** (1 / distinct_queries)
    low, high = (accuracy, 1.0) if all_right else (0.0, 1 - accuracy)
    return Interval(float(all_right), low, high, level, "exact bound", estimand, distinct_queries)


def closed_interval(
    correct: Integer[np.ndarray, " episodes"],
    queries: int | Integer[np.ndarray, " episodes"],
    distinct_queries: int | None = None,
    level: float = 0.95,
) -> Interval:
    """Interval for the sampler's mean accuracy on exactly these images.

    Its width goes to 0 as episodes are added, however few images there are: it
    answers how well the score of this model on this test set is known, and says
    nothing about other images or classes. A mean in 0.1..0.9 gets
    ``t_interval``, any other ``logit_interval``.

    Args:
        correct: Right answers of each episode.
        queries: Queries of each episode, or one number for all.
        distinct_queries: Different query images in all episodes together;
            needed only if all answers are right or all are wrong.
        level: Coverage, between 0 and 1.

    Raises:
        StatisticsError: With fewer than two episodes, counts that cannot be, or
            ``distinct_queries`` absent when it is needed.
    """
    return fraction_interval(episode_accuracies(correct, queries), level, CLOSED, distinct_queries)


def open_interval(
    correct: Integer[np.ndarray, " episodes"],
    queries: int | Integer[np.ndarray, " episodes"],
    level: float = 0.95,
) -> Interval:
    """Interval for new images of the same classes, from episodes that share no image.

    The caller vouches for the disjoint episodes (``EpisodeSpec`` can ask for
    them); with re-used images the result would be a closed interval under a
    wrong name. The form is chosen as in ``closed_interval``.

    Raises:
        StatisticsError: With fewer than 30 episodes, or counts that cannot be.
    """
    accuracies = episode_accuracies(correct, queries)
    if len(accuracies) < FEWEST_OPEN_EPISODES:
        raise StatisticsError(
            f"an open interval needs at least {FEWEST_OPEN_EPISODES} disjoint episodes, got "
            f"{len(accuracies)}; use fewer shots or queries, so that the images fill more episodes"
        )
    asked = int(np.broadcast_to(queries, np.shape(correct)).sum())
    return fraction_interval(accuracies, level, OPEN, asked)


def seed_interval(values: Float[np.ndarray, " runs"], level: float = 0.95) -> Interval:
    """Student's interval over training runs, R - 1 degrees of freedom; three runs mean a factor of 4.30.

    Args:
        values: One figure a run (a mean accuracy, or a difference of two methods
            trained on the same seed), in any unit.
        level: Coverage, between 0 and 1.

    Raises:
        StatisticsError: With fewer than two runs, or values that are not finite.
    """
    return t_interval(values, level, TRAINING_RUNS)


def fifth_percentile(accuracies: Float[np.ndarray, " episodes"]) -> float:
    """Accuracy that 95 % of the episodes reach, by linear interpolation; higher is better.

    Raises:
        StatisticsError: With fewer than two episodes or values outside 0..1.
    """
    return float(np.quantile(check_accuracies(accuracies), 0.05))


def episode_accuracies(
    correct: Integer[np.ndarray, " episodes"], queries: int | Integer[np.ndarray, " episodes"]
) -> Float[np.ndarray, " episodes"]:
    """Right answers divided by queries, one fraction an episode, in float64.

    Raises:
        StatisticsError: Unless 0 <= correct <= queries and queries >= 1 in every episode.
    """
    right, asked = np.broadcast_arrays(correct, queries)
    if not ((right >= 0) & (right <= asked) & (asked >= 1)).all():
        raise StatisticsError(
            "every episode needs 0 <= correct <= queries and at least one query, got "
            f"correct in {right.min()}..{right.max()} and queries in {asked.min()}..{asked.max()}"
        )
    accuracies: Float[np.ndarray, " episodes"] = right / asked
    return accuracies


def fraction_interval(
    accuracies: Float[np.ndarray, " episodes"],
    level: float,
    estimand: Estimand,
    distinct_queries: int | None,
) -> Interval:
    """``t_interval`` for a mean in 0.1..0.9, else ``logit_interval``: for accuracies, or other fractions of episodes.

    Args:
        accuracies: Fractions, one an episode.
        level: Coverage, between 0 and 1.
        estimand: What the episodes were drawn from.
        distinct_queries: As for ``logit_interval``.

    Raises:
        StatisticsError: As ``logit_interval``.
    """
    mean = accuracies.mean() if len(accuracies) else 0.5
    if LOGIT_MARGIN <= mean <= 1 - LOGIT_MARGIN:
        return t_interval(accuracies, level, estimand)
    return logit_interval(accuracies, level, estimand, distinct_queries)
