"""The interval itself: ends, level, and the population that the level holds for."""

from dataclasses import dataclass
from numbers import Real
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from fewshot.errors import StatisticsError

Estimand = Literal[
    "these episodes' images",
    "new draws of the examples, these test items",
    "new images of these classes",
    "new classes",
    "new training runs",
    "new rows of both domains",
    "other splits of these rows",
]
CLOSED: Estimand = "these episodes' images"
DRAWS: Estimand = "new draws of the examples, these test items"
OPEN: Estimand = "new images of these classes"
NEW_CLASSES: Estimand = "new classes"
TRAINING_RUNS: Estimand = "new training runs"
DOMAIN_ROWS: Estimand = "new rows of both domains"
SPLITS: Estimand = "other splits of these rows"


@dataclass(frozen=True)
class Interval:
    """An interval for a mean, in the unit of the values (accuracies: fractions).

    Attributes:
        estimate: The mean itself; higher is better for accuracies.
        low: Lower end.
        high: Upper end.
        level: Share of repetitions that should hold the truth, such as 0.95.
        method: How it was computed, such as ``"t"``.
        estimand: What a repetition would redraw; one of ``Estimand``.
        count: Number of independent units: episodes, classes or training runs
            (for ``"exact bound"``: distinct query images).
    """

    estimate: float
    low: float
    high: float
    level: float
    method: str
    estimand: Estimand
    count: int

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.estimand not in get_args(Estimand):
            raise StatisticsError(f"an estimand is one of {get_args(Estimand)}, got {self.estimand!r}")
        if not self.low <= self.high:
            raise StatisticsError(f"an interval needs low <= high, got {self.low} and {self.high}")

    @property
    def half_width(self) -> float:
        """Half the distance between the ends, the figure after the plus-minus sign."""
        return (self.high - self.low) / 2


def student_quantile(level: float, freedom: int | float) -> float:
    """Factor of a two-sided interval: the (1 + level) / 2 quantile of Student's t.

    Raises:
        StatisticsError: If the level is not between 0 and 1.
    """
    return float(stdtrit(freedom, (1 + check_level(level)) / 2))


def standard_error(values: Float[np.ndarray, " count"]) -> float:
    """Standard error of the mean, s / sqrt(T) with ``ddof=1``."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def check_level(level: float) -> float:
    """The level itself, if it lies between 0 and 1.

    Raises:
        StatisticsError: If it does not.
    """
    if not isinstance(level, Real) or not 0 < level < 1:
        raise StatisticsError(f"a level lies between 0 and 1, got {level}; 95 % is 0.95")
    return level


def check_values(values: Float[np.ndarray, " count"]) -> Float[np.ndarray, " count"]:
    """The values in float64, if there are two or more and all are finite.

    Raises:
        StatisticsError: If there are not.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise StatisticsError(f"an interval needs two or more values in one dimension, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise StatisticsError(f"values must be finite, got {values[~np.isfinite(values)][0]}")
    return values


def check_accuracies(accuracies: Float[np.ndarray, " episodes"]) -> Float[np.ndarray, " episodes"]:
    """As ``check_values``, for fractions.

    Raises:
        StatisticsError: If a value lies outside 0..1.
    """
    accuracies = check_values(accuracies)
    if accuracies.min() < 0 or accuracies.max() > 1:
        worst = accuracies.max() if accuracies.max() > 1 else accuracies.min()
        raise StatisticsError(f"accuracies are fractions in 0..1, got {worst}; divide percentages by 100")
    return accuracies
