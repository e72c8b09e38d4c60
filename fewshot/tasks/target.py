"""A second collection: queries come from it, and the pool without labels; what it shares with the first is checked here."""

from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.joined import kind_of
from fewshot.episodes import EpisodeSampler, EpisodeSpec, FixedEpisodes
from fewshot.errors import DataError, EpisodeError


def require_alike(collection: Collection, queries: Collection) -> None:
    """Let two collections pass whose items are of one shape and type.

    Raises:
        DataError: If they are not; names both.
    """
    kinds = [kind_of(one.items) for one in (collection, queries)]
    if len(set(kinds)) > 1:
        told = " and ".join(f"{kind} in '{one.name}'" for kind, one in zip(kinds, (collection, queries), strict=True))
        raise DataError(f"items of both collections must have one shape and type, got {told}; convert one of them")


def labels_in(collection: Collection, queries: Collection) -> np.ndarray:
    """Labels of the second collection in class ids of the first, matched by name.

    Raises:
        EpisodeError: If the second collection has a class that the first lacks.
    """
    ids = {name: k for k, name in enumerate(collection.class_names)}
    absent = sorted(set(queries.class_names) - set(ids))
    if absent:
        raise EpisodeError(f"both collections need the same class names, got only in the second: {absent[:5]}")
    matched: np.ndarray = np.array([ids[name] for name in queries.class_names])[queries.labels]
    return matched


def make_sampler(collection: Collection, spec: EpisodeSpec, seed: int, queries: Collection | None) -> EpisodeSampler:
    """The list of episodes of a collection, or of two.

    Raises:
        EpisodeError: If the classes do not match, or are too few or too small.
    """
    other = None if queries is None else labels_in(collection, queries)
    names, groups = collection.class_names, collection.groups
    return EpisodeSampler(collection.labels, spec, seed, class_names=names, groups=groups, query_labels=other)


def manifest_of(
    sampler: EpisodeSampler | FixedEpisodes, count: int, collection: Collection, queries: Collection | None
) -> str:
    """The manifest of a record; a second collection is part of it by its hash, so that only equal queries are compared."""
    names: list[Any] = [*(collection.item_names or ())]
    return sampler.manifest(0, count, names if queries is None else [*names, "queries", queries.hash])


def same_part(queries: Collection, split: str | None) -> Collection:
    """The split of a second collection that the first one has too; all of it where it has no splits.

    Raises:
        UnknownNameError: If it has splits, and none of that name.
    """
    return queries if split is None or not queries.splits else queries.split(split)
