"""How an image comes to its size: the pipelines of few-shot papers differ, and so do their figures.

All filters are Pillow's bilinear one, which averages when it shrinks.
"""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from fewshot.datasets.formats.pixels import SQUARE, channels_first, decode, decoded, rgb, square
from fewshot.datasets.formats.trees import Tree
from fewshot.errors import DataError
from fewshot.plumbing.names import unknown

MARGIN = 92 / 84  # of "crop": what the shorter side has before the centre of 84 pixels is cut out
Resize = Callable[[Image.Image, int, str], np.ndarray]


def direct(image: Image.Image, size: int, name: str) -> np.ndarray:
    """The whole image stretched to ``(3, size, size)``."""
    return channels_first(rgb(image, name).resize((size, size), Image.Resampling.BILINEAR))


def crop(image: Image.Image, size: int, name: str) -> np.ndarray:
    """The shorter side to 92 pixels (for 84), then the centre ``(3, size, size)``."""
    upright, least = rgb(image, name), round(size * MARGIN)
    width, height = (int(least * length / min(upright.size)) for length in upright.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    large = upright.resize((width, height), Image.Resampling.BILINEAR)
    return channels_first(large.crop((left, top, left + size, top + size)))


def unchanged(image: Image.Image, size: int, name: str) -> np.ndarray:
    """The pixels ``(3, size, size)`` as they are.

    Raises:
        DataError: If the image has another size.
    """
    if image.size != (size, size):
        raise DataError(
            f"images that are not resized must have {size} x {size} pixels, got {image.size[0]} x {image.size[1]} "
            f"in '{name}'; choose resize='direct' or 'crop'"
        )
    return channels_first(rgb(image, name))


RESIZES: dict[str, Resize] = {"direct": direct, "crop": crop, "none": unchanged, "square": square}


def resizer(resize: str) -> Resize:
    """The pipeline of a name.

    Raises:
        UnknownNameError: If there is no such pipeline.
    """
    if resize not in RESIZES:
        raise unknown("resize", resize, RESIZES)
    return RESIZES[resize]


def key_of(resize: str, size: int) -> list[str]:
    """What pixels depend on beside the files, for the cache."""
    return [SQUARE if resize == "square" else f"rgb-{resize}-1", f"size={size}"]


def deep_key(images: list[str]) -> list[str]:
    """A further part of the key where an image may have more than 8 bits, which JPEG's never have: it names how those are read."""
    return [] if all(name.lower().endswith((".jpg", ".jpeg")) for name in images) else ["bits-in-use"]


def read_images(tree: Tree, images: list[str], size: int, resize: str = "square") -> np.ndarray:
    """Pixels ``(n, 3, size, size)`` of the named images, memory-mapped; decoded only if the cache has none.

    Raises:
        UnknownNameError: If there is no such pipeline.
        DataError: If an image cannot be read.
    """
    make = resizer(resize)

    def pixels() -> Iterator[np.ndarray]:
        return (make(decode(content, name), size, name) for name, content in tree.read(images))

    source = [*key_of(resize, size), *deep_key(images), *tree.stamps(images)]
    return decoded(tree.path.stem, source, (len(images), 3, size, size), pixels)
