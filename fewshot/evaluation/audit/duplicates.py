"""Near-duplicates between two parts of a collection: by the cosine of their features, and by equal items."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.datasets.conversion import as_numpy

CELLS = 2**24  # of one block of similarities: 64 MiB


@dataclass(frozen=True)
class Matches:
    """What each item of a second part has in a first part.

    Attributes:
        nearest: Row of the first part with the largest cosine, ``(n,)``.
        cosine: That cosine, ``(n,)``; -inf where the first part has no other item.
        pairs: Pairs at or above the threshold.
    """

    nearest: np.ndarray
    cosine: np.ndarray
    pairs: int


def matches(first: Float[Tensor, "m d"], second: Float[Tensor, "n d"] | None, threshold: float) -> Matches:
    """The nearest item in the first part of each item of the second, and how many pairs are near.

    Computed block by block in bounded memory: 30,000 against 30,000 items need 64 MiB beside the features.

    Args:
        first: Features of the first part.
        second: Features of the second part; nothing for the first against itself, each pair once, no item with itself.
        threshold: Least cosine of a near pair.
    """
    z1 = normalize(first.float(), dim=1)
    z2 = z1 if second is None else normalize(second.float(), dim=1)
    step, pairs = max(1, CELLS // len(z1)), 0
    nearest, cosine = np.zeros(len(z2), np.int64), np.zeros(len(z2), np.float32)
    for start in range(0, len(z2), step):
        block = z2[start : start + step] @ z1.T
        if second is None:
            block.diagonal(start).fill_(-torch.inf)
        best, rows = block.max(1)
        nearest[start : start + step], cosine[start : start + step] = rows.numpy(), best.numpy()
        pairs += int((block >= threshold).sum())
    return Matches(nearest, cosine, pairs // 2 if second is None else pairs)


def byte_ids(items: Any) -> np.ndarray:
    """A number for each item, ``(n,)``; the same for items of which every byte is the same.

    Args:
        items: Pixels, features or texts; read one after another, so that they may be memory-mapped.
    """
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(key, len(known)) for key in _keys(items)], np.int64)


def equal_items(first: np.ndarray, second: np.ndarray | None) -> np.ndarray:
    """Row in the first part of an item with the number of each item of the second, ``(n,)``; -1 where there is none.

    Args:
        first: Numbers from `byte_ids`.
        second: Of the other part; nothing for the first part against its own earlier items.
    """
    known: dict[int, int] = {}
    earliest = [known.setdefault(number, row) for row, number in enumerate(first.tolist())]
    if second is None:
        return np.array([-1 if row == i else row for i, row in enumerate(earliest)], np.int64)
    return np.array([known.get(number, -1) for number in second.tolist()], np.int64)


def _keys(items: Any) -> Iterator[bytes]:
    rows = as_numpy(items)
    for row in rows:
        content = str(row).encode() if rows.dtype.kind in "TU" else np.ascontiguousarray(row).data
        yield hashlib.sha256(content).digest()
