"""Items that are equal: a copy that stays would answer for the one that was left out."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

CLOSE = 1e-5  # of their length: features of equal items differ in their last digits from batch to batch


def copies(items: Any, close: float = 0.0) -> Integer[np.ndarray, " s"]:
    """A number for each item, the same for items that are equal.

    Args:
        items: ``(s, *item)``, a tensor or an array of strings.
        close: Items are equal, too, if their distance is at most this share of their length.
    """
    values = items.tolist() if not isinstance(items, Tensor) else [row.tobytes() for row in _rows(items)]
    first: dict[Any, int] = {}
    equal = np.array([first.setdefault(value, len(first)) for value in values], np.int64)
    if close == 0 or len(first) < 2:
        return equal
    rows = _rows(items)[np.unique(equal, return_index=True)[1]]
    return _linked(rows.astype(np.float64), close)[equal]


def _rows(items: Tensor) -> np.ndarray:
    """Items as vectors, with one zero for both signs of it."""
    flat = items.detach().cpu().flatten(1)
    flat = flat.float() if flat.dtype == torch.bfloat16 else flat  # NumPy has no bfloat16
    rows: np.ndarray = (flat + 0.0 if flat.is_floating_point() else flat).numpy()
    return rows


def _linked(rows: Float[np.ndarray, "u dim"], close: float) -> Integer[np.ndarray, " u"]:
    """A number for each row, the same where a chain of close rows leads from one to the other.

    Rows that are close lie close on any line, so only neighbours on one line are compared.
    """
    length = np.linalg.norm(rows, axis=1)
    line = np.random.default_rng(0).normal(size=rows.shape[1])
    place = rows @ (line / np.linalg.norm(line))
    order, links = np.argsort(place), []
    for step in range(1, len(rows)):
        one, other = order[:-step], order[step:]
        near = place[other] - place[one] <= close * length.max()
        if not near.any():
            break
        one, other = one[near], other[near]
        apart = np.linalg.norm(rows[one] - rows[other], axis=1)
        links.append(np.stack([one, other])[:, apart <= close * np.maximum(length[one], length[other])])
    one, other = np.concatenate([np.zeros((2, 0), np.int64), *links], 1)
    graph = coo_array((np.ones(len(one)), (one, other)), (len(rows), len(rows)))
    return connected_components(graph, directed=False)[1].astype(np.int64)  # type: ignore[no-any-return]


def first_of_each(equal: Integer[np.ndarray, " s"], labels: Integer[np.ndarray, " s"]) -> Bool[np.ndarray, " s"]:
    """Which items are the first of their copies with the same label: all others tell nothing new."""
    first = np.zeros(len(equal), bool)
    first[np.unique(np.stack([equal, labels]), axis=1, return_index=True)[1]] = True
    return first


def shared(items: Any, others: Any, close: float = 0.0) -> Integer[np.ndarray, " m"]:
    """Rows of ``others`` that equal one of ``items``; see `copies`."""
    both = torch.cat([items, others]) if isinstance(items, Tensor) else np.concatenate([items, others])
    equal = copies(both, close)
    return np.flatnonzero(np.isin(equal[len(items) :], equal[: len(items)]))
