"""Entropy of the answers for the target: a model that is sure of each row is taken to be right.

Paper: Morerio, Cavazza and Murino, "Minimal-Entropy Correlation Alignment for Unsupervised Deep Domain Adaptation",
    ICLR 2018, section 4.
"""

import numpy as np
from jaxtyping import Float

from fewshot.statistics.choosing.checks import entropies, probabilities


def entropy(target: Float[np.ndarray, "rows n_way"]) -> float:
    """Mean entropy of a row in nats; lower is better. A model that says one class for all rows has the least.

    Args:
        target: Class probabilities of target rows.

    Raises:
        StatisticsError: If rows are not probabilities.
    """
    return float(entropies(probabilities(target)).mean())
