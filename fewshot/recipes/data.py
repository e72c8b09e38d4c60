"""The data of a recipe's row: all of them, the part that is queried, and a second collection for queries."""

from dataclasses import dataclass

import numpy as np

from fewshot.datasets.class_splits import HALF, halved
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.errors import DataError
from fewshot.recipes.schema import Recipe, Row
from fewshot.tasks.target import same_part


@dataclass(frozen=True, eq=False)
class RowData:
    """What a row is evaluated on.

    Attributes:
        whole: All of the data, with their splits.
        novel: The part whose classes are queried.
        queries: The second collection that queries and pool come from, where there is one.
        notes: For the record: which classes were left out.
    """

    whole: Collection
    novel: Collection
    queries: Collection | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, recipe: Recipe, row: Row, whole: Collection | None = None) -> "RowData":
        """Load what a row needs.

        Args:
            recipe: Of one learner.
            row: One of its rows.
            whole: All of the data, where they are loaded.

        Raises:
            DataError: If data are not there, or damaged, or no class is large enough.
            UnknownNameError: If they have no such split.
        """
        section = recipe.evaluation
        if whole is None:
            name, options = recipe.asked(row)
            whole = with_halves(load_dataset(name, **options), section.split)
        novel = whole if section.split is None or section.ask else whole.split(section.split)
        return _with_enough(cls(whole, novel, load_queries(recipe)), section.min_items)


def with_halves(data: Collection, split: str | None) -> Collection:
    """The data; where they have no splits and half of their classes is named, with both halves as splits."""
    half = HALF.fullmatch(split or "")
    return data if data.splits or half is None else halved(data, int(half[2]))


def load_queries(recipe: Recipe) -> Collection | None:
    """The second collection, where a recipe names one: the split that is queried of the first, or all of it.

    Raises:
        DataError: If it is not there, or damaged.
        UnknownNameError: If it has splits, and none of that name.
    """
    section = recipe.evaluation
    if section.queries is None:
        return None
    return same_part(load_dataset(section.queries, **section.queries_options), section.split)


def _with_enough(data: RowData, least: int) -> RowData:
    """The same without the classes that have fewer items than ``least``, in the one collection or the other."""
    if not least:
        return data
    small = _small(data.novel, data.novel, least)
    if data.queries is not None:
        small |= _small(data.novel, data.queries, least)
    if not small:
        return data
    kept = [name for name in data.novel.class_names if name not in small]
    if not kept:
        raise DataError(f"a class of '{data.novel.name}' must have {least} items or more, got none; lower min_items")
    told = ", ".join(sorted(small)[:5]) + (", ..." if len(small) > 5 else "")
    note = f"left out: {len(small)} of {len(data.novel.class_names)} classes with fewer than {least} items ({told})"
    queries = None if data.queries is None else _without(data.queries, small)
    return RowData(data.whole, data.novel.with_classes(kept), queries, (note,))


def _small(known: Collection, one: Collection, least: int) -> set[str]:
    """Names of the classes of the first collection that have too few items, or none, in the second."""
    counts = dict(zip(one.class_names, np.bincount(one.labels, minlength=len(one.class_names)).tolist(), strict=True))
    return {name for name in known.class_names if counts.get(name, 0) < least}


def _without(one: Collection, names: set[str]) -> Collection:
    return one.with_classes([name for name in one.class_names if name not in names])
