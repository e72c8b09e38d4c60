"""Whether scores mean what they say: calibration error, log loss and Brier score.

All three read scores that are log-probabilities up to a constant per query; the
probabilities are their softmax. For scores that only rank they mean nothing.

Papers: Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities
    Using Bayesian Binning", AAAI 2015; Guo et al., "On Calibration of Modern
    Neural Networks", ICML 2017, eq. 5; Brier, "Verification of Forecasts
    Expressed in Terms of Probability", Monthly Weather Review 78, 1950.
"""

import numpy as np
from jaxtyping import Bool, Float, Integer
from scipy.special import log_softmax, softmax

from fewshot.errors import StatisticsError


def calibration_error(
    scores: Float[np.ndarray, "query n_way"], labels: Integer[np.ndarray, " query"], bins: int = 15
) -> float:
    """Expected calibration error: mean gap of confidence and accuracy; lower is better, 0..1.

    Queries are sorted by their largest probability into bins of equal width,
    each open on the left: (0, 1/bins], ..., (1 - 1/bins, 1]. The gaps between
    mean confidence and accuracy are averaged with the number of queries in each
    bin as weight. (Guo et al. 2017, eq. 5)

    Args:
        scores: Log-probabilities up to a constant per query.
        labels: True column of each query, in ``0..n_way-1``.
        bins: Number of bins.

    Raises:
        StatisticsError: If a label or the number of bins is out of range, or
            there is no query.
    """
    scores, labels = _checked(scores, labels)
    return expected_calibration_error(softmax(scores, axis=1).max(1), scores.argmax(1) == labels, bins)


def expected_calibration_error(
    confidence: Float[np.ndarray, " query"], right: Bool[np.ndarray, " query"], bins: int = 15
) -> float:
    """The same from the probability of each answer and whether it was right; lower is better, 0..1.

    Args:
        confidence: Probability of the answer that was given.
        right: Whether it was the true class.
        bins: Number of bins.

    Raises:
        StatisticsError: If the number of bins is below one.
    """
    if bins < 1:
        raise StatisticsError(f"calibration needs at least one bin, got {bins}")
    # rounding may lift a confidence to just above 1
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def negative_log_likelihood(scores: Float[np.ndarray, "query n_way"], labels: Integer[np.ndarray, " query"]) -> float:
    """Mean of -ln p(true class), in nats; lower is better, infinite if a true class was ruled out.

    Raises:
        StatisticsError: If a label is out of range or there is no query.
    """
    scores, labels = _checked(scores, labels)
    return float(-log_softmax(scores, axis=1)[np.arange(len(labels)), labels].mean())


def brier_score(scores: Float[np.ndarray, "query n_way"], labels: Integer[np.ndarray, " query"]) -> float:
    """Mean squared distance of the probabilities to the one-hot truth; lower is better, 0..2.

    It is Brier's own form, summed over classes; for two classes it is twice the
    one-column form of scikit-learn's ``brier_score_loss``.

    Raises:
        StatisticsError: If a label is out of range or there is no query.
    """
    scores, labels = _checked(scores, labels)
    truth = np.eye(scores.shape[1])[labels]
    return float(((softmax(scores, axis=1) - truth) ** 2).sum(1).mean())


def _checked(
    scores: Float[np.ndarray, "query n_way"], labels: Integer[np.ndarray, " query"]
) -> tuple[Float[np.ndarray, "query n_way"], Integer[np.ndarray, " query"]]:
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or len(scores) != len(labels) or len(labels) == 0:
        raise StatisticsError(
            f"expected scores (query, n_way) and labels (query,), got {scores.shape} and {np.shape(labels)}"
        )
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise StatisticsError(f"labels must lie in 0..{scores.shape[1] - 1}, got {labels.min()}..{labels.max()}")
    if np.isnan(scores).any() or (scores.max(1) == -np.inf).any():
        raise StatisticsError("every query needs a finite score and none that is NaN, got one without")
    return scores, labels
