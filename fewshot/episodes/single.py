"""Episodes of irregular shape, one at a time, each from its own random stream."""

import numpy as np

from fewshot.episodes.counts import between, draw_shots, meta_dataset_counts, share_out
from fewshot.episodes.index import IndexEpisodes
from fewshot.episodes.source import Source
from fewshot.episodes.spec import EpisodeSpec, high, low


def draw_one(source: Source, spec: EpisodeSpec, rng: np.random.Generator, index: int) -> tuple[IndexEpisodes, int]:
    """One episode, and the number of Dirichlet draws that were rejected on the way.

    Args:
        source: Where items come from, checked against the spec.
        spec: What to draw.
        rng: The episode's own generator.
        index: The episode's number.

    Raises:
        EpisodeError: If Dirichlet shares do not fit the classes.
    """
    classes = _choose_classes(source, spec, rng)
    way = len(classes) - spec.extra_way()
    counts, rejected = _choose_counts(source, spec, rng, classes[:way])
    rows = _choose_rows(source, rng, classes, counts)
    label = np.minimum(np.arange(len(classes)), way)
    order = [rng.permutation(len(part)) for part in rows]
    (support, query, pool), (support_y, query_y, _) = (
        [part[o] for part, o in zip(parts, order, strict=True)]
        for parts in (rows, [np.repeat(label, n) for n in counts])
    )
    ids = source.support.ids[classes[:way]]
    unlabelled = pool if spec.unlabelled else None
    return IndexEpisodes(np.asarray(index), ids, support, support_y, query, query_y, unlabelled), rejected


def _choose_classes(source: Source, spec: EpisodeSpec, rng: np.random.Generator) -> np.ndarray:
    """Positions of the episode's classes: known ones first, then open ones, then distractors.

    A range of ways is uniform, whatever the groups; only Meta-Dataset's rule chooses
    the group first, and then as many ways as it allows.
    """
    by_group = spec.rule == "meta-dataset"
    way = low(spec.way) if by_group else between(rng, spec.way)
    fitting = [group for group in source.groups if len(group) >= way + spec.extra_way()]
    group = fitting[rng.integers(len(fitting))]
    if by_group:
        way = between(rng, (way, min(high(spec.way), len(group))))
    return rng.choice(group, way + spec.extra_way(), replace=False)


def _choose_counts(
    source: Source, spec: EpisodeSpec, rng: np.random.Generator, known: np.ndarray
) -> tuple[np.ndarray, int]:
    """Items of each class ``(3, classes)`` for support, queries and pool; and the rejected draws."""
    way, query, rejected = len(known), between(rng, spec.query), 0
    if spec.rule == "meta-dataset":
        shots, queries = meta_dataset_counts(rng, spec, source.support.sizes[known])
    else:
        shots, queries = draw_shots(rng, spec, way), np.full(way, query)
    if spec.dirichlet is not None:
        queries, rejected = share_out(rng, spec.dirichlet, way * query, source.room(known, shots, spec.unlabelled))
    opened = query if spec.open_query is None else spec.open_query
    return np.array([
        [*shots, *[0] * spec.extra_way()],
        [*queries, *[opened] * spec.open_way, *[0] * spec.distractors],
        [*[spec.unlabelled] * way, *[0] * spec.open_way, *[spec.unlabelled] * spec.distractors],
    ]), rejected  # fmt: skip


def _choose_rows(source: Source, rng: np.random.Generator, classes: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
    """Rows for support, queries and pool, class by class, all different."""
    parts: list[list[np.ndarray]] = [[], [], []]
    for position, (shot, query, pool) in zip(classes.tolist(), counts.T.tolist(), strict=True):
        own = source.support.draw(rng, position, shot + (pool + query if source.query is None else 0))
        rest = own[shot:] if source.query is None else source.query.draw(rng, position, pool + query)
        for part, rows in zip(parts, (own[:shot], rest[pool:], rest[:pool]), strict=True):
            part.append(rows)
    return [np.concatenate(part) for part in parts]
