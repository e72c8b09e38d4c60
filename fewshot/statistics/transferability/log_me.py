"""LogME: the evidence of a Bayesian linear regression from features to labels, at its best prior and noise.

Paper: You, Liu, Wang and Long, "LogME: Practical Assessment of Pre-trained Models for Transfer Learning", ICML 2021,
    algorithm 1; the fixed point in the basis of singular vectors is that of You et al., "Ranking and Tuning Pre-trained
    Models", JMLR 2022, algorithm 3 (https://arxiv.org/abs/2102.11005, https://arxiv.org/abs/2110.10545).
"""

import numpy as np
from jaxtyping import Float, Integer

from fewshot.statistics.transferability.rows import labelled_rows

ROUNDS, CLOSE = 100, 1e-6
LEAST = 1e-12  # of a mean squared residual: a perfect fit has no best noise


def log_me(features: Float[np.ndarray, "rows dim"], labels: Integer[np.ndarray, " rows"]) -> float:
    """Log evidence a row in nats, mean over the classes one against the rest; higher is better.

    Args:
        features: Of labelled rows of the target, as they are: the model has no intercept.
        labels: Their classes.

    Raises:
        StatisticsError: If a number is not finite, or the labels are of fewer than two classes.
    """
    features, places = labelled_rows(features, labels)
    u, s, _ = np.linalg.svd(features, full_matrices=False)
    targets = np.eye(places.max() + 1)[places]
    return float(np.mean([_evidence(s**2, u.T @ y, float(y @ y), *features.shape) for y in targets.T]))


def _evidence(squared: np.ndarray, along: np.ndarray, total: float, rows: int, dim: int) -> float:
    """Log evidence a row at the fixed point of the prior's precision α and the noise's precision β."""
    alpha, beta = 1.0, 1.0
    for _ in range(ROUNDS):
        length, residual, gamma = _moments(squared, along, total, alpha, beta)
        newer = gamma / max(length, LEAST), (rows - gamma) / max(residual, LEAST * rows)
        settled = abs(newer[0] / newer[1] - alpha / beta) <= CLOSE * alpha / beta
        alpha, beta = newer
        if settled:
            break
    length, residual, _ = _moments(squared, along, total, alpha, beta)
    determinant = np.log(alpha + beta * squared).sum() + (dim - len(squared)) * np.log(alpha)
    whole = dim * np.log(alpha) + rows * np.log(beta / (2 * np.pi)) - beta * residual - alpha * length - determinant
    return float(whole / 2 / rows)


def _moments(
    squared: np.ndarray, along: np.ndarray, total: float, alpha: float, beta: float
) -> tuple[float, float, float]:
    """Squared length of the posterior mean, squared residual, and the number of well-determined parameters."""
    kept = beta * squared / (alpha + beta * squared)
    length = float((squared * (beta * along / (alpha + beta * squared)) ** 2).sum())
    residual = float(((1 - kept) ** 2 * along**2).sum()) + max(total - float(along @ along), 0.0)
    return length, residual, float(kept.sum())
