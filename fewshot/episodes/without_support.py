"""An episode without examples, for learners that know classes by their descriptors."""

import numpy as np
from jaxtyping import Integer

from fewshot.episodes.index import IndexEpisodes


def without_support(rows: Integer[np.ndarray, " n"], classes: Integer[np.ndarray, " way"]) -> IndexEpisodes:
    """One episode, with its axis, that queries some rows; their labels are hidden.

    Args:
        rows: Row numbers of the queries.
        classes: Class ids that compete.
    """
    none, hidden = np.zeros((1, 0), np.int64), np.zeros((1, len(rows)), np.int64)
    return IndexEpisodes(np.zeros(1, np.int64), classes[None], none, none, rows[None], hidden)
