"""From how many examples on is one learner better than another that needs none: a point on the axis of shots, with its interval."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import check_level, check_values

DRAWS = 2000


@dataclass(frozen=True)
class Crossing:
    """Examples of each class, not a whole number: between two shots the difference is linear in the logarithm of the shots.

    Attributes:
        estimate: Where the mean difference reaches 0; 0 where it is above from the first shot on, infinite where it never is.
        low: Lower end of the interval.
        high: Upper end.
        level: Share of repetitions that should hold the truth.
        least: The fewest shots that were evaluated.
        most: The most.
    """

    estimate: float
    low: float
    high: float
    level: float
    least: int
    most: int

    def text(self) -> str:
        """Such as ``1.8 [1.7, 2.0]``, or what can be said where the curves do not meet."""
        return f"{self._said(self.estimate)} [{self._said(self.low)}, {self._said(self.high)}]"

    def _said(self, value: float) -> str:
        if value == 0:
            return f"below {self.least}"
        return f"above {self.most}" if np.isinf(value) else f"{value:.1f}"


def crossing(
    shots: Sequence[int],
    differences: Sequence[Float[np.ndarray, " episodes"]],
    *,
    paired: bool = False,
    level: float = 0.95,
    seed: int = 0,
) -> Crossing:
    """Where the mean of differences crosses 0 from below, with a percentile interval over episodes.

    Args:
        shots: Rising numbers of examples.
        differences: For each, accuracy of the learner with examples minus that of the other, one an episode.
        paired: Whether episode i of every number of shots belongs together; then they are drawn together.
        level: Of the interval.
        seed: Of the bootstrap.

    Raises:
        StatisticsError: If shots do not rise, lengths do not fit, or a difference is not finite.
    """
    if len(shots) < 2 or list(shots) != sorted(set(shots)) or len(shots) != len(differences):
        raise StatisticsError(f"a crossing needs rising shots with differences each, got {list(shots)}")
    values = [check_values(d) for d in differences]
    if paired and len({len(d) for d in values}) > 1:
        raise StatisticsError(f"paired differences need one length, got {[len(d) for d in values]}")
    rng = np.random.default_rng(seed)
    first = rng.integers(len(values[0]), size=(DRAWS, len(values[0])))
    drawn = [d[first if paired else rng.integers(len(d), size=(DRAWS, len(d)))].mean(1) for d in values]
    found = [_zero(np.asarray(shots), row) for row in np.stack(drawn, 1)]
    # of values that may be infinite, an order statistic and no mean of two
    low, high = np.quantile(found, [(1 - check_level(level)) / 2, (1 + level) / 2], method="inverted_cdf")
    estimate = _zero(np.asarray(shots), np.array([d.mean() for d in values]))
    return Crossing(estimate, float(low), float(high), level, shots[0], shots[-1])


def _zero(shots: np.ndarray, means: np.ndarray) -> float:
    """Where a polygon over log shots comes above 0 for good."""
    below = np.flatnonzero(means < 0)
    if not len(below):
        return 0.0
    k = int(below[-1])
    if k == len(means) - 1:
        return float("inf")
    share = -means[k] / (means[k + 1] - means[k])
    return float(np.exp((1 - share) * np.log(shots[k]) + share * np.log(shots[k + 1])))
