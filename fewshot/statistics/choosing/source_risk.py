"""Source risk: how wrong a model is on rows of the source that it was not trained on."""

import numpy as np
from jaxtyping import Float

from fewshot.statistics.choosing.checks import finite


def source_risk(losses: Float[np.ndarray, " rows"]) -> float:
    """Mean loss; lower is better. It does not look at the target, so it prefers what fits the source.

    Args:
        losses: Of labelled source rows that were held out, such as 1 for a wrong answer and 0 for a right one.

    Raises:
        StatisticsError: If there are none, or one is not finite.
    """
    return float(finite("losses", losses, 1).mean())
