"""Published image data in parts that share no class: what the files name, and the collection of it."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.published_texts import rows_of
from fewshot.errors import DataError

PARTS = ("train", "val", "test")


class Part(NamedTuple):
    """Images of one part, in the order of the files.

    Attributes:
        classes: Name of each image's class.
        names: Name of each image.
    """

    classes: list[str]
    names: list[str]


def collect(name: str, origin: str, parts: Mapping[str, Part], items: np.ndarray) -> Collection:
    """A collection of the parts, one after the other; each is a split.

    Args:
        name: What to call it in records.
        origin: What the class names belong to.
        parts: What the files name.
        items: Pixels of all parts, in the same order.
    """
    classes = [label for part in parts.values() for label in part.classes]
    known, labels = np.unique(classes, return_inverse=True)
    return Collection(
        items,
        labels.astype(np.int64),
        tuple(known.tolist()),
        name,
        origin,
        item_names=[image for part in parts.values() for image in part.names],
        splits=rows_of({key: part.names for key, part in parts.items()}),
    )


def check_images(parts: Mapping[str, Part], each: int) -> None:
    """Let parts pass only if every class has so many images.

    Raises:
        DataError: If one has not; it is named.
    """
    for part, (classes, _) in parts.items():
        for label, count in zip(*np.unique(classes, return_counts=True), strict=True):
            if count != each:
                raise DataError(
                    f"every class must have {each} images, got {count} of '{label}' in '{part}'; take the published files"
                )
