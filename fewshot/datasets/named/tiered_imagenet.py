"""tieredImageNet: 608 classes of ILSVRC-2012 in parts that share no super-category, 351 / 97 / 160.

Ren et al., "Meta-Learning for Semi-Supervised Few-Shot Classification", ICLR 2018, github.com/renmengye/few-shot-ssl-public.
The images are ImageNet's: for non-commercial research, under the terms of image-net.org.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.image_lists import read_folders
from fewshot.datasets.formats.pickles import entry, read_pickle, texts, whole_numbers
from fewshot.datasets.formats.pixels import decode, decoded, stamp
from fewshot.datasets.formats.resizing import key_of, read_images, resizer
from fewshot.datasets.formats.trees import Tree
from fewshot.datasets.location import data_root
from fewshot.datasets.parts import PARTS, Part, collect
from fewshot.errors import DataError, MissingDataError
from fewshot.plumbing.reading import in_one_sentence

COUNTS = {"train": 351, "val": 97, "test": 160}  # classes
SIDE = 84


class _Labels(NamedTuple):
    """What ``*_labels.pkl`` says: the class of each image, and name and super-category of each class."""

    numbers: np.ndarray
    names: list[str]
    groups: list[str]


def load_tiered_imagenet(resize: str = "direct") -> Collection:
    """Photos of 608 classes from ``$FEWSHOT_DATA/tiered-imagenet`` as RGB ``(n, 3, 84, 84)``; the split is that of the files.

    WordNet ids of folders are compared with the published lists; the pickles name classes by words, so only their number is known.

    The folder has ``train_images_png.pkl`` and ``train_labels.pkl`` and the same of ``val`` and ``test``, or folders of these
    three names with a folder of images for each class, called by its WordNet id. Groups are the super-categories, where the pickles name them. Of classes
    that are called the same, part and number are in the name.

    Args:
        resize: ``"direct"``, ``"crop"`` or ``"none"``; see `fewshot.datasets.formats.resizing`.

    Raises:
        MissingDataError: If neither form is there.
        UnknownNameError: If there is no such pipeline.
        DataError: If the parts have not the 351, 97 and 160 classes, or a file is damaged.
    """
    resizer(resize)
    folder = data_root("tiered-imagenet")
    if (folder / "train_labels.pkl").is_file():
        return _from_pickles(folder, resize)
    if not (folder / "train").is_dir():
        raise MissingDataError(
            f"'{folder}' must hold train_images_png.pkl and train_labels.pkl, or train/ with class folders, and the same of val "
            "and test, got neither; data/README.md says where they come from"
        )
    parts, names = read_folders(Tree(folder))
    load_class_split("tiered-imagenet").check({part: found.classes for part, found in parts.items()})
    return _collect(parts, lambda: read_images(Tree(folder), names, SIDE, resize), "imagenet")


def _collect(parts: dict[str, Part], pixels: Callable[[], np.ndarray], origin: str) -> Collection:
    found = {part: set(one.classes) for part, one in parts.items()}
    if {part: len(classes) for part, classes in found.items()} != COUNTS:
        raise DataError(
            f"tieredImageNet must have {tuple(COUNTS.values())} classes in {', '.join(COUNTS)}, "
            f"got {tuple(map(len, found.values()))}; take the published files"
        )
    return collect("tiered-imagenet", origin, parts, pixels())


def _from_pickles(folder: Path, resize: str) -> Collection:
    labels = {part: _labels(folder / f"{part}_labels.pkl") for part in PARTS}
    common = Counter(name for one in labels.values() for name in one.names)
    named = {
        part: [name if common[name] == 1 else f"{name} ({part} {k})" for k, name in enumerate(one.names)]
        for part, one in labels.items()
    }
    parts = {
        part: Part([named[part][c] for c in one.numbers.tolist()], [f"{part}/{row}" for row in range(len(one.numbers))])
        for part, one in labels.items()
    }
    data = _collect(
        parts, lambda: _pixels(folder, {part: len(one.names) for part, one in parts.items()}, resize), "tiered-imagenet"
    )
    of = {name: group for part, one in labels.items() for name, group in zip(named[part], one.groups, strict=True)}
    return replace(data, groups=np.unique([of[name] for name in data.class_names], return_inverse=True)[1])


def _labels(path: Path) -> _Labels:
    content = read_pickle(path)
    specific, general = (
        whole_numbers(entry(content, f"label_{kind}", str(path)), f"label_{kind}", str(path))
        for kind in ("specific", "general")
    )
    names, groups = (
        texts(entry(content, f"label_{kind}_str", str(path)), f"label_{kind}_str", str(path))
        for kind in ("specific", "general")
    )
    if specific.shape != general.shape or set(specific.tolist()) != set(range(len(names))) or not len(names):
        raise DataError(
            f"'{path}' must number {len(names)} classes from 0 for each image, got {len(np.unique(specific))} of "
            f"{len(specific)} images; fetch it again"
        )
    of_class = [int(general[specific == c][0]) for c in range(len(names))]
    return _Labels(specific, names, [groups[g] if 0 <= g < len(groups) else "" for g in of_class])


def _pixels(folder: Path, counts: dict[str, int], resize: str) -> np.ndarray:
    """Pixels of all parts, memory-mapped; a pickle is read only if the cache folder has none."""
    make, files = resizer(resize), {part: folder / f"{part}_images_png.pkl" for part in counts}

    def pixels() -> Iterator[np.ndarray]:
        for part, path in files.items():
            images = read_pickle(path)
            listed = isinstance(images, (list, tuple)) or (isinstance(images, np.ndarray) and images.ndim > 0)
            if not listed or len(images) != counts[part]:
                got = len(images) if listed else type(images).__name__
                raise DataError(
                    f"'{path}' must hold {counts[part]} images, as many as labels, got {got}; fetch it again"
                )
            for row, image in enumerate(images):
                yield make(decode(_bytes(image, f"{path}:{row}"), f"{path}:{row}"), SIDE, f"{path}:{row}")

    for path in files.values():
        if not path.is_file():
            raise MissingDataError(f"'{path}' must be a file of the data set, got none; fetch it")
    source = [*key_of(resize, SIDE), *map(stamp, files.values())]
    return decoded("tiered-imagenet", source, (sum(counts.values()), 3, SIDE, SIDE), pixels)


def _bytes(image: Any, name: str) -> bytes:
    """The bytes of a PNG, which OpenCV gives as an array and Python 2 as text."""
    with in_one_sentence(f"'{name}' must be the bytes of an image", "fetch it again"):
        if isinstance(image, (bytes, str)):
            return image.encode("latin1") if isinstance(image, str) else image
        return np.asarray(image, np.uint8).tobytes()
