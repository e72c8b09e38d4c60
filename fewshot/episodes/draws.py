"""Random draws of episodes, from counters instead of from state.

Episodes are drawn in blocks of 256. Block ``b`` has a Philox stream of its own,
named by (seed, field, b), and takes as many numbers from it as it likes; so
every episode is a pure function of the labels, the spec, the seed and its
index, on any number of workers and after any restart. Draws are exact: NumPy
rejects where a remainder would favour some numbers.
"""

import numpy as np
from jaxtyping import Int64

BLOCK = 256
VERSION = 1  # part of every manifest: raise it when the same arguments draw other episodes
FIELDS = ("block", "single", "disjoint", "torch", "draws")
_DENSE = 2**24  # pools are laid out in memory up to this many entries


def stream(seed: int, field: str, number: int = 0) -> np.random.Generator:
    """The generator of one block or of one episode.

    Args:
        seed: Seed of the list of episodes.
        field: What is drawn, so that different uses never share numbers.
        number: Number of the block or episode.
    """
    counter = [0, 0, number, FIELDS.index(field)]  # the low 128 bits count: streams cannot meet
    return np.random.Generator(np.random.Philox(key=[seed, 0], counter=counter))


def episode_seeds(seed: int, index: Int64[np.ndarray, " e"]) -> Int64[np.ndarray, " e"]:
    """One seed in ``0..2^62-1`` per episode, for learners that draw random numbers."""
    numbers, where = np.unique(index // BLOCK, return_inverse=True)
    blocks = [stream(seed, "torch", number).integers(0, 2**62, BLOCK) for number in numbers.tolist()]
    seeds: np.ndarray = np.array(blocks, np.int64).reshape(-1, BLOCK)[where, index % BLOCK]
    return seeds


def without_replacement(
    rng: np.random.Generator, sizes: Int64[np.ndarray, " rows"], count: int
) -> Int64[np.ndarray, "rows {count}"]:
    """For each row, ``count`` different numbers below its size: ordered, uniform, exact.

    Args:
        rng: Source of randomness.
        sizes: Size of each row's pool, at least ``count``; at least one row.
        count: How many to draw.
    """
    least, most = int(sizes.min()), int(sizes.max())
    if count * count <= least:
        return _by_rejection(rng, sizes, count)
    if least == most and len(sizes) * most <= _DENSE:
        return shuffled(rng, len(sizes), most)[:, :count]
    if len(sizes) * most <= _DENSE:
        return _fisher_yates(rng, sizes, count)
    return np.stack([rng.choice(size, count, replace=False) for size in sizes])


def _by_rejection(rng: np.random.Generator, sizes: np.ndarray, count: int) -> np.ndarray:
    """Draw whole rows until all their numbers differ; a row passes with chance 0.6 or more."""
    equal = sizes.min() == sizes.max()  # one bound for all rows draws the same numbers, faster
    drawn = rng.integers(0, sizes[0] if equal else sizes[:, None], (len(sizes), count))
    again = _rows_with_repeats(drawn)
    while len(again):
        fresh = rng.integers(0, sizes[0] if equal else sizes[again, None], (len(again), count))
        drawn[again] = fresh
        again = again[_rows_with_repeats(fresh)]
    return drawn


def _rows_with_repeats(drawn: np.ndarray) -> np.ndarray:
    """Which rows hold a number twice; on the flat array, because a reduction over short rows is slow."""
    width, ordered = max(drawn.shape[1], 1), np.sort(drawn, axis=1).ravel()
    same = ordered[1:] == ordered[:-1]
    same[width - 1 :: width] = False  # the last of a row and the first of the next
    rows: np.ndarray = np.bincount(np.flatnonzero(same) // width).nonzero()[0]
    return rows


def _fisher_yates(rng: np.random.Generator, sizes: np.ndarray, count: int) -> np.ndarray:
    """Shuffle the front of all pools together; pools of unequal size are padded, never drawn from."""
    rows = np.arange(len(sizes))
    pool = np.tile(np.arange(sizes.max()), (len(sizes), 1))
    for k in range(count):
        other = rng.integers(k, sizes)
        pool[rows, other], pool[:, k] = pool[:, k], pool[rows, other]
    return pool[:, :count]


def shuffled(rng: np.random.Generator, rows: int, width: int) -> Int64[np.ndarray, "{rows} {width}"]:
    """One random order of ``0..width-1`` a row."""
    order = np.tile(np.arange(width), (rows, 1))  # a row's numbers side by side: a fifth faster than a broadcast view
    return rng.permuted(order, axis=1, out=order)
