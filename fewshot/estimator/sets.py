"""Sets of labels that hold the true one with a stated probability: conformal prediction.

Papers: Romano, Sesia and Candès, "Classification with Valid and Adaptive Coverage", NeurIPS 2020, algorithm 2
    (CV+, here with folds of one example of each class); Vovk, Gammerman and Shafer, "Algorithmic Learning
    in a Random World", 2005 (a held-out calibration set: one fold whose learner saw none of it).
Code: github.com/msesia/arc, ``arc/methods.py``. An intended difference: how unlikely a label is, is told by its
    margin to the best other label, which needs no probabilities; theirs sums probabilities.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer

from fewshot.contract import SupportSet
from fewshot.errors import StatisticsError
from fewshot.estimator.left_out import left_out, take

Strangeness = Float[np.ndarray, "*n n_way"]


def cross_sets(learner: Any, support: SupportSet[Any], query: Any, coverage: float) -> Bool[np.ndarray, "q n_way"]:
    """Which labels stand in the set of each query, from left-out examples of the support.

    A label is left out where at least ``coverage (s + 1)`` of the s examples are less strange for their
    own label than the query is for it, each pair judged by the learner that did not see the example.

    Args:
        learner: Inductive.
        support: One episode with the axis ``e``, at least two examples of each class.
        query: Items ``(q, *item)``.
        coverage: Wanted share of queries whose set holds the true label.

    Raises:
        StatisticsError: If a class has one example, or there are too few for the coverage.
    """
    alone = np.flatnonzero(np.bincount(support.y[0].numpy(), minlength=support.n_way) < 2)
    if len(alone):
        raise StatisticsError(
            f"prediction sets need two examples of every class, got one of {len(alone)} classes; add some, or pass "
            "calibration=(X, y) with other labelled items"
        )
    require_enough(coverage, len(support.y[0]))
    labels, less = support.y[0].numpy(), np.zeros((len(query), support.n_way), np.int64)
    for classify, left in left_out(learner, support):
        own = strangeness(classify(take(support.x[0], left)))  # (f, m, n_way)
        known = np.take_along_axis(own, labels[left][..., None], 2)[..., 0]  # (f, m)
        asked = strangeness(classify(_repeat(query, len(left))))  # (f, q, n_way)
        for values, fold in zip(known, asked, strict=True):
            less += np.searchsorted(np.sort(values), fold, side="left")
    return admitted(less, coverage, len(support.y[0]))


def split_sets(
    known: Float[np.ndarray, "m n_way"], labels: Integer[np.ndarray, " m"], asked: Strangeness, coverage: float
) -> Bool[np.ndarray, "q n_way"]:
    """The same from the scores of a held-out calibration set, by the one learner that saw none of it.

    Args:
        known: Scores of the calibration items.
        labels: Their classes.
        asked: Scores of the queries ``(q, n_way)``.
        coverage: Wanted share of queries whose set holds the true label.

    Raises:
        StatisticsError: If there are too few calibration items for the coverage.
    """
    require_enough(coverage, len(labels))
    own = np.sort(strangeness(known)[np.arange(len(labels)), labels])
    return admitted(np.searchsorted(own, strangeness(asked), side="left"), coverage, len(labels))


def admitted(less: Integer[np.ndarray, "q n_way"], coverage: float, count: int) -> Bool[np.ndarray, "q n_way"]:
    """Which labels stand in the sets: those with fewer than ``coverage (count + 1)`` less strange examples.

    Args:
        less: Labelled examples that are less strange than the query would be with a label.
        coverage: Wanted share of queries whose set holds the true label.
        count: All labelled examples.
    """
    held: np.ndarray = less < coverage * (count + 1) - 1e-9
    return held


def strangeness(scores: Strangeness) -> Strangeness:
    """The best score of the other labels minus a label's own; higher is stranger."""
    if scores.shape[-1] == 1:
        return np.zeros_like(scores)
    first, second = np.partition(scores, -2)[..., -1:], np.partition(scores, -2)[..., -2:-1]
    margins: np.ndarray = np.where(scores == first, second, first) - scores
    return margins


def require_enough(coverage: float, count: int) -> None:
    """Let a coverage pass that so many examples can promise without every label in every set.

    Raises:
        StatisticsError: If they cannot, or it is no share.
    """
    if not 0 < coverage < 1:
        raise StatisticsError(f"coverage must lie between 0 and 1, got {coverage}")
    needed = int(np.ceil(coverage / (1 - coverage) - 1e-9))
    if count < needed:
        raise StatisticsError(
            f"sets with coverage {coverage} need {needed} labelled examples, got {count}; ask for less or add examples"
        )


def _repeat(query: Any, count: int) -> Any:
    if isinstance(query, torch.Tensor):
        return query.expand(count, *query.shape)
    return np.broadcast_to(query, (count, *query.shape))
