"""Examples of the support, left out and asked: one of each class at a time.

Leaving out a single example would leave its class alone with one example fewer than all others,
and a learner answers less often with such a class; one of each class keeps the balance.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from fewshot.contract import SupportSet, taken
from fewshot.evaluation.answers import eval_mode

MOST = 20  # folds; classes with more examples leave out several at a time
ROOM = 2**24  # numbers in the supports of one batch of folds

Rows = Integer[np.ndarray, "f m"]


def deal(labels: Integer[np.ndarray, " s"]) -> Integer[np.ndarray, " s"]:
    """The fold in which each item is left out, one of each class a fold; -1 for the only example of a class."""
    folds = np.full(len(labels), -1)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) > 1:
            folds[rows] = np.arange(len(rows)) % MOST
    return folds


def left_out(learner: Any, support: SupportSet[Any]) -> Iterator[tuple[Callable[[Any], np.ndarray], Rows]]:
    """Batches of folds: a classifier adapted to what is left of each, and the rows that were left out.

    Args:
        learner: Adapts to the rest of each fold.
        support: One episode, with the axis ``e``.
    """
    folds, items, labels = deal(support.y[0].numpy()), support.x[0], support.y[0]
    for batch in _batches(folds, items):
        kept, left = (
            np.stack([np.flatnonzero(inside(folds, f)) for f in batch]) for inside in (np.not_equal, np.equal)
        )
        seeds = None if support.seed is None else support.seed.expand(len(batch))
        side = None if support.descriptors is None else support.descriptors.repeat(len(batch), *[1] * 2)
        rest = SupportSet(take(items, kept), labels[torch.from_numpy(kept)], support.n_way, side, seed=seeds)
        yield scorer(learner, rest), left


def left_out_scores(
    learner: Any, support: SupportSet[Any]
) -> tuple[Float[np.ndarray, "m n_way"], Integer[np.ndarray, " m"]]:
    """Scores of all items that can be left out, and their classes; see `left_out`."""
    scores, rows = [np.zeros((0, support.n_way))], [np.zeros(0, np.int64)]
    for classify, left in left_out(learner, support):
        scores.append(classify(take(support.x[0], left)).reshape(-1, support.n_way))
        rows.append(left.ravel())
    return np.concatenate(scores), support.y[0].numpy()[np.concatenate(rows)]


def scorer(learner: Any, support: SupportSet[Any]) -> Callable[[Any], np.ndarray]:
    """A classifier whose scores are float64 arrays ``(e, q, n_way)`` without gradients."""
    take_in = partial(taken, learner)
    with torch.no_grad(), eval_mode(learner):
        classify = learner.adapt(support.map(take_in))

    def answer(query: Any) -> np.ndarray:
        with torch.no_grad(), eval_mode(learner):
            scores: np.ndarray = classify(take_in(query)).detach().double().cpu().numpy()
        return scores

    return answer


def take(items: Any, rows: np.ndarray) -> Any:
    """Items of the given rows, of any shape: from a tensor, or an array of strings."""
    return items[torch.from_numpy(rows)] if isinstance(items, Tensor) else items[rows]


def _batches(folds: np.ndarray, items: Any) -> list[np.ndarray]:
    """Folds of equal size together, as many as there is room for."""
    sizes = np.bincount(folds[folds >= 0], minlength=1)
    room = max(1, ROOM // max(1, len(items) * int(np.prod(items.shape[1:]))))
    equal = [np.flatnonzero(sizes == size) for size in np.unique(sizes[sizes > 0])]
    return [group[i : i + room] for group in equal for i in range(0, len(group), room)]
