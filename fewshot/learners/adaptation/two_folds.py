"""The weight of violated margins of a support vector machine, chosen by two random folds of the source.

Code: the authors' ``Ex_CORAL.m`` of CORAL and their demo of subspace alignment, which call libsvm with ``-v 2``.
"""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Integer
from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError

COSTS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0)


def cost_by_two_folds(table: np.ndarray, support: SupportSet, most_steps: int, **options: Any) -> float:
    """The C of `COSTS` with the most right answers, each half of every class answered by the other; the least of equals.

    Args:
        table: Rows, or with ``kernel="precomputed"`` their products by one another.
        support: With the classes, and the seed of the folds.
        most_steps: Of a machine.
        options: Of scikit-learn's ``SVC``.

    Raises:
        EpisodeError: If a class has a single row, which cannot be in both halves.
    """
    from sklearn.model_selection import StratifiedKFold

    y = _classes(support.y)
    seed = 0 if support.seed is None else int(support.seed) % 2**31
    folds = list(StratifiedKFold(2, shuffle=True, random_state=seed).split(y, y))
    right = [
        sum(_right(table, y, fit, held, C=cost, max_iter=most_steps, **options) for fit, held in folds)
        for cost in COSTS
    ]
    return COSTS[int(np.argmax(right))]


def _classes(y: Integer[Tensor, " s"]) -> np.ndarray:
    found: np.ndarray = y.cpu().numpy()
    if np.bincount(found).min() < 2:
        raise EpisodeError("two folds need two rows or more of every class, got one; give C as a number")
    return found


def _right(table: np.ndarray, y: np.ndarray, fit: np.ndarray, held: np.ndarray, **options: Any) -> int:
    from sklearn.svm import SVC

    square = options.get("kernel") == "precomputed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that did not suffice: such a C answers as far as it came
        machine = SVC(**options, random_state=0).fit(table[np.ix_(fit, fit)] if square else table[fit], y[fit])
    answers = machine.predict(table[np.ix_(held, fit)] if square else table[held])
    return int((answers == y[held]).sum())
