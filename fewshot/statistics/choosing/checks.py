"""What the rules ask of their numbers."""

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError


def finite(what: str, values: np.ndarray, axes: int, least: int = 1) -> Float[np.ndarray, "..."]:
    """The values in float64, with so many axes and at least so many rows, all finite.

    Raises:
        StatisticsError: If they are not.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != axes or len(values) < least:
        raise StatisticsError(f"{what} must have {axes} axes and {least} rows or more, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise StatisticsError(f"{what} must be finite, got {values[~np.isfinite(values)][0]}")
    return values


def probabilities(values: np.ndarray) -> Float[np.ndarray, "rows n_way"]:
    """Rows of numbers of at least 0 that sum to 1.

    Raises:
        StatisticsError: If they are not: scores go through a softmax first.
    """
    p = finite("probabilities", values, 2)
    if p.min() < 0 or np.abs(p.sum(1) - 1).max() > 1e-5:
        raise StatisticsError(
            f"probabilities must be 0 or more and sum to 1 in each row, got {p.min():.3g} as the least and a sum of "
            f"{p.sum(1)[np.abs(p.sum(1) - 1).argmax()]:.3g}; send scores through a softmax"
        )
    return p


def losses_and_weights(
    losses: np.ndarray, weights: np.ndarray
) -> tuple[Float[np.ndarray, " rows"], Float[np.ndarray, " rows"]]:
    """One loss and one weight of at least 0 for each of two rows or more; some weight above 0.

    Raises:
        StatisticsError: If they are not.
    """
    losses, weights = finite("losses", losses, 1, 2), finite("weights", weights, 1, 2)
    if losses.shape != weights.shape:
        raise StatisticsError(f"losses and weights must be of the same rows, got {len(losses)} and {len(weights)}")
    if weights.min() < 0 or not weights.max() > 0:
        raise StatisticsError(
            f"weights must be 0 or more, and some above, got {weights.min():.3g} to {weights.max():.3g}"
        )
    return losses, weights


def entropies(p: Float[np.ndarray, "rows n_way"]) -> Float[np.ndarray, " rows"]:
    """``-Σ p log p`` of each row, in nats; ``0 log 0 = 0``."""
    found: np.ndarray = -(p * np.log(np.where(p > 0, p, 1))).sum(1)
    return found
