"""How many episodes a half width needs, and how narrow one over episodes can be.

Looking at an interval after every few episodes and stopping once it says what
one hoped for is wrong: with a hundred looks a true null is rejected in two of
five cases. ``two_stage_count`` looks once.

Paper: Stein, "A Two-Sample Test for a Linear Hypothesis Whose Power is
    Independent of the Variance", Annals of Mathematical Statistics 16, 1945.
"""

import math

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import check_values, student_quantile

PILOT_EPISODES = 200
"""Recommended size of the pilot: large enough for its spread to be trusted."""


def two_stage_count(pilot: Float[np.ndarray, " pilot"], half_width: float, level: float = 0.95) -> int:
    """Episodes in all, pilot included, for a wanted half width: max(n0, ceil((t s / h)^2)).

    Run the pilot, call this once, run the missing episodes, report the mean of
    all of them; no further looks. The spread s (``ddof=1``) and the quantile
    t(n0 - 1) are the pilot's.

    Args:
        pilot: Accuracies of the first episodes (``PILOT_EPISODES`` of them), or
            the differences of two methods on them.
        half_width: Wanted half width, in the unit of the pilot's values.
        level: Coverage, between 0 and 1.

    Raises:
        StatisticsError: If the pilot has fewer than two values, if they are all
            equal (the spread is then unknown, not zero), or if the half width
            is not positive.
    """
    pilot = check_values(pilot)
    if not half_width > 0:
        raise StatisticsError(f"the wanted half width must be positive, got {half_width}")
    spread = float(pilot.std(ddof=1))
    if np.ptp(pilot) == 0:
        raise StatisticsError(f"a pilot must show some spread, got {len(pilot)} episodes at {pilot[0]}; enlarge it")
    wanted = (student_quantile(level, len(pilot) - 1) * spread / half_width) ** 2
    return max(len(pilot), math.ceil(wanted))


def plausible_half_width(
    accuracy: float, half_width: float, episodes: int, queries: int, rounding: float = 0.0
) -> bool:
    """Whether a printed 95 % half width can be one over episodes.

    Single answers alone give an episode a variance of A (1 - A) / queries, so a
    half width over episodes is at least 1.96 sqrt(A (1 - A) / (queries * T)).
    A tenth is allowed for queries of unequal difficulty. A figure below that is
    a spread over something else, mostly training runs.

    Args:
        accuracy: Printed accuracy, a fraction.
        half_width: Printed half width, a fraction.
        episodes: Number of test episodes T.
        queries: Queries of one episode, all classes together.
        rounding: Half of the last printed digit, as a fraction.

    Raises:
        StatisticsError: If a number is out of its range.
    """
    if not 0 <= accuracy <= 1 or half_width < 0 or rounding < 0 or episodes < 1 or queries < 1:
        raise StatisticsError(
            "accuracy is in 0..1, half_width and rounding not negative, episodes and queries positive, "
            f"got {accuracy}, {half_width}, {rounding}, {episodes} and {queries}"
        )
    floor = 1.96 * math.sqrt(accuracy * (1 - accuracy) / (queries * episodes))
    return half_width + rounding >= 0.9 * floor
