"""Disjoint episodes: no item is used twice, and the list ends when the pool is empty."""

import numpy as np

from fewshot.episodes.draws import stream
from fewshot.episodes.index import IndexEpisodes
from fewshot.episodes.pools import Pools
from fewshot.episodes.spec import EpisodeSpec


def draw_disjoint(pools: Pools, spec: EpisodeSpec, seed: int) -> list[IndexEpisodes]:
    """All disjoint episodes that the items allow.

    Classes are drawn uniformly among those that still have ``shot + query`` unused
    items; the list ends when fewer than ``way`` are left, as in the sampler
    that Lafargue et al. (2024) released.
    """
    way, shot, query = spec.way, spec.shot, spec.query
    assert isinstance(way, int) and isinstance(shot, int) and isinstance(query, int)
    rng = stream(seed, "disjoint")
    orders = [rng.permutation(size) for size in pools.sizes]
    used = np.zeros(len(pools.ids), int)
    episodes: list[IndexEpisodes] = []
    while len(left := np.flatnonzero(pools.sizes - used >= shot + query)) >= way:
        classes = rng.choice(left, way, replace=False)
        draws = np.stack([orders[c][used[c] : used[c] + shot + query] for c in classes])
        used[classes] += shot + query
        rows, labels = pools.rows(classes, draws), np.arange(way)[:, None]
        s, q = rng.permutation(way * shot), rng.permutation(way * query)
        support_y, query_y = np.broadcast_to(labels, (way, shot)), np.broadcast_to(labels, (way, query))
        episodes.append(
            IndexEpisodes(
                np.asarray(len(episodes)), pools.ids[classes],
                rows[:, :shot].ravel()[s], support_y.ravel()[s], rows[:, shot:].ravel()[q], query_y.ravel()[q],
            )  # fmt: skip
        )
    return episodes
