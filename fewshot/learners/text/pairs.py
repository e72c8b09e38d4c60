"""Pairs of examples of one class and of two, one after the other: nothing grows with their number."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Integer

PAIRS = ("iterations", "oversampling")


def count_pairs(labels: Integer[np.ndarray, " n"], pairs: str, iterations: int) -> int:
    """How many pairs an epoch has.

    ``"iterations"``: as many of one class as of two for each example, ``iterations`` of each; with one class, of one class only.
    ``"oversampling"``: twice the number of different pairs of the more frequent kind.

    Args:
        labels: Class of each example.
        pairs: One of ``PAIRS``.
        iterations: R of the paper.
    """
    sizes = np.unique(labels, return_counts=True)[1]
    kinds = 2 if len(sizes) > 1 else 1
    if pairs == "iterations":
        return kinds * iterations * len(labels)
    alike = int((sizes * (sizes - 1) // 2).sum())
    return kinds * max(alike, len(labels) * (len(labels) - 1) // 2 - alike, 1)


def draw_pairs(labels: Integer[np.ndarray, " n"], pairs: str, total: int, seed: int) -> Iterator[tuple[int, int, bool]]:
    """``(first, second, of one class)``, positions in the labels: pairs of one class and of two in turn.

    ``"iterations"``: every example leads equally often, to within one, with a random partner. ``"oversampling"``: every
    pair of a kind is equally likely, drawn with replacement. An example that is alone in its class is its own partner.

    Args:
        labels: Class of each example.
        pairs: One of ``PAIRS``.
        total: How many to draw.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    kinds = (True, False) if len(np.unique(labels)) > 1 else (True,)
    lead = _in_turn if pairs == "iterations" else _by_partners
    leads = {same: lead(_partners(labels, same), rng) for same in kinds}
    for k in range(total):
        same = kinds[k % len(kinds)]
        first = next(leads[same])
        fits = (labels == labels[first]) == same
        fits[first] = False
        second = int(rng.choice(np.flatnonzero(fits))) if fits.any() else first
        yield first, second, same


def _partners(labels: np.ndarray, same: bool) -> np.ndarray:
    """How many partners each example has."""
    counts: np.ndarray = (labels == labels[:, None]).sum(1)
    return counts - 1 if same else len(labels) - counts


def _in_turn(partners: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(len(partners)).tolist()


def _by_partners(partners: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    """Examples as often as they have partners, which makes every pair equally likely."""
    weights = partners if partners.any() else np.ones(len(partners))
    while True:
        yield from rng.choice(len(weights), len(weights), p=weights / weights.sum()).tolist()
