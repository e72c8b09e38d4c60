"""Caches of miniImageNet: a pickle a part, with ``image_data`` (n, 84, 84, 3) and ``class_dict``, the rows of each class."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fewshot.datasets.formats.pickles import entry, read_pickle, whole_numbers
from fewshot.datasets.formats.pixels import decoded, stamp
from fewshot.datasets.formats.resizing import key_of, resizer
from fewshot.datasets.parts import Part
from fewshot.errors import DataError


def read_caches(files: Mapping[str, Path]) -> dict[str, Part]:
    """Classes and names of the images of each part; the pixels are let go.

    Raises:
        MissingDataError: If a file is not there.
        DataError: If it is no such cache.
    """
    return {part: _part(part, path, stamp(path) if path.is_file() else "") for part, path in files.items()}


@lru_cache(maxsize=6)
def _part(part: str, path: Path, unchanged: str) -> Part:
    """A part; a pickle of a gigabyte is read once in a process, as long as its stamp is unchanged."""
    content = read_pickle(path)
    count = len(_images(content, path))
    classes = _classes(entry(content, "class_dict", str(path)), count, path)
    return Part(classes, [f"{part}/{row}" for row in range(count)])


def _images(content: Any, path: Path) -> np.ndarray:
    images: Any = entry(content, "image_data", str(path))
    if (
        not isinstance(images, np.ndarray)
        or images.dtype != np.uint8
        or images.ndim != 4
        or images.shape[3] != 3
        or 0 in images.shape[1:]
    ):
        got = f"{images.dtype}{images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise DataError(f"'{path}' must hold 'image_data' as uint8 (n, height, width, 3), got {got}; fetch it again")
    return images.view(np.uint8)  # a type that a pickle gives the order of its one byte is equal, but strange to Pillow


def _classes(rows_of: Any, count: int, path: Path) -> list[str]:
    """The class of each row; every row must have exactly one."""
    if not isinstance(rows_of, dict):
        raise DataError(
            f"'{path}' must hold 'class_dict' as a dict of rows, got {type(rows_of).__name__}; fetch it again"
        )
    known = {str(name): whole_numbers(rows, "class_dict", str(path)) for name, rows in rows_of.items()}
    names = [name for name, rows in known.items() for _ in rows]
    rows = np.concatenate([np.zeros(0, np.int64), *known.values()])
    if sorted(rows.tolist()) != list(range(count)):
        raise DataError(
            f"'{path}' must give each of its {count} images one class, got {len(rows)} rows in 'class_dict', "
            f"{len(np.unique(rows))} different; fetch it again"
        )
    return [names[k] for k in np.argsort(rows).tolist()]


def cache_pixels(name: str, files: Mapping[str, Path], count: int, resize: str, size: int) -> np.ndarray:
    """Pixels ``(n, 3, size, size)`` of all parts, memory-mapped; read from the pickles only if the cache folder has none.

    Args:
        name: Readable part of the file name.
        files: The pickle of each part.
        count: Images in all.
        resize: Name of a pipeline; see `fewshot.datasets.formats.resizing`.
        size: Side in pixels.

    Raises:
        DataError: If ``resize`` is ``"none"`` and an image has another size.
    """
    make = resizer(resize)

    def pixels() -> Iterator[np.ndarray]:
        for path in files.values():
            for row, image in enumerate(_images(read_pickle(path), path)):
                yield make(Image.fromarray(image), size, f"{path}:{row}")

    source = [*key_of(resize, size), *map(stamp, files.values())]
    return decoded(name, source, (count, 3, size, size), pixels)
