"""Maximum mean discrepancy: the squared distance of two domains' means in the space of a Gaussian kernel.

Paper: Gretton, Borgwardt, Rasch, Schölkopf and Smola, "A Kernel Two-Sample Test", JMLR 13 (2012), eq. 3.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError
from fewshot.statistics.gap.rows import two_domains
from fewshot.statistics.interval import DOMAIN_ROWS, Interval, check_level


@dataclass(frozen=True)
class Discrepancy:
    """A measured discrepancy.

    Attributes:
        interval: Of MMD², for new rows of both domains, by the bootstrap over rows. Near 0 it is not to be relied on,
            for the bootstrap fails where the domains are equal: there the p-value speaks.
        p: Of the permutation test that the domains are equal; exact for rows that are drawn independently.
        width: σ of the kernel.
        rows: Of each domain that were looked at.
    """

    interval: Interval
    p: float
    width: float
    rows: tuple[int, int]


def discrepancy(
    source: Float[np.ndarray, "s dim"],
    target: Float[np.ndarray, "t dim"],
    rng: np.random.Generator,
    width: float | None = None,
    level: float = 0.95,
    draws: int = 500,
    most: int = 1000,
) -> Discrepancy:
    """Unbiased MMD², which may be below 0, with kernel ``exp(-‖a - b‖² / (2 width²))``.

    Args:
        source: Rows of one domain.
        target: Rows of the other.
        rng: Source of all randomness.
        width: σ; the median distance of two rows of both domains together where None.
        level: Of the interval.
        draws: Bootstrap replicates, and permutations.
        most: Rows of a domain; more are sampled.

    Raises:
        StatisticsError: If columns differ, a domain has fewer than ten rows, a number is not finite, or the width is not
            above 0.
    """
    tail = (1 - check_level(level)) / 2
    x, t = two_domains(source, target, 10, most, rng)
    squared = _squared_distances(np.concatenate([x, t]))
    width = _median(squared) if width is None else width
    if not width > 0:
        raise StatisticsError(f"the width of the kernel must be above 0, got {width}; give one")
    kernel, side = np.exp(-squared / (2 * width**2)), np.repeat([1.0, 0.0], [len(x), len(t)])
    value = float(_mmd(kernel, side[None], 1 - side[None])[0])
    low, high = np.quantile(_mmd(kernel, *_drawn(len(x), len(t), draws, rng)), [tail, 1 - tail])
    mixed = rng.permuted(np.tile(side, (draws, 1)), axis=1)
    p = (1 + (_mmd(kernel, mixed, 1 - mixed) >= value).sum()) / (1 + draws)
    interval = Interval(value, float(low), float(high), level, "bootstrap", DOMAIN_ROWS, len(x) + len(t))
    return Discrepancy(interval, float(p), float(width), (len(x), len(t)))


def _mmd(kernel: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """For each row of counts ``(draws, rows)``: how often a row is in one domain and in the other.

    A row is no pair with itself, nor with its copies.
    """
    across = (a @ kernel * b).sum(1) / (a.sum(1) * b.sum(1))
    found: np.ndarray = _within(kernel, a) + _within(kernel, b) - 2 * across
    return found


def _within(kernel: np.ndarray, counts: np.ndarray) -> np.ndarray:
    squares = counts**2
    pairs = (counts @ kernel * counts).sum(1) - squares @ kernel.diagonal()
    found: np.ndarray = pairs / (counts.sum(1) ** 2 - squares.sum(1))
    return found


def _drawn(s: int, t: int, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Counts of rows that are drawn with replacement, within each domain."""
    of_x, of_t = (rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64) for n in (s, t))
    return np.pad(of_x, ((0, 0), (0, t))), np.pad(of_t, ((0, 0), (s, 0)))


def _squared_distances(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(0)
    length = (rows**2).sum(1)
    found: np.ndarray = np.maximum(length[:, None] + length - 2 * rows @ rows.T, 0)
    np.fill_diagonal(found, 0)
    return found


def _median(squared: np.ndarray) -> float:
    return float(np.sqrt(np.median(squared[np.triu_indices(len(squared), 1)])))
