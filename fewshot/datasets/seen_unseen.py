"""Splits of zero-shot data: items of seen classes to learn from, unseen classes, and parts for choosing options.

The files of Xian et al. (2017) set a trap: ``train_loc`` and ``val_loc`` together hold the items of ``test_seen_loc``, too. So the
parts for choosing are taken from ``trainval_loc`` only. And everything counts from 1.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.matlab import from_one, numbers_of
from fewshot.errors import DataError

EVERY = 5  # of the items of a class, one in five is held out; of the seen classes, one in five validates


def seen_unseen(splits: dict[str, Any], labels: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Rows of each split, in rising order.

    Raises:
        DataError: If an unseen class has items in ``trainval``, a seen one has none there, or a test item is among them.
    """
    known = {key: numbers_of(splits, key).ravel() for key in ("trainval_loc", "test_seen_loc", "test_unseen_loc")}
    rows = {key: np.sort(from_one(value, len(labels), key)) for key, value in known.items()}
    seen, unseen, held_out = rows["trainval_loc"], rows["test_unseen_loc"], rows["test_seen_loc"]
    both = np.intersect1d(labels[seen], labels[unseen])
    if len(both):
        raise DataError(
            f"unseen classes must have no item in trainval_loc, got '{names[both[0]]}' in both; "
            "look whether positions or labels count from 0"
        )
    strange = np.setdiff1d(labels[held_out], labels[seen])
    if len(strange):
        raise DataError(f"classes of test_seen_loc must have items in trainval_loc, got none of '{names[strange[0]]}'")
    if len(np.intersect1d(seen, held_out)):
        raise DataError(f"test_seen_loc must share no item with trainval_loc, got {np.intersect1d(seen, held_out)[0]}")
    return {"trainval": seen, "test": unseen, "test-seen": held_out} | choosing(
        seen, labels, _validating(splits, labels, seen, names)
    )


def with_choosing(data: Collection, wanted: Iterable[str], base: str = "trainval") -> Collection:
    """The collection with those splits for choosing that are wanted and not there, cut from the items of the seen classes.

    Every fifth seen class by name validates, where there is no split ``val``; of the others, every fifth item is held out.

    Args:
        data: A collection of any origin.
        wanted: Names of splits.
        base: The split with the items of the seen classes.

    Raises:
        DataError: If there are fewer than five seen classes, so that none can validate.
    """
    absent = sorted({"train", "val", "train-fit", "train-held-out"} & set(wanted) - set(data.splits))
    if not absent or base not in data.splits:
        return data
    seen = data.splits[base]
    classes = np.unique(data.labels[seen])
    given = data.splits.get("val")
    validating = _every_fifth(classes, data.class_names) if given is None else np.unique(data.labels[given])
    if not len(validating):
        raise DataError(
            f"choosing on validation classes needs {EVERY} seen classes or a split 'val', got {len(classes)} in '{base}'; "
            "give options, and gamma, instead"
        )
    return replace(data, splits=choosing(seen, data.labels, validating) | dict(data.splits))


def _validating(splits: dict[str, Any], labels: np.ndarray, seen: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Class ids of the validation classes: the published ones, or every fifth seen class in order of the names."""
    if "val_loc" in splits:
        published = from_one(numbers_of(splits, "val_loc").ravel(), len(labels), "val_loc")
        return np.intersect1d(labels[published], labels[seen])
    return _every_fifth(np.unique(labels[seen]), names)


def _every_fifth(classes: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    ordered = sorted(classes.tolist(), key=lambda c: names[c])
    return np.sort(np.array(ordered[EVERY - 1 :: EVERY], np.int64))


def choosing(seen: np.ndarray, labels: np.ndarray, validating: np.ndarray) -> dict[str, np.ndarray]:
    """The splits inside the items of the seen classes that serve to choose options.

    Args:
        seen: Rows of the items of seen classes.
        labels: Of all items.
        validating: Classes that validate.
    """
    is_val = np.isin(labels[seen], validating)
    train = seen[~is_val]
    order = np.argsort(labels[train], kind="stable")
    starts = np.searchsorted(labels[train][order], labels[train][order])
    within = np.empty(len(train), np.int64)
    within[order] = np.arange(len(train)) - starts  # the how-manieth item of its class
    out = within % EVERY == EVERY - 1
    return {"train": train, "val": seen[is_val], "train-fit": train[~out], "train-held-out": train[out]}
