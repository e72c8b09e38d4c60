"""Proxy A-distance: how well a linear classifier tells two domains apart.

Paper: Ben-David, Blitzer, Crammer and Pereira, "Analysis of Representations for Domain Adaptation", NIPS 2006,
    section 4; Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016), eq. 3. For the interval:
    Nadeau and Bengio, "Inference for the Generalization Error", Machine Learning 52 (2003), section 4.
Code: github.com/GRAAL-Research/domain_adversarial_neural_network, ``compute_proxy_distance``, takes the best of several
    penalties on the rows that it is measured on; here the penalty is fixed.
"""

import numpy as np
from jaxtyping import Float

from fewshot.errors import StatisticsError
from fewshot.statistics.gap.rows import two_domains
from fewshot.statistics.interval import SPLITS, Interval, student_quantile


def proxy_distance(
    source: Float[np.ndarray, "s dim"],
    target: Float[np.ndarray, "t dim"],
    rng: np.random.Generator,
    level: float = 0.95,
    splits: int = 10,
    C: float = 1.0,
    most: int = 1000,
) -> Interval:
    """``2 (1 - 2 ε)``: 2 for domains apart, about 0 for equal ones; ε is the mean of both domains' error rates.

    Logistic regression on columns of mean 0 and deviation 1 learns from half of the rows of each domain and answers for
    the other half. The interval is for other splits of these rows, with the variance that Nadeau and Bengio correct for
    what the splits share; it does not tell what other rows would give.

    Args:
        source: Rows of one domain.
        target: Rows of the other.
        rng: Source of all randomness.
        level: Of the interval.
        splits: Into halves; two or more.
        C: Inverse penalty of the classifier.
        most: Rows of a domain; more are sampled.

    Raises:
        StatisticsError: If columns differ, a domain has fewer than ten rows, a number is not finite, or there are fewer
            than two splits.
    """
    if splits < 2:
        raise StatisticsError(f"an interval needs two splits or more, got {splits}")
    pair = two_domains(source, target, 10, most, rng)
    values = np.array([2 * (1 - 2 * _error(pair, C, rng)) for _ in range(splits)])
    half = student_quantile(level, splits - 1) * np.sqrt(
        (1 / splits + 1) * values.var(ddof=1)
    )  # as many tested as trained
    mean = float(values.mean())
    return Interval(mean, mean - float(half), mean + float(half), level, "repeated splits", SPLITS, splits)


def _error(pair: list[np.ndarray], C: float, rng: np.random.Generator) -> float:
    from sklearn.linear_model import LogisticRegression

    order = [rng.permutation(len(rows)) for rows in pair]
    train, test = (
        [rows[one[: len(one) // 2] if first else one[len(one) // 2 :]] for rows, one in zip(pair, order, strict=True)]
        for first in (True, False)
    )
    learned = np.concatenate(train)
    mean, deviation = learned.mean(0), learned.std(0)
    deviation = np.where(deviation > 0, deviation, 1)
    of_target = np.repeat([0, 1], [len(rows) for rows in train])
    model = LogisticRegression(C=C, class_weight="balanced", max_iter=1000).fit((learned - mean) / deviation, of_target)
    wrong = [float((model.predict((rows - mean) / deviation) != k).mean()) for k, rows in enumerate(test)]
    return sum(wrong) / 2
