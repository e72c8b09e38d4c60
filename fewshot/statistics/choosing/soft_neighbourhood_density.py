"""Soft neighbourhood density: rows of the target whose answers are alike should be many and evenly so.

Paper: Saito, Kim, Teterwak, Sclaroff, Darrell and Saenko, "Tune it the Right Way: Unsupervised Validation of Domain
    Adaptation via Soft Neighborhood Density", ICCV 2021, eqs. 2 to 4.
Code: github.com/VisionLearningGroup/SND. Intended differences: a row is left out of its own neighbours, as in the paper,
    where that code gives it the similarity -1; nothing is added inside the logarithm.
"""

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError
from fewshot.statistics.choosing.checks import finite

ROWS = 1024
"""Whose similarities are held at one time."""


def soft_neighbourhood_density(target: Float[np.ndarray, "rows dim"], temperature: float = 0.05) -> float:
    """Mean entropy of ``softmax_j(cos(f_i, f_j) / temperature)`` over the other rows j; higher is better.

    Args:
        target: Class probabilities of target rows, as in the paper, or other features of them.
        temperature: τ of the paper.

    Raises:
        StatisticsError: If there are fewer than three rows, a number is not finite, a row is 0, or the temperature is not
            above 0.
    """
    f = finite("rows of the target", target, 2, 3)
    length = np.linalg.norm(f, axis=1, keepdims=True)
    if not length.min() > 0:
        raise StatisticsError("rows of the target must not be 0, which is like no other; give probabilities")
    if not temperature > 0:
        raise StatisticsError(f"temperature must be above 0, got {temperature}")
    f = f / length
    blocks = [_entropies(f, start, temperature) for start in range(0, len(f), ROWS)]
    return float(np.concatenate(blocks).mean())


def _entropies(f: np.ndarray, start: int, temperature: float) -> np.ndarray:
    logits = f[start : start + ROWS] @ f.T / temperature
    own = np.arange(len(logits))
    logits[own, start + own] = -np.inf
    logits -= logits.max(1, keepdims=True)
    weight = np.exp(logits)
    logits[own, start + own] = 0  # times a weight of 0
    total = weight.sum(1)
    found: np.ndarray = np.log(total) - (weight * logits).sum(1) / total
    return found
