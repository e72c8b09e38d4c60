"""Ratio of the target's density to the source's, by a classifier that tells the two apart.

Paper: Bickel, Brückner and Scheffer, "Discriminative Learning for Differing Training and Test Distributions", ICML 2007,
    eq. 2; as weights of a rule of choice, You, Wang, Long and Jordan, ICML 2019, section 4.2.
Code: github.com/thuml/Deep-Embedded-Validation fits a small network; here it is a logistic regression, which has one answer.
"""

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError
from fewshot.statistics.choosing.checks import finite


def density_ratio(
    source: Float[np.ndarray, "s dim"],
    target: Float[np.ndarray, "t dim"],
    rows: Float[np.ndarray, "n dim"],
    C: float = 1.0,
) -> Float[np.ndarray, " n"]:
    """``(s / t) · p(target | x) / p(source | x)`` of further rows; above 1 where the target is more likely than the source.

    Args:
        source: Rows of the source that the classifier learns from.
        target: Rows of the target.
        rows: Others, such as held-out rows of the source.
        C: Weight of the data against the classifier's penalty, on columns of standard deviation 1.

    Raises:
        StatisticsError: If columns differ, or a number is not finite.
    """
    from sklearn.linear_model import LogisticRegression

    named = {"rows of the source": source, "rows of the target": target, "rows to weigh": rows}
    source, target, rows = (finite(name, values, 2) for name, values in named.items())
    if not source.shape[1] == target.shape[1] == rows.shape[1]:
        raise StatisticsError(
            f"all rows must have the same columns, got {source.shape[1]}, {target.shape[1]} and {rows.shape[1]}"
        )
    both = np.concatenate([source, target])
    mean, spread = both.mean(0), both.std(0)
    scale = np.where(spread == 0, 1, spread)
    model = LogisticRegression(C=C, max_iter=2000).fit((both - mean) / scale, np.arange(len(both)) >= len(source))
    odds: np.ndarray = np.exp(model.decision_function((rows - mean) / scale))
    return odds * len(source) / len(target)
