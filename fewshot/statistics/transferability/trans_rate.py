"""TransRate: the coding rate of all features minus that of the features within their classes.

Paper: Huang, Huang, Rong, Yang and Wei, "Frustratingly Easy Transferability Estimation", ICML 2022, eqs. 4 to 6
    (https://arxiv.org/abs/2106.09362).

The authors' code weighs the classes equally; the definition weighs them by their rows, which is the default here.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Integer

from fewshot.errors import StatisticsError
from fewshot.statistics.transferability.rows import labelled_rows


def trans_rate(
    features: Float[np.ndarray, "rows dim"],
    labels: Integer[np.ndarray, " rows"],
    epsilon: float = 1e-4,
    weigh: Literal["rows", "classes"] = "rows",
) -> float:
    """An estimate of the mutual information of features and labels, in nats; higher is better.

    Args:
        features: Of labelled rows of the target; centred by their common mean here.
        labels: Their classes.
        epsilon: Squared distortion of the code, in squared units of the features.
        weigh: ``"rows"``: a class counts by its rows, as in the definition; ``"classes"``: equally, as in the code.

    Raises:
        StatisticsError: If a number is not finite, epsilon is not above 0, or the labels are of fewer than two classes.
    """
    if not epsilon > 0:
        raise StatisticsError(f"epsilon must be above 0, got {epsilon}")
    features, places = labelled_rows(features, labels)
    centred = features - features.mean(0)
    rates = [_rate(centred[places == k], epsilon) for k in range(places.max() + 1)]
    within = np.average(rates, weights=np.bincount(places) if weigh == "rows" else None)
    return float(_rate(centred, epsilon) - within)


def _rate(rows: np.ndarray, epsilon: float) -> float:
    """Half of ``log det(I + Z'Z / (n ε))``, by the smaller of the two Gram matrices."""
    gram = rows @ rows.T if len(rows) < rows.shape[1] else rows.T @ rows
    return float(np.linalg.slogdet(np.eye(len(gram)) + gram / (len(rows) * epsilon))[1] / 2)
