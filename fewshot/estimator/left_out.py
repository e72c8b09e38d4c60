"""Examples of the support, left out and queried: one of each class at a time, with all copies of it.

Leaving out a single example would leave its class alone with one example fewer than all others,
and a learner answers less often with such a class; one of each class keeps the balance.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from fewshot.contract import SupportSet, taken
from fewshot.errors import FewShotError, ShapeError
from fewshot.estimator.copies import copies, first_of_each
from fewshot.evaluation.answers import eval_mode
from fewshot.plumbing.device import CPU, moved

MOST = 20  # folds; classes with more examples leave out several at a time
ROOM = 2**24  # numbers in the supports of one batch of folds

STAYS = -1  # the fold of what is never left out


class LeftOut(NamedTuple):
    """Folds of equal size.

    Attributes:
        classify: Answers ``(f, q, *item)`` with scores ``(f, q, n_way)``, adapted to what is left in each fold.
        rows: Examples that were left out, one of each set of copies.
        scores: Of these examples.
    """

    classify: Callable[[Any], np.ndarray]
    rows: Integer[np.ndarray, "f m"]
    scores: Float[np.ndarray, "f m n_way"]


def deal(labels: Integer[np.ndarray, " s"], equal: Integer[np.ndarray, " s"]) -> Integer[np.ndarray, " s"]:
    """The fold in which each item is left out: one of each class a fold, and copies together.

    An item stays (-1) if its class would be left without any: the only one of a class, all copies of it included.

    Args:
        labels: Classes of the items.
        equal: The same number for items that are copies of one another, of other classes too.
    """
    classes, labels = np.unique(labels, return_inverse=True)
    of = {item: np.unique(labels[equal == item]) for item in dict.fromkeys(equal.tolist())}
    used, folds = np.zeros((len(classes), MOST), np.int64), np.full(len(labels), STAYS)
    for item in sorted(of, key=lambda item: -len(of[item])):  # what several classes share first
        folds[equal == item] = fold = used[of[item]].sum(0).argmin()
        used[of[item], fold] += 1
    stuck = (used > 0).sum(1) == 1  # classes that are in one fold as a whole
    folds[np.isin(equal, equal[stuck[labels]])] = STAYS
    return folds


def left_out(
    learner: Any, support: SupportSet[Any], equal: np.ndarray | None = None, device: torch.device = CPU
) -> Iterator[LeftOut]:
    """Batches of folds: a classifier adapted to what is left of each, and what it answers about the rest.

    Args:
        learner: Adapts to the rest of each fold.
        support: One episode, with the axis ``e``.
        equal: The same number for items that are copies of one another; of `copies` when left out.
        device: Where the learner is.
    """
    items, labels = support.x[0], support.y[0]
    equal = copies(items) if equal is None else equal
    folds, told = deal(labels.numpy(), equal), first_of_each(equal, labels.numpy())
    for batch in _batches(folds, told, items):
        kept = np.stack([np.flatnonzero(folds != f) for f in batch])
        rows = np.stack([np.flatnonzero((folds == f) & told) for f in batch])
        seeds = None if support.seed is None else support.seed.expand(len(batch))
        side = None if support.descriptors is None else support.descriptors.repeat(len(batch), *[1] * 2)
        rest = SupportSet(take(items, kept), labels[torch.from_numpy(kept)], support.n_way, side, seed=seeds)
        classify = scorer(learner, rest, device)
        yield LeftOut(classify, rows, classify(take(items, rows)))


def left_out_scores(
    folds: Iterable[LeftOut], labels: Integer[np.ndarray, " s"], n_way: int
) -> tuple[Float[np.ndarray, "m n_way"], Integer[np.ndarray, " m"]]:
    """Scores of all items that can be left out, and their classes; see `left_out`."""
    scores, rows = [np.zeros((0, n_way))], [np.zeros(0, np.int64)]
    for fold in folds:
        scores.append(fold.scores.reshape(-1, n_way))
        rows.append(fold.rows.ravel())
    return np.concatenate(scores), labels[np.concatenate(rows)]


def scorer(learner: Any, support: SupportSet[Any], device: torch.device = CPU) -> Callable[[Any], np.ndarray]:
    """A classifier whose scores are float64 arrays ``(e, q, n_way)`` without gradients.

    Args:
        learner: On the device.
        support: Anywhere.
        device: Where support and queries go.

    Raises:
        ShapeError: If the learner does not take such items, also later, when the classifier is called.
    """
    shape, take_in = tuple(support.x.shape[2:]), partial(taken, learner)
    with torch.no_grad(), eval_mode(learner), taking(learner, shape):
        support = support.to(device).map(take_in)
        classify = learner.adapt(support)

    def answer(query: Any) -> np.ndarray:
        with torch.no_grad(), eval_mode(learner), taking(learner, shape):
            scores: Tensor = classify(take_in(moved(query, device), like=support.x))
        found: np.ndarray = scores.detach().cpu().double().numpy()
        return found

    return answer


@contextmanager
def taking(learner: Any, shape: tuple[int, ...]) -> Iterator[None]:
    """An error of tensors that do not fit becomes ours, with the shape of the items.

    Raises:
        ShapeError: Where it does.
    """
    try:
        yield
    except FewShotError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ShapeError(
            f"the learner '{type(learner).__name__}' must take items of shape {shape}, got an error: {reason}; name a backbone "
            "that makes rows of features, or another learner"
        ) from error


def take(items: Any, rows: np.ndarray) -> Any:
    """Items of the given rows, of any shape: from a tensor, or an array of strings."""
    return items[torch.from_numpy(rows)] if isinstance(items, Tensor) else items[rows]


def _batches(folds: np.ndarray, told: np.ndarray, items: Any) -> list[np.ndarray]:
    """Folds of equal size together, as many as there is room for."""
    leave, count = folds != STAYS, int(folds.max(initial=STAYS)) + 1
    sizes = np.stack([np.bincount(folds[part], minlength=count) for part in (leave, leave & told)])
    room = max(1, ROOM // max(1, len(items) * int(np.prod(items.shape[1:]))))
    equal = [np.flatnonzero((size == sizes.T).all(1)) for size in np.unique(sizes.T, axis=0) if size[0]]
    return [group[i : i + room] for group in equal for i in range(0, len(group), room)]
