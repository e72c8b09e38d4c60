"""Makers of small episodes for tests: unbalanced and shuffled, so that no formula can lean on either."""

import jaxtyping
import numpy as np
import torch
from hypothesis import strategies as st

from fewshot.contract import SupportSet


def episode(shots=(3, 1, 2), dim=6, queries=5, seed=0, episodes=None, spread=1.0, dtype=torch.float64):
    """``(support, query, query_y)`` with Gaussian classes; with ``episodes`` they lead with the axis ``e``."""
    rng = np.random.default_rng(seed)
    lead, n_way = (1 if episodes is None else episodes), len(shots)
    centres = rng.normal(size=(lead, n_way, dim)) * 2
    y = rng.permuted(np.tile(np.repeat(np.arange(n_way), shots), (lead, 1)), axis=1)
    query_y = rng.integers(n_way, size=(lead, queries))
    x, query = (
        np.take_along_axis(centres, labels[..., None], 1) + spread * rng.normal(size=(*labels.shape, dim))
        for labels in (y, query_y)
    )
    seeds = torch.from_numpy(rng.integers(2**31, size=lead))
    support = SupportSet(torch.from_numpy(x).to(dtype), torch.from_numpy(y), n_way, seed=seeds)
    query, query_y = torch.from_numpy(query).to(dtype), torch.from_numpy(query_y)
    return (support[0], query[0], query_y[0]) if episodes is None else (support, query, query_y)


def shot_counts(min_way=2, max_way=6, min_shot=1, max_shot=4):
    """Hypothesis strategy: shots of each class of an episode, unequal as a rule."""
    return st.lists(st.integers(min_shot, max_shot), min_size=min_way, max_size=max_way).map(tuple)


def episodes(min_shot=1, max_shot=4, count=None, **options):
    """Hypothesis strategy: unbalanced, shuffled episodes as ``(support, query, query_y)``."""

    def build(shots, dim, seed):
        jaxtyping.config.update("jaxtyping_disable", True)  # beartype draws from random, which a strategy must not
        try:
            return episode(shots, dim, seed=seed, episodes=count, **options)
        finally:
            jaxtyping.config.update("jaxtyping_disable", False)

    shots = shot_counts(min_shot=min_shot, max_shot=max_shot)
    return st.builds(build, shots, st.integers(2, 9), st.integers(0, 2**31))
