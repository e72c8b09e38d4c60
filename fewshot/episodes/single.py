"""Episodes of irregular shape, one at a time, each from its own random stream."""

import numpy as np

from fewshot.episodes.index import IndexEpisodes
from fewshot.episodes.pools import Pools
from fewshot.episodes.spec import Count, EpisodeSpec
from fewshot.errors import EpisodeError

TRIES = 1000


def draw_one(
    support: Pools, query: Pools | None, groups: np.ndarray | None, spec: EpisodeSpec, rng: np.random.Generator, index: int
) -> tuple[IndexEpisodes, int]:
    """One episode and the number of draws that were rejected on the way.

    Args:
        support: Classes and items to draw the support from.
        query: Another collection's items for the queries, same classes; None: the same items.
        groups: Group of each class, for episodes within one group.
        spec: What to draw.
        rng: The episode's own generator.
        index: The episode's number.

    Raises:
        EpisodeError: If the classes are too few or too small for the spec.
    """
    for rejected in range(TRIES):
        classes = _choose_classes(support, groups, spec, rng)
        counts = _counts(support, query, classes, spec, rng)
        if _fits(support, query, classes, counts):
            return _fill(support, query, classes, counts, spec, rng, index), rejected
        if spec.dirichlet is None:
            break
    need = int((counts[0] + counts[1] + counts[2]).max())
    raise EpisodeError(
        f"every class needs as many items as an episode asks of it (up to {need}), got "
        f"{int(support.sizes.min())} in class {support.name(int(support.sizes.argmin()))}; "
        "lower shot or query, or leave small classes out"
    )


def _between(rng: np.random.Generator, count: Count) -> int:
    return count if isinstance(count, int) else int(rng.integers(count[0], count[1], endpoint=True))


def _choose_classes(pools: Pools, groups: np.ndarray | None, spec: EpisodeSpec, rng: np.random.Generator) -> np.ndarray:
    """Positions of the episode's classes: known ones first, then open ones, then distractors."""
    extra = spec.open_way + spec.distractors
    least = (spec.way if isinstance(spec.way, int) else spec.way[0]) + extra
    candidates = np.arange(len(pools.ids))
    if spec.within_group:
        candidates = _one_group(pools, groups, least, rng)
    if len(candidates) < least:
        raise EpisodeError(f"way must be at most the number of classes, {len(candidates)}, got {least}")
    way = spec.way if isinstance(spec.way, int) else _between(rng, (spec.way[0], min(spec.way[1], len(candidates) - extra)))
    return rng.choice(candidates, way + extra, replace=False)


def _one_group(pools: Pools, groups: np.ndarray | None, least: int, rng: np.random.Generator) -> np.ndarray:
    if groups is None:
        raise EpisodeError("episodes within one group need the group of each class; give groups=")
    member = np.asarray(groups)[pools.ids]
    names, sizes = np.unique(member, return_counts=True)
    if not (sizes >= least).any():
        raise EpisodeError(f"some group needs {least} classes, got at most {sizes.max()}; lower way")
    return np.flatnonzero(member == rng.choice(names[sizes >= least]))


Counts = tuple[np.ndarray, np.ndarray, np.ndarray]  # of support, query and pool items, one a chosen class


def _counts(
    support: Pools, query: Pools | None, classes: np.ndarray, spec: EpisodeSpec, rng: np.random.Generator
) -> Counts:
    extra = spec.open_way + spec.distractors
    way = len(classes) - extra
    if spec.rule == "meta-dataset":
        shots, queries = _meta_dataset(support.sizes[classes[:way]], spec, rng)
    else:
        shots = np.full(way, _between(rng, spec.shot)) if spec.shots is None else rng.permutation(spec.shots)
        queries = np.full(way, _between(rng, spec.query))
        if spec.dirichlet is not None:
            queries = _share_out(rng.dirichlet(np.full(way, spec.dirichlet)), int(queries.sum()))
    asked = int(queries.max(initial=0)) if spec.open_query is None else spec.open_query
    none = [0] * spec.distractors
    return (
        np.concatenate([shots, np.zeros(extra, int)]).astype(int),
        np.concatenate([queries, [asked] * spec.open_way, none]).astype(int),
        np.concatenate([[spec.unlabelled] * way, [0] * spec.open_way, [spec.unlabelled] * spec.distractors]).astype(int),
    )


def _share_out(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers in proportion to the shares, by largest remainder."""
    exact = shares * total
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: total - counts.sum()]] += 1
    return counts


def _meta_dataset(sizes: np.ndarray, spec: EpisodeSpec, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Shots and queries by the rule of Triantafillou et al. (2020), section 3.2, steps 2 and 3."""
    most = spec.query if isinstance(spec.query, int) else spec.query[1]
    query = max(1, min(most, int(sizes.min()) // 2))
    remaining = sizes - query
    total = min(500, int(np.floor(rng.random() * np.minimum(100, remaining) + 1).sum()))
    weights = sizes * np.exp(rng.uniform(np.log(0.5), np.log(2), len(sizes)))
    shots = np.floor(weights / weights.sum() * (total - len(sizes))).astype(int) + 1
    return np.minimum(shots, remaining), np.full(len(sizes), query)


def _fits(support: Pools, query: Pools | None, classes: np.ndarray, counts: Counts) -> bool:
    shots, queries, pool = counts
    if query is None:
        return bool((shots + queries + pool <= support.sizes[classes]).all())
    return bool((shots + pool <= support.sizes[classes]).all() and (queries <= query.sizes[classes]).all())


def _fill(
    support: Pools,
    query: Pools | None,
    classes: np.ndarray,
    counts: Counts,
    spec: EpisodeSpec,
    rng: np.random.Generator,
    index: int,
) -> IndexEpisodes:
    way = len(classes) - spec.open_way - spec.distractors
    labels = np.minimum(np.arange(len(classes)), way)
    taken = [_take(support, query, c, [int(n[k]) for n in counts], rng) for k, c in enumerate(classes)]
    rows = [np.concatenate([t[part] for t in taken]) for part in range(3)]
    y = [np.repeat(labels, n) for n in counts]
    order = [rng.permutation(len(r)) for r in rows]
    return IndexEpisodes(
        np.asarray(index), support.ids[classes[:way]], rows[0][order[0]], y[0][order[0]], rows[1][order[1]], y[1][order[1]],
        rows[2][order[2]] if spec.unlabelled else None,
    )  # fmt: skip


def _take(
    support: Pools, query: Pools | None, position: int, counts: list[int], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Support, query and pool rows of one class, all different."""
    shot, asked, pool = counts
    own = shot + pool + (asked if query is None else 0)
    where = np.asarray(position)
    rows = support.rows(where, rng.choice(support.sizes[position], own, replace=False))
    if query is not None:
        other = query.rows(where, rng.choice(query.sizes[position], asked, replace=False))
        return rows[:shot], other, rows[shot:]
    return rows[:shot], rows[shot : shot + asked], rows[shot + asked :]
