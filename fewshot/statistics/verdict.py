"""Does a re-run agree with a published number? An equivalence rule, not the absence of a significant difference.

*Reproduced*: the 90 % interval of the difference lies within ±δ, which is fixed beforehand. *Different*: the 95 % interval
excludes 0, and the first does not hold. Else *undecided*, and always where nothing is known of the spread between training runs.

Papers: Schuirmann, "A Comparison of the Two One-Sided Tests Procedure and the Power Approach", 1987 (equivalence by a 90 %
    interval); Banerjee, "Approximate Confidence Interval for Linear Functions of Means of k Populations When the Population
    Variances Are Not Equal", 1960 (each variance with the quantile of its own degrees of freedom: the level holds whatever
    the variances are).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import check_accuracies, student_quantile

REPRODUCED, DIFFERENT, UNDECIDED = "reproduced", "different", "undecided"


@dataclass(frozen=True)
class Published:
    """A published accuracy.

    Attributes:
        value: A fraction.
        episodes: Test episodes behind it.
        half_width: Of its printed 95 % interval over episodes, a fraction; None where there is none, or it cannot be one.
        digits: Decimals of the printed per cent.
        queries: Of a test episode, all classes together; None where nothing is known of them.
    """

    value: float
    episodes: int
    half_width: float | None = None
    digits: int = 1
    queries: int | None = None


@dataclass(frozen=True)
class SeedTerm:
    """How much training runs of one setting differ: variance of their accuracies, and its degrees of freedom."""

    variance: float
    freedom: int


LEAST_RUNS = 3
"""Training runs of one setting that say how much they differ."""
KNOWN = 10**9
"""Degrees of freedom of a variance that is known, not estimated."""
NO_TRAINING = SeedTerm(0.0, KNOWN)
"""The spread between runs of what is not trained."""


@dataclass(frozen=True)
class Verdict:
    """What comes of a comparison.

    Attributes:
        word: *reproduced*, *different* or *undecided*.
        difference: Ours minus published, a fraction; above 0 is better than published.
        inner: Ends of its 90 % interval.
        outer: Ends of its 95 % interval.
        seeds: Whether the spread between training runs is in them.
    """

    word: str
    difference: float
    inner: tuple[float, float]
    outer: tuple[float, float]
    seeds: bool


def plausible(published: Published, queries: int) -> bool:
    """Whether a printed half width can be that of a mean over episodes with so many queries each.

    With independent queries the variance of an episode's accuracy A is at least A (1 - A) / queries, whatever the episodes; a
    smaller interval is one over something else. Half a unit of the last printed digit is allowed for.
    """
    if published.half_width is None:
        return True
    a = published.value
    least = 1.96 * np.sqrt(a * (1 - a) / (queries * published.episodes))
    return bool(published.half_width + 0.5 * 10.0 ** (-published.digits - 2) >= least)


def judge(
    runs: Sequence[Float[np.ndarray, " episodes"]],
    published: Published,
    delta: float,
    pooled: SeedTerm | None = None,
    same_items: bool = False,
) -> Verdict:
    """Compare training runs with a published number.

    The variance of the difference has three parts: of our mean over episodes; of the paper's, from its interval, or with our spread of
    episodes where it prints none, with the rounding of its digits; and of training, s² (1 + 1 / R) for R runs against one. The square of
    the half width is the sum of these, each times the square of Student's quantile at its own degrees of freedom.

    Args:
        runs: Accuracies of every training run on the same test episodes.
        published: The number.
        delta: Largest difference that counts as agreement, a fraction, fixed beforehand.
        pooled: Spread between training runs, pooled over settings of this network and data; that of these runs when left out, if
            they are three or more.
        same_items: The paper used exactly the same queries and examples, so that rounding and training alone
            can make a difference.

    Raises:
        StatisticsError: If runs have unequal numbers of episodes, or δ is not above 0.
    """
    if not delta > 0 or len({len(run) for run in runs}) != 1:
        raise StatisticsError(
            f"runs must have one number of episodes and delta be above 0, got {[len(run) for run in runs]} and {delta}"
        )
    each = np.stack([check_accuracies(run) for run in runs])
    episodes, count = each.shape[1], len(runs)
    spread = float(each.mean(0).var(ddof=1))
    parts = [(spread / episodes, episodes - 1), (_of_paper(each, published), published.episodes - 1)]
    if same_items:
        parts = [(_rounding(published), KNOWN)]
    own = SeedTerm(float(each.mean(1).var(ddof=1)), count - 1) if count >= LEAST_RUNS else None
    seeds = own if pooled is None else pooled
    if seeds is not None:
        parts.append((seeds.variance * (1 + 1 / count), seeds.freedom))
    return _decided(float(each.mean()) - published.value, parts, delta, seeds is not None)


def _of_paper(each: np.ndarray, published: Published) -> float:
    """Variance of the published mean; of an episode at least that of independent queries, should ours have had more of them."""
    if published.half_width is not None:
        return (published.half_width / 1.96) ** 2 + _rounding(published)
    a = published.value
    least = 0.0 if published.queries is None else a * (1 - a) / published.queries
    return max(float(each.var(axis=1, ddof=1).mean()), least) / published.episodes + _rounding(published)


def _rounding(published: Published) -> float:
    """Variance of a uniform error of half a unit of the last digit."""
    return (0.5 * 10.0 ** (-published.digits - 2)) ** 2 / 3


def _decided(difference: float, parts: list[tuple[float, int]], delta: float, seeds: bool) -> Verdict:
    inner, outer = (sum(v * student_quantile(level, n) ** 2 for v, n in parts) ** 0.5 for level in (0.90, 0.95))
    agrees, differs = abs(difference) + inner < delta, abs(difference) > outer
    word = REPRODUCED if agrees else DIFFERENT if differs else UNDECIDED
    ends = [(float(difference - half), float(difference + half)) for half in (inner, outer)]
    return Verdict(word if seeds else UNDECIDED, difference, ends[0], ends[1], seeds)
