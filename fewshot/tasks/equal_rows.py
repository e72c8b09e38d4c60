"""The guard of tasks whose classes are known: no queried item, and none equal to one, is among what a learner sees."""

import hashlib
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.conversion import as_numpy
from fewshot.episodes import FixedEpisodes
from fewshot.errors import LeakageError


def check_rows(
    learner: Any, items: Collection, drawn: FixedEpisodes, allowed: bool, names: tuple[str, int]
) -> list[str]:
    """Compare the queries, the same in every episode, with support and pool of all of them.

    Args:
        learner: For the message.
        items: Of support, pool and queries.
        drawn: The episodes.
        allowed: Let equal items pass, and say how many there are.
        names: What the queries belong to, and its first row.

    Returns:
        Sentences for the record.

    Raises:
        LeakageError: If an item is queried and seen, unless that is allowed.
    """
    query = drawn.episodes[0].query
    shown = [rows for one in drawn.episodes for rows in (one.support, one.unlabelled) if rows is not None]
    seen = set(_digests(items, np.unique(np.concatenate(shown))))
    equal = [row for row, own in zip(query, _digests(items, query), strict=True) if own in seen]
    if not equal:
        return []
    told = f"{len(equal)} of {len(query)} queried items are equal to one that {type(learner).__name__} sees"
    if not allowed:
        raise LeakageError(
            f"queried items must be new to the learner, got {told}, such as item {equal[0] - names[1]} of "
            f"'{names[0]}'; take them out, or allow it with allow_equal=True and say so"
        )
    return [f"equal items: {told}"]


def _digests(collection: Collection, rows: np.ndarray) -> list[bytes]:
    items = as_numpy(collection.take(rows))
    if items.dtype.kind in "TU":
        return [hashlib.blake2b(str(text).encode(), digest_size=16).digest() for text in items.tolist()]
    return [hashlib.blake2b(np.ascontiguousarray(item).tobytes(), digest_size=16).digest() for item in items]
