"""An interval and a test for new classes, with classes as the unit.

Episodes share their classes, so episodes are not independent evidence about
classes; classes are. An episode that holds an easy class is easier for *all* its
queries, and a class that others are mistaken for costs *their* queries, so the
influence of a class is read off whole episodes and not off its own queries.

Papers: Efron and Stein, "The Jackknife Estimate of Variance", Annals of
    Statistics 9, 1981 (the jackknife of a symmetric statistic is on average not
    too small); Arvesen, "Jackknifing U-Statistics", Annals of Mathematical
    Statistics 40, 1969.
"""

import numpy as np
from jaxtyping import Float, Integer
from scipy.special import stdtr

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import (
    NEW_CLASSES,
    Interval,
    check_values,
    student_quantile,
)


def class_interval(
    values: Float[np.ndarray, " episodes"],
    classes: Integer[np.ndarray, "episodes n_way"],
    level: float = 0.95,
) -> Interval:
    """Interval for the mean over new classes: delete-a-class jackknife, t with C - 1.

    A_c is the mean of the episodes without class c; the standard error is
    sqrt((C - 1)/C sum_c (A_c - mean A_c)^2). It counts the noise of single
    episodes about n_way times, so it is wide with few episodes and becomes right
    with many.

    Args:
        values: Accuracies, or their differences between two methods.
        classes: Class ids of each episode; the C different ids are the units.
        level: Coverage, between 0 and 1.

    Raises:
        StatisticsError: If a class is in every episode, twice in one, or the
            lengths differ.
    """
    values, index, count = index_classes(values, classes)
    half = student_quantile(level, count - 1) * _jackknife_error(values, index, count)
    mean = float(values.mean())
    return Interval(mean, mean - half, mean + half, level, "class jackknife t", NEW_CLASSES, count)


def class_p(differences: Float[np.ndarray, " episodes"], classes: Integer[np.ndarray, "episodes n_way"]) -> float:
    """Two-sided p-value for "no mean difference on new classes", the twin of ``class_interval``.

    Raises:
        StatisticsError: As ``class_interval``.
    """
    values, index, count = index_classes(differences, classes)
    if not values.any():
        return 1.0
    error = _jackknife_error(values, index, count)
    # equal differences everywhere leave no spread between classes: t is infinite, p is 0
    t = abs(values.mean()) / error if error > 0 else np.inf
    return float(2 * stdtr(count - 1, -t))


def index_classes(
    values: Float[np.ndarray, " episodes"], classes: Integer[np.ndarray, "episodes n_way"]
) -> tuple[Float[np.ndarray, " episodes"], Integer[np.ndarray, "episodes n_way"], int]:
    """Values, classes renumbered as 0..C-1, and C.

    Raises:
        StatisticsError: If a class is in every episode, twice in one, or the
            lengths differ.
    """
    values, classes = check_values(values), np.asarray(classes)
    if classes.ndim != 2 or len(classes) != len(values):
        raise StatisticsError(f"classes must have a row for each of {len(values)} episodes, got shape {classes.shape}")
    rows = np.sort(classes, axis=1)
    if (rows[:, 1:] == rows[:, :-1]).any():
        raise StatisticsError("the classes of an episode must differ, got one that is twice in an episode")
    names, index = np.unique(classes, return_inverse=True)
    index = index.reshape(classes.shape)
    everywhere = names[np.bincount(index.ravel()) == len(values)]
    if len(everywhere):
        raise StatisticsError(
            "a statement about new classes needs episodes without each of the classes, got class "
            f"{everywhere[0]} in all {len(values)} episodes; use more classes than ways"
        )
    return values, index, len(names)


def _jackknife_error(
    values: Float[np.ndarray, " episodes"], index: Integer[np.ndarray, "episodes n_way"], count: int
) -> float:
    centred = values - values.mean()  # the same error, without cancellation
    held = np.bincount(index.ravel())
    with_class = np.bincount(index.ravel(), weights=np.repeat(centred, index.shape[1]))
    without = (centred.sum() - with_class) / (len(values) - held)  # (C,)
    return float(np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum()))
