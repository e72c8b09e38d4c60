"""H-score: the share of the features' variance, whitened, that lies between the classes.

Papers: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019,
    definition 2; Ibrahim, Ponomareva and Mazumder, "Newer is not always better: Rethinking transferability metrics,
    their peculiarities, stability and performance", ECML 2022, eq. 5 (shrinkage; https://arxiv.org/abs/2110.06893).
"""

import numpy as np
from jaxtyping import Float, Integer
from sklearn.covariance import ledoit_wolf_shrinkage

from fewshot.statistics.transferability.rows import class_means, labelled_rows


def h_score(
    features: Float[np.ndarray, "rows dim"], labels: Integer[np.ndarray, " rows"], shrink: bool = True
) -> float:
    """``tr(cov(f)⁻¹ cov(E[f | y]))``; higher is better, between 0 and the number of classes minus 1.

    Args:
        features: Of labelled rows of the target.
        labels: Their classes.
        shrink: Shrink cov(f) towards a multiple of the identity, as Ledoit and Wolf do, and the score with it. Without
            it the score of few rows in many dimensions is as high as it can be, whatever the features are; directions
            without variance then count for nothing (pseudo-inverse).

    Raises:
        StatisticsError: If a number is not finite, or the labels are of fewer than two classes.
    """
    features, places = labelled_rows(features, labels)
    centred = features - features.mean(0)
    u, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    kept = lengths > lengths.max() * max(centred.shape) * np.finfo(np.float64).eps
    variance = lengths[kept] ** 2 / len(centred)  # in this basis cov(f) is diagonal, and so is what it is shrunk to
    between = (class_means(u[:, kept] * lengths[kept], places)[places] ** 2).mean(0)
    weight = float(ledoit_wolf_shrinkage(centred, assume_centered=True)) if shrink else 0.0
    shrunk = (1 - weight) * variance + weight * variance.sum() / centred.shape[1]
    return (1 - weight) * float((between / shrunk).sum())
