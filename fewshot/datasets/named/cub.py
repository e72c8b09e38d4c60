"""CUB-200-2011: 11,788 photos of 200 kinds of birds, with boxes around the bird and attributes of each kind.

Wah, Branson, Welinder, Perona and Belongie, "The Caltech-UCSD Birds-200-2011 Dataset", 2011, data.caltech.edu/records/65de6-vp158;
for non-commercial research and education.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.pixels import decode, decoded
from fewshot.datasets.formats.resizing import key_of, resizer
from fewshot.datasets.formats.trees import Tree
from fewshot.datasets.location import data_root
from fewshot.errors import DataError, MissingDataError
from fewshot.plumbing.names import unknown
from fewshot.plumbing.reading import in_one_sentence

SPLITS = ("chen2019", "easyfsl", "feat")
CLASSES, IMAGES = 200, 11788
FOLDER = "CUB_200_2011"
ATTRIBUTES = "attributes/class_attribute_labels_continuous.txt"
Box = tuple[float, float, float, float]


def load_cub(split: str = "chen2019", resize: str = "direct", boxes: bool = False, size: int = 84) -> Collection:
    """CUB from ``$FEWSHOT_DATA/cub/CUB_200_2011`` as RGB ``(11788, 3, size, size)``.

    Descriptors are the 312 attributes of each class in percent, ``(200, 312)``, where the file is there.

    Args:
        split: ``"chen2019"`` (100 / 50 / 50 classes by their number), ``"easyfsl"`` (140 / 30 / 30, drawn at random) or ``"feat"`` (100 /
            50 / 50 of Ye et al., 2020, drawn at random). Some test classes of each are training classes of the others: figures of one do
            not compare with those of another.
        resize: ``"direct"``, ``"crop"`` or ``"none"``; see `fewshot.datasets.formats.resizing`.
        boxes: Cut out the bird's box first, as Ye et al. (2020) do.
        size: Side of the images in pixels.

    Raises:
        MissingDataError: If a file is not there.
        UnknownNameError: If there is no such split or pipeline.
        DataError: If classes, images, boxes or attributes are not those of CUB.
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    resizer(resize)
    root = data_root("cub")
    folder = root / FOLDER if (root / FOLDER).is_dir() else root
    names = [line[0] for line in _numbered(folder / "classes.txt", CLASSES)]
    images = [line[0] for line in _numbered(folder / "images.txt", IMAGES)]
    labels = _labels(folder, images, names)
    rows = load_class_split(f"cub-{split}").rows(labels, tuple(names))
    cut = [_box(line) for line in _numbered(folder / "bounding_boxes.txt", IMAGES)] if boxes else None
    return Collection(
        _pixels(Tree(folder / "images"), images, cut, resize, size),
        labels,
        tuple(names),
        f"cub-{split}" + ("-boxes" if boxes else ""),
        "cub",
        images,
        descriptors=_attributes(folder / ATTRIBUTES),
        splits=rows,
    )


def _numbered(path: Path, count: int) -> list[list[str]]:
    """What follows the number in each line of a list; numbers count from 1."""
    if not path.is_file():
        raise MissingDataError(f"CUB needs the file '{path}', got none; extract CUB_200_2011.tgz there")
    with in_one_sentence(f"'{path}' must be text in UTF-8", "extract it again"):
        lines = [line.split() for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    if [line[0] for line in lines] != [str(k) for k in range(1, count + 1)] or min(map(len, lines), default=0) < 2:
        raise DataError(f"'{path}' must have {count} numbered lines, got {len(lines)}, or others; extract it again")
    return [line[1:] for line in lines]


def _labels(folder: Path, images: list[str], names: list[str]) -> np.ndarray:
    """Classes by ``image_class_labels.txt``, which must agree with the folders of the images."""
    listed = folder / "image_class_labels.txt"
    with in_one_sentence(f"'{listed}' must hold the number of a class for each image", "extract it again"):
        numbers = [int(line[0]) - 1 for line in _numbered(listed, len(images))]
    for image, number in zip(images, numbers, strict=True):
        if not 0 <= number < len(names) or image.split("/")[0] != names[number]:
            raise DataError(
                f"every image of CUB must lie in the folder of its class, got '{image}' in class {number + 1}"
            )
    return np.array(numbers, np.int64)


def _box(line: list[str]) -> Box:
    with in_one_sentence(
        "a box of CUB must be four numbers, left, top, width and height", "extract bounding_boxes.txt again"
    ):
        left, top, width, height = map(float, line)
    if not (math.isfinite(left + top + width + height) and left >= 0 and top >= 0 and width > 0 and height > 0):
        raise DataError(
            f"a box of CUB must have sides in an image, got {' '.join(line)}; extract bounding_boxes.txt again"
        )
    return left, top, left + width, top + height


def _attributes(path: Path) -> np.ndarray | None:
    if not path.is_file():
        return None
    with in_one_sentence(f"'{path}' must be a table of numbers", "extract it again"):
        table = np.loadtxt(path, np.float32, ndmin=2)
    if len(table) != CLASSES or not np.isfinite(table).all():
        raise DataError(f"'{path}' must have a row of numbers for each of {CLASSES} classes, got shape {table.shape}")
    return table


def _pixels(tree: Tree, images: list[str], boxes: list[Box] | None, resize: str, size: int) -> np.ndarray:
    make, key = resizer(resize), [*key_of(resize, size), *map(str, boxes or [])]

    def pixels() -> Iterator[np.ndarray]:
        for k, (name, content) in enumerate(tree.read(images)):
            image = decode(content, name)
            yield make(image if boxes is None else within(image, boxes[k]), size, name)

    return decoded("cub", [*key, *tree.stamps(images)], (len(images), 3, size, size), pixels)


def within(image: Image.Image, box: Box) -> Image.Image:
    """The part of an image in a box (left, top, right, bottom), whose sides are moved out to whole pixels of the image."""
    left, top, right, bottom = box
    return image.crop(
        (max(0, int(left)), max(0, int(top)), min(image.width, math.ceil(right)), min(image.height, math.ceil(bottom)))
    )
