"""Comparing methods on the same episodes, difference by difference.

Two methods that answer identical episodes (classes, support and queries) share
the episodes' difficulty, which cancels in the differences; the interval of the
mean difference is therefore much narrower than two separate ones suggest.

A p-value speaks of new data, so it is given only where the episodes do: episodes
that share no image, or classes as the unit. Over re-used images it would go to 0
or 1 as episodes are added, whatever the methods are worth.

Papers: Holm, "A Simple Sequentially Rejective Multiple Test Procedure",
    Scandinavian Journal of Statistics 6, 1979; Lafargue et al., TMLR 2024
    (paired tests on episodes).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from fewshot.errors import StatisticsError
from fewshot.statistics.interval import CLOSED, NEW_CLASSES, OPEN, Estimand, Interval, check_values
from fewshot.statistics.mean_accuracy import t_interval
from fewshot.statistics.new_classes import class_interval, class_p

BLOCK = 1_000_000
"""Most coin counts of the sign-flip test held at one time."""


@dataclass(frozen=True)
class Comparison:
    """One method against the reference.

    Attributes:
        name: The method.
        difference: Interval of its mean accuracy minus the reference's; above 0
            it is better than the reference.
        p_value: Two-sided, for "no difference"; None where none is warranted.
        adjusted: The p-value after Holm's correction over all comparisons.
        test: The test, or why there is none.
    """

    name: str
    difference: Interval
    p_value: float | None
    adjusted: float | None
    test: str


def compare_all(
    reference: Float[np.ndarray, " episodes"],
    others: Mapping[str, Float[np.ndarray, " episodes"]],
    estimand: Estimand = CLOSED,
    *,
    classes: Integer[np.ndarray, "episodes n_way"] | None = None,
    rng: np.random.Generator | None = None,
    level: float = 0.95,
) -> list[Comparison]:
    """Compare every other method with a reference that was chosen before the numbers were seen.

    Picking the best method as the reference afterwards would need a correction
    over all pairs, not over these k - 1 comparisons.

    Args:
        reference: Accuracies of the reference, one an episode.
        others: Accuracies of each other method on the same episodes.
        estimand: What is claimed. ``CLOSED``: intervals, no p-value. ``OPEN``:
            the caller vouches that no two episodes share an image; sign-flip
            test. ``NEW_CLASSES``: class-level interval and test.
        classes: Class ids of each episode, for ``NEW_CLASSES``.
        rng: Source of the random flips, for ``OPEN``.
        level: Coverage of each interval, between 0 and 1, not corrected.

    Raises:
        StatisticsError: If arrays differ in length, or what the estimand needs is absent.
    """
    differences = {name: _difference(a, reference) for name, a in others.items()}
    tested = {name: _test(d, estimand, classes, rng, level) for name, d in differences.items()}
    found = [p for _, p, _ in tested.values() if p is not None]
    adjusted = iter(holm(np.array(found))) if found else iter(())
    return [
        Comparison(name, interval, p, None if p is None else float(next(adjusted)), test)
        for name, (interval, p, test) in tested.items()
    ]


def paired_difference(
    a: Float[np.ndarray, " episodes"],
    b: Float[np.ndarray, " episodes"],
    level: float = 0.95,
    estimand: Estimand = CLOSED,
) -> Interval:
    """Student's interval of mean(a - b) over identical episodes; above 0, a is better.

    Raises:
        StatisticsError: If the lengths differ, or there are fewer than two episodes.
    """
    return t_interval(_difference(a, b), level, estimand)


def sign_flip_p(differences: Float[np.ndarray, " episodes"], rng: np.random.Generator, flips: int = 10_000) -> float:
    """Two-sided randomisation p-value: how often random signs give a mean as far from 0.

    Under "no difference" each episode's difference is as likely to be -d as d.
    One is added to count and number, so the smallest value is 1 / (flips + 1).
    Many ties and few episodes do it no harm.

    Args:
        differences: One an episode.
        rng: Source of all randomness.
        flips: Number of random sign patterns.

    Raises:
        StatisticsError: With fewer than two differences, or no flips.
    """
    differences = check_values(differences)
    if flips < 1:
        raise StatisticsError(f"the sign-flip test needs at least one flip, got {flips}")
    # n differences of equal size sum to size * (2 heads - n): one binomial draw instead of n coins
    sizes, counts = np.unique(np.abs(differences).round(12), return_counts=True)
    observed = abs(differences.sum()) - 1e-9 * (counts @ sizes)  # a tie counts, rounding or not
    block = max(1, BLOCK // len(sizes))
    extreme = 0
    for start in range(0, flips, block):
        heads = rng.binomial(counts, 0.5, size=(min(block, flips - start), len(sizes)))
        extreme += int((np.abs((2 * heads - counts) @ sizes) >= observed).sum())
    return (1 + extreme) / (1 + flips)


def holm(p_values: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """Holm's adjusted p-values, in the order given: the i-th smallest times (m - i + 1), made monotone.

    Raises:
        StatisticsError: If a p-value lies outside 0..1.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    if not ((p_values >= 0) & (p_values <= 1)).all():
        raise StatisticsError(f"p-values lie in 0..1, got {p_values.tolist()}")
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def _difference(a: Float[np.ndarray, " episodes"], b: Float[np.ndarray, " episodes"]) -> Float[np.ndarray, " episodes"]:
    if len(a) != len(b):
        raise StatisticsError(f"paired accuracies come from the same episodes, got {len(a)} and {len(b)}")
    return np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)


def _test(
    differences: Float[np.ndarray, " episodes"],
    estimand: Estimand,
    classes: Integer[np.ndarray, "episodes n_way"] | None,
    rng: np.random.Generator | None,
    level: float,
) -> tuple[Interval, float | None, str]:
    if estimand == OPEN and rng is not None:
        return t_interval(differences, level, OPEN), sign_flip_p(differences, rng), "sign flip"
    if estimand == NEW_CLASSES and classes is not None:
        interval = class_interval(differences, classes, level)
        return interval, class_p(differences, classes), "class jackknife t"
    if estimand == CLOSED:
        return t_interval(differences, level), None, "none: the episodes may share images"
    raise StatisticsError(
        f"a comparison on {OPEN!r} needs rng, one on {NEW_CLASSES!r} needs classes, got estimand {estimand!r} without"
    )
