"""Probabilities that mean what they say: one temperature, fitted to answers about left-out examples.

Papers: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2
    (a softmax of scores over one temperature); Platt, "Probabilistic Outputs for Support Vector Machines",
    1999, section 2.2 (targets short of 1, so that a few right answers do not make the classifier certain).
"""

import numpy as np
from jaxtyping import Float, Integer
from scipy.special import softmax


def fit_temperature(scores: Float[np.ndarray, "m n_way"], labels: Integer[np.ndarray, " m"]) -> float:
    """The temperature t > 0 by which ``softmax(scores / t)`` gives smoothed labels the greatest likelihood.

    With m answers the true class has the target ``(m + 1) / (m + 2)`` and the others share the rest:
    without it, m right answers of m would make every probability 1. The negative log-likelihood is convex
    in 1 / t, and bisection brings its slope to 0. Scores that are no better than chance get a temperature
    that leaves next to nothing of them.

    Args:
        scores: Of left-out examples, higher is more likely.
        labels: Their classes.
    """
    target = smoothed(labels, scores.shape[1])
    spread = float((scores.max(1) - scores.min(1)).mean())
    if spread == 0:
        return 1.0
    low, high = np.log(1e-3 / spread), np.log(1e6 / spread)  # of 1 / t
    for _ in range(60):
        middle = (low + high) / 2
        slope = ((softmax(np.exp(middle) * scores, axis=1) - target) * scores).sum()
        low, high = (middle, high) if slope < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2))


def smoothed(labels: Integer[np.ndarray, " m"], n_way: int) -> Float[np.ndarray, "m {n_way}"]:
    """Targets: ``(m + 1) / (m + 2)`` for the true class, the rest in equal parts for the others."""
    m = len(labels)
    target = np.full((m, n_way), 1 / (m + 2) / max(1, n_way - 1))
    target[np.arange(m), labels] = (m + 1) / (m + 2)
    return target
