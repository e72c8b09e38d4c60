"""LEEP: how well a source classifier's own answers predict the labels of the target.

Paper: Nguyen, Hassner, Seeger and Archambeau, "LEEP: A New Measure to Evaluate Transferability of Learned
    Representations", ICML 2020, eq. 2 (https://arxiv.org/abs/2002.12462).
"""

import numpy as np
from jaxtyping import Float, Integer

from fewshot.statistics.choosing.checks import probabilities
from fewshot.statistics.transferability.rows import class_places


def leep(source: Float[np.ndarray, "rows source_way"], labels: Integer[np.ndarray, " rows"]) -> float:
    """Mean log-likelihood of the target's labels, in nats; higher is better, 0 is the most.

    The likelihood of a label is that of the classifier which answers a source class z by ``source``, and then a target
    class by its share among rows of z.

    Args:
        source: Probabilities of the source's classes for each row of the target.
        labels: Of the target.

    Raises:
        StatisticsError: If rows are not probabilities, or the labels are of fewer than two classes.
    """
    theta = probabilities(source)
    places = class_places(labels, len(theta))
    joint = np.zeros((places.max() + 1, theta.shape[1]))
    np.add.at(joint, places, theta)  # times rows, which cancels
    given = joint / np.where(joint.sum(0) > 0, joint.sum(0), 1)
    return float(np.log((given[places] * theta).sum(1)).mean())
