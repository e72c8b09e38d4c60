"""miniImageNet: 60,000 photos of 100 classes of ILSVRC-2012, 600 each, at 84 pixels.

Vinyals et al., "Matching Networks for One Shot Learning", NeurIPS 2016; split of Ravi and Larochelle, ICLR 2017
(``data/splits/mini-imagenet.yaml``). The images are ImageNet's: for non-commercial research, under the terms of image-net.org.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.image_caches import cache_pixels, read_caches
from fewshot.datasets.formats.image_lists import read_folders, read_lists
from fewshot.datasets.formats.resizing import read_images, resizer
from fewshot.datasets.formats.trees import Tree
from fewshot.datasets.location import data_root
from fewshot.datasets.parts import PARTS, Part, check_images, collect
from fewshot.errors import MissingDataError
from fewshot.plumbing.names import unknown

IMAGES = 600  # of each class
SIDE = 84
CACHE = "mini-imagenet-cache-{}.pkl"
Found = tuple[dict[str, Part], Callable[[], np.ndarray]]


def load_mini_imagenet(split: str = "ravi", resize: str = "direct") -> Collection:
    """Photos of 100 classes from ``$FEWSHOT_DATA/mini-imagenet`` as RGB ``(60000, 3, 84, 84)``, 64 / 16 / 20 classes.

    The folder has one of four forms: the caches ``mini-imagenet-cache-train.pkl``, ``-val`` and ``-test``; ``images/`` with
    ``train.csv``, ``val.csv`` and ``test.csv`` of Ravi; folders ``train``, ``val`` and ``test`` with a folder of images for each
    class; or class folders of ILSVRC with three lists of its file names. Classes are compared with the published lists.

    Args:
        split: ``"ravi"``; the 80 / 20 split of Vinyals et al. is not in use.
        resize: ``"direct"`` stretches an image to 84 x 84; ``"crop"`` resizes the shorter side to 92 and cuts out the centre;
            ``"none"`` takes pixels that are 84 x 84 already. The filter is bilinear; see `fewshot.datasets.formats.resizing`.

    Raises:
        MissingDataError: If none of the forms is there, or a list names an image that is not.
        UnknownNameError: If there is no such split or pipeline.
        DataError: If the classes are not the published ones, a class has not 600 images, or a file is damaged.
    """
    if split != "ravi":
        raise unknown("split", split, ["ravi"])
    resizer(resize)
    parts, pixels = _find(data_root("mini-imagenet"), resize)
    load_class_split("mini-imagenet").check({part: found.classes for part, found in parts.items()})
    check_images(parts, IMAGES)
    return collect("mini-imagenet-ravi", "imagenet", parts, pixels())


def _find(folder: Path, resize: str) -> Found:
    """What the files name, and how to get the pixels."""
    if (folder / CACHE.format("train")).is_file():
        files = {part: _cache(folder, part) for part in PARTS}
        parts = read_caches(files)
        return parts, lambda: cache_pixels(
            "mini-imagenet", files, sum(len(p.names) for p in parts.values()), resize, SIDE
        )
    if (folder / "train.csv").is_file():
        tree = Tree(folder / "images" if (folder / "images").is_dir() else folder)
        parts, names = read_lists(folder, tree.path)
    elif (folder / "train").is_dir():
        tree = Tree(folder)
        parts, names = read_folders(tree)
    else:
        raise MissingDataError(
            f"'{folder}' must hold {CACHE.format('train')}, or train.csv with images/ or class folders, or train/ with class "
            "folders, and the same of val and test, got none of them; data/README.md says where they come from"
        )
    return parts, lambda: read_images(tree, names, SIDE, resize)


def _cache(folder: Path, part: str) -> Path:
    other = folder / CACHE.format("validation")
    return other if part == "val" and other.is_file() else folder / CACHE.format(part)
