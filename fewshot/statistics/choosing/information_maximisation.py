"""Information maximisation: sure of each row, and all classes in use.

Paper: Bridle, Heading and MacKay, "Unsupervised Classifiers, Mutual Information and 'Phantom Targets'", NIPS 1991;
    as a rule for choosing, Musgrave, Belongie and Lim, "Three New Validators and a Large-Scale Benchmark Ranking for
    Unsupervised Domain Adaptation", 2022.
"""

import numpy as np
from jaxtyping import Float

from fewshot.statistics.choosing.checks import entropies, probabilities


def information_maximisation(target: Float[np.ndarray, "rows n_way"]) -> float:
    """Mutual information of row and class, ``H(mean p) - mean H(p)`` in nats; higher is better, at most ``ln n_way``.

    It takes classes to be of like size in the target.

    Args:
        target: Class probabilities of target rows.

    Raises:
        StatisticsError: If rows are not probabilities.
    """
    p = probabilities(target)
    return float(entropies(p.mean(0, keepdims=True))[0] - entropies(p).mean())
