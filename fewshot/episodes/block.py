"""Episodes of one shape with equal counts, many at once."""

import numpy as np

from fewshot.episodes.draws import BLOCK, stream, without_replacement
from fewshot.episodes.index import IndexEpisodes
from fewshot.episodes.pools import Pools
from fewshot.episodes.spec import EpisodeSpec, high


def draw_block(pools: Pools, spec: EpisodeSpec, seed: int, number: int) -> IndexEpisodes:
    """Episodes ``256 * number .. 256 * number + 255`` of a plain spec.

    Args:
        pools: Items by class.
        spec: Fixed way, shot and query without options.
        seed: Names the list of episodes.
        number: Number of the block.
    """
    way, each = high(spec.way), high(spec.shot) + high(spec.query)
    rng = stream(seed, "block", number)
    classes = without_replacement(rng, np.full(BLOCK, len(pools.ids)), way)
    draws = without_replacement(rng, pools.sizes[classes.ravel()], each)
    index = np.arange(number * BLOCK, (number + 1) * BLOCK)
    return _assemble(rng, pools, spec, index, classes, draws.reshape(BLOCK, way, each))


def draw_disjoint(pools: Pools, spec: EpisodeSpec, seed: int) -> IndexEpisodes:
    """All disjoint episodes that the items allow: no item is used twice.

    Classes are drawn uniformly among those that still have ``shot + query`` unused
    items; the list ends when fewer than ``way`` are left, as in the sampler
    that Lafargue et al. (2024) released.
    """
    way, each = high(spec.way), high(spec.shot) + high(spec.query)
    rng = stream(seed, "disjoint")
    unused = [rng.permutation(size) for size in pools.sizes]
    used = np.zeros(len(pools.ids), int)
    classes, draws = [], []
    while len(left := np.flatnonzero(pools.sizes - used >= each)) >= way:
        chosen = rng.choice(left, way, replace=False)
        classes.append(chosen)
        draws.append([unused[c][used[c] : used[c] + each] for c in chosen])
        used[chosen] += each
    return _assemble(rng, pools, spec, np.arange(len(classes)), np.stack(classes), np.array(draws))


def _assemble(
    rng: np.random.Generator,
    pools: Pools,
    spec: EpisodeSpec,
    index: np.ndarray,
    classes: np.ndarray,
    draws: np.ndarray,
) -> IndexEpisodes:
    """Rows of drawn items ``(e, way, shot + query)``, support and queries each in random order."""
    rows, shot = pools.rows(classes, draws), high(spec.shot)
    support, support_y = _shuffle(rng, rows[..., :shot])
    query, query_y = _shuffle(rng, rows[..., shot:])
    return IndexEpisodes(index, pools.ids[classes], support, support_y, query, query_y)


def _shuffle(rng: np.random.Generator, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows ``(e, way, n)`` in random order ``(e, way * n)`` with their labels."""
    episodes, way, each = rows.shape
    both = rows << 32 | np.arange(way)[:, None]  # a row and its label move as one number
    both = both.reshape(episodes, way * each)
    rng.permuted(both, axis=1, out=both)
    return both >> 32, both & 0xFFFFFFFF
