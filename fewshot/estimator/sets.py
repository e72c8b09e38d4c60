"""Sets of labels that hold the true one with a stated probability: conformal prediction.

Papers: Romano, Sesia and Candès, "Classification with Valid and Adaptive Coverage", NeurIPS 2020, algorithm 2
    (CV+, here with folds of one example of each class); Vovk, Gammerman and Shafer, "Algorithmic Learning
    in a Random World", 2005 (a held-out calibration set: one fold whose learner saw none of it).
Code: github.com/msesia/arc, ``arc/methods.py``. An intended difference: the strangeness of a label is measured by its
    margin to the best other label, which needs no probabilities; theirs sums probabilities.
"""

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer

from fewshot.errors import StatisticsError
from fewshot.estimator.left_out import LeftOut

Strangeness = Float[np.ndarray, "*n n_way"]


def cross_sets(
    folds: Iterable[LeftOut], labels: Integer[np.ndarray, " s"], query: Any, n_way: int, coverage: float
) -> Bool[np.ndarray, "q n_way"]:
    """Which labels stand in the set of each query, from left-out examples of the support.

    A label is left out where at least ``coverage (m + 1)`` of the m examples are less strange for their
    own label than the query is for it, each pair judged by the learner that did not see the example.

    Args:
        folds: Of an inductive learner; see `left_out`. Copies of an example count as one.
        labels: Of all examples, two different ones of each class at least.
        query: Items ``(q, *item)``.
        n_way: Number of classes.
        coverage: Wanted share of queries whose set holds the true label.

    Raises:
        StatisticsError: If a class has one example, or there are too few for the coverage.
    """
    folds = list(folds)
    told = np.concatenate([np.zeros(0, np.int64), *[fold.rows.ravel() for fold in folds]])
    alone = n_way - len(np.unique(labels[told]))
    if alone:
        raise StatisticsError(
            f"prediction sets need two different examples of every class, got one of {alone} classes; add some, or pass "
            "calibration=(X, y) with other labelled items"
        )
    require_enough(coverage, len(told))
    less = np.zeros((len(query), n_way), np.int64)
    for fold in folds:
        own = np.take_along_axis(strangeness(fold.scores), labels[fold.rows][..., None], 2)[..., 0]  # (f, m)
        queried = strangeness(fold.classify(_repeat(query, len(fold.rows))))  # (f, q, n_way)
        for values, one in zip(own, queried, strict=True):
            less += np.searchsorted(np.sort(values), one, side="left")
    return admitted(less, coverage, len(told))


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


def require_enough(coverage: Any, count: int) -> None:
    """Let a coverage pass that so many examples can promise without every label in every set.

    Raises:
        StatisticsError: If they cannot, or it is no share.
    """
    if not isinstance(coverage, Real) or not 0 < float(coverage) < 1:
        raise StatisticsError(f"coverage must be a number between 0 and 1, got {coverage!r}; 0.9 is 90 %")
    share = float(coverage)
    needed = int(np.ceil(share / (1 - share) - 1e-9))
    if count < needed:
        raise StatisticsError(
            f"sets with coverage {coverage} need {needed} labelled examples, got {count}; ask for less or add examples"
        )


def _repeat(query: Any, count: int) -> Any:
    if isinstance(query, torch.Tensor):
        return query.expand(count, *query.shape)
    return np.broadcast_to(query, (count, *query.shape))
