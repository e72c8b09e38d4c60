"""Collections from datasets of torch and torchvision."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from fewshot.datasets.collection import Collection
from fewshot.datasets.pixels import square
from fewshot.errors import DataError


def from_torch(dataset: Any, name: str | None = None, size: int = 84) -> Collection:
    """A collection from any map-style torch ``Dataset``, each item read exactly once.

    Labels are the second part of each item, so that a ``target_transform`` is heeded, or else those of
    ``dataset.targets`` or ``dataset.labels``; class names come from ``dataset.classes`` where labels number it
    and were not transformed. A random transform in the dataset is thereby drawn once and frozen.

    Args:
        dataset: Has ``len`` and gives ``(item, label)`` or ``item``; items are images, tensors or arrays.
        name: What to call it in records; the name of the dataset's type when left out.
        size: Side of images in pixels; tensors and arrays stay as they are.

    Raises:
        DataError: If there are no labels, or several an item, an item is of another kind, or items differ in shape;
            the item is named.
    """
    items, labels = _read(dataset, size)
    given = _listed(dataset)
    own = labels if len(labels) == len(items) else given
    if own is None:
        raise DataError(
            f"every item needs a label, got {len(labels)} labels for {len(items)} items of {type(dataset).__name__}; "
            "give the dataset a 'targets', or let it return (item, label)"
        )
    collection = Collection.from_arrays(items, own, name=name or type(dataset).__name__.lower())
    transformed = given is not None and own != given
    return collection if transformed else _named(collection, getattr(dataset, "classes", None))


def _listed(dataset: Any) -> list[Any] | None:
    """The labels that a dataset lists beside its items, where it does."""
    for name in ("targets", "labels"):
        given = getattr(dataset, name, None)
        if given is not None and not callable(given):
            return list(given.tolist() if isinstance(given, (Tensor, np.ndarray)) else map(_plain, given))
    return None


def _read(dataset: Any, size: int) -> tuple[Any, list[Any]]:
    """Items as one array or tensor, filled as they come, and the labels that came with them."""
    store: Any = None
    labels = []
    for i, (item, label) in enumerate(_pairs(dataset, size)):
        if store is None:
            store = (
                item.new_empty((len(dataset), *item.shape)) if isinstance(item, Tensor) else _like(item, len(dataset))
            )
        if tuple(item.shape) != tuple(store.shape[1:]):
            raise DataError(
                f"items must have one shape, got {tuple(item.shape)} after {tuple(store.shape[1:])} in item {i}"
            )
        store[i] = item
        labels += label
    if store is None:
        raise DataError(f"a dataset needs at least one item, got none in {type(dataset).__name__}")
    return store, labels


def _like(item: np.ndarray, count: int) -> np.ndarray:
    return np.empty((count, *item.shape), np.dtypes.StringDType() if item.dtype.kind == "U" else item.dtype)


def _pairs(dataset: Any, size: int) -> Iterator[tuple[Any, list[Any]]]:
    for i in range(len(dataset)):
        got = dataset[i]
        item, *label = got if isinstance(got, (tuple, list)) else (got,)
        if isinstance(item, Image.Image):
            item = square(item, size, f"item {i}")
        elif isinstance(item, Tensor):
            item = item.detach().cpu()
        elif isinstance(item, (str, np.ndarray, np.generic, float, int)):
            item = np.asarray(item)
        else:
            raise DataError(
                f"an item must be an image, a tensor, an array or a text, got {type(item).__name__} in item {i}; "
                "let the dataset return (item, label)"
            )
        yield item, [_one(v, i) for v in label[:1]]


def _one(label: Any, item: int) -> Any:
    """The label of an item as Python's own value."""
    if math.prod(getattr(label, "shape", ())) != 1:
        raise DataError(
            f"every item needs one label, got an array of shape {tuple(label.shape)} with item {item}; "
            "give the dataset a target_transform, such as lambda v: int(v.argmax()) on one-hot rows"
        )
    return _plain(label)


def _plain(label: Any) -> Any:
    return (
        label.item() if isinstance(label, (Tensor, np.ndarray, np.generic)) and math.prod(label.shape) == 1 else label
    )


def _named(collection: Collection, classes: Any) -> Collection:
    """The same collection with the dataset's names for its numbered classes."""
    numbers = collection.class_names
    if classes is None or not all(n.isdigit() and int(n) < len(classes) for n in numbers):
        return collection
    return replace(collection, class_names=tuple(str(classes[int(n)]) for n in numbers))
