"""Collections from datasets of torch and torchvision."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.pixels import square
from fewshot.errors import DataError

NUMBERS = "fiub"  # kinds of numbers, which may meet in one array


def from_torch(dataset: Any, name: str | None = None, size: int = 84) -> Collection:
    """A collection from any map-style torch ``Dataset``, each item read exactly once.

    Labels are those that come with the items, as a ``target_transform`` makes them; where none come, ``dataset.targets`` or
    ``dataset.labels``. Class names come from ``dataset.classes`` where labels number it and nothing has changed them. A random
    transform in the dataset is thereby drawn once and frozen.

    Args:
        dataset: Has ``len`` and gives ``(item, label)`` or ``item``; items are images, tensors or arrays.
        name: What to call it in records; the name of the dataset's type when left out.
        size: Side of images in pixels; tensors and arrays stay as they are.

    Raises:
        DataError: If it is a loader or has no length, there are no labels, a label is neither number nor text, an item is of
            another kind, or items differ in shape; the item is named.
    """
    _require_map_style(dataset)
    items, labels = _read(dataset, size)
    targets = next((v for n in ("targets", "labels") if (v := getattr(dataset, n, None)) is not None), None)
    own = _labels(labels, len(items), targets, type(dataset).__name__)
    made = Collection.from_arrays(items, own, name=name or type(dataset).__name__.lower())
    return _named(made, getattr(dataset, "classes", None)) if _numbers_classes(dataset, own, targets) else made


def _require_map_style(dataset: Any) -> None:
    if hasattr(dataset, "batch_sampler"):
        raise DataError(f"from_torch takes a dataset, got a {type(dataset).__name__}; pass its .dataset")
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DataError(
            f"a dataset must have a length and give items by number, got {type(dataset).__name__}; pass list(dataset)"
        )


def _labels(found: list[Any], count: int, targets: Any, kind: str) -> Any:
    """Labels that came with the items where all are labels, else those of the dataset.

    Raises:
        DataError: If there are none, or one is neither a number nor a text; the item is named.
    """
    odd = next((i for i, label in enumerate(found) if not _is_label(label)), None)
    if len(found) == count and odd is None:
        return found
    if targets is not None:
        return targets
    if odd is not None:
        raise DataError(
            f"a label must be one number or text, got {_described(found[odd])} in item {odd} of {kind}; let a target_transform "
            "choose one, such as argmax for one-hot vectors"
        )
    raise DataError(
        f"every item needs a label, got {len(found)} labels for {count} items of {kind}; "
        "give the dataset a 'targets', or let it return (item, label)"
    )


def _is_label(label: Any) -> bool:
    return isinstance(label, (str, bytes, bool, int, float))


def _described(label: Any) -> str:
    shape = f" of shape {tuple(label.shape)}" if hasattr(label, "shape") else ""
    return f"a {type(label).__name__}{shape}"


def _numbers_classes(dataset: Any, labels: Any, targets: Any) -> bool:
    """Whether labels are still numbers of ``dataset.classes``: they equal the targets, and nothing transforms them."""
    if targets is None:
        return getattr(dataset, "target_transform", None) is None
    known = [_plain(target) for target in targets]
    return len(known) == len(labels) and all(_plain(a) == b for a, b in zip(labels, known, strict=True))


def _read(dataset: Any, size: int) -> tuple[Any, list[Any]]:
    """Items as one array or tensor, filled as they come, and the labels that came with them."""
    store: Any = None
    labels = []
    for i, (item, label) in enumerate(_pairs(dataset, size)):
        store = _empty(item, len(dataset)) if store is None else _wide_enough(store, item, i)
        if tuple(item.shape) != tuple(store.shape[1:]):
            raise DataError(
                f"items must have one shape, got {tuple(item.shape)} after {tuple(store.shape[1:])} in item {i}"
            )
        store[i] = item
        labels += label
    if store is None:
        raise DataError(f"a dataset needs at least one item, got none in {type(dataset).__name__}")
    return store, labels


def _empty(item: Any, count: int) -> Any:
    if isinstance(item, Tensor):
        return item.new_empty((count, *item.shape))
    return np.empty((count, *item.shape), np.dtypes.StringDType() if item.dtype.kind == "U" else item.dtype)


def _wide_enough(store: Any, item: Any, i: int) -> Any:
    """The store in a number type that holds the next item, too.

    Raises:
        DataError: If bytes, which are pixels in 0..255, meet other numbers, or numbers meet texts; the item is named.
    """
    if store.dtype == item.dtype or (
        not isinstance(store, Tensor) and store.dtype.kind == "T" and item.dtype.kind == "U"
    ):
        return store
    tensors = isinstance(store, Tensor), isinstance(item, Tensor)
    numbers = all(isinstance(x, Tensor) or x.dtype.kind in NUMBERS for x in (store, item))
    bytes_ = sum("uint8" in str(x.dtype) for x in (store, item))
    if tensors[0] != tensors[1] or not numbers or bytes_ == 1:
        raise DataError(
            f"items must be of one number type, or all texts, got {item.dtype} after {store.dtype} in item {i}; convert them"
        )
    if tensors[0]:
        return store.to(torch.promote_types(store.dtype, item.dtype))
    return store.astype(np.result_type(store.dtype, item.dtype))


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
        yield item, [_plain(v) for v in label[:1]]


def _plain(label: Any) -> Any:
    """A number or text out of an array of one."""
    one = isinstance(label, (Tensor, np.ndarray, np.generic)) and int(np.prod(label.shape)) == 1
    return label.item() if one else label


def _named(collection: Collection, classes: Any) -> Collection:
    """The same collection with the dataset's names for its numbered classes."""
    numbers = collection.class_names
    if classes is None or not all(n.isdigit() and int(n) < len(classes) for n in numbers):
        return collection
    return replace(collection, class_names=tuple(str(classes[int(n)]) for n in numbers))
