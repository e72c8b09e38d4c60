"""Importance-weighted risk: the loss on source rows, weighted to be that of the target.

Paper: Sugiyama, Krauledat and Müller, "Covariate Shift Adaptation by Importance Weighted Cross Validation",
    JMLR 8 (2007), eq. 11.
"""

import numpy as np
from jaxtyping import Float

from fewshot.statistics.choosing.checks import losses_and_weights


def weighted_risk(losses: Float[np.ndarray, " rows"], weights: Float[np.ndarray, " rows"]) -> float:
    """Mean of weight times loss; lower is better.

    The weights are taken as they are: unbiased where they are ratios of the target's density to the source's. Divide
    them by their mean for ratios that are known up to a factor.

    Args:
        losses: Of labelled source rows that were held out.
        weights: Of the same rows; not found with their losses.

    Raises:
        StatisticsError: If lengths differ, a number is not finite, or a weight is below 0.
    """
    losses, weights = losses_and_weights(losses, weights)
    return float((weights * losses).mean())
