"""Deep embedded validation: importance-weighted risk with a control variate that takes variance away.

Paper: You, Wang, Long and Jordan, "Towards Accurate Model Selection in Deep Unsupervised Domain Adaptation", ICML 2019,
    eqs. 8 to 11.
Code: github.com/thuml/Deep-Embedded-Validation. There covariance and variance are both of n - 1, as here; some ports
    mix them with those of n, or take the losses of all rows for each row. Where all weights are equal there is no
    variance to take away, and the plain risk is returned.
"""

import numpy as np
from jaxtyping import Float

from fewshot.statistics.choosing.checks import losses_and_weights


def deep_embedded_validation(losses: Float[np.ndarray, " rows"], weights: Float[np.ndarray, " rows"]) -> float:
    """``mean(w ℓ) + η (mean(w) - 1)`` with ``η = -Cov(w ℓ, w) / Var(w)``; lower is better.

    Ratios of densities have the expectation 1, so that what is added has the expectation 0 and is of use only where the
    mean of the weights is not forced to 1: weights that were divided by their mean give `weighted_risk` again.

    Args:
        losses: Of labelled source rows that were held out.
        weights: Ratios of densities of the same rows, in the model's features; as they are, not divided by their mean.

    Raises:
        StatisticsError: If lengths differ, a number is not finite, or a weight is below 0.
    """
    losses, weights = losses_and_weights(losses, weights)
    covariance = np.cov(weights * losses, weights)
    eta = -covariance[0, 1] / covariance[1, 1] if covariance[1, 1] > 0 else 0.0
    return float((weights * losses).mean() + eta * (weights.mean() - 1))
