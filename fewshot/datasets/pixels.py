"""Decoded pixels on disk: made once, memory-mapped ever after."""

import io
import os
from collections.abc import Callable, Iterable
from numbers import Integral
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fewshot.errors import DataError
from fewshot.files import cache_folder, digest, write

SQUARE = "rgb-square-2"  # part of the cache key: raise it when `square` makes other pixels of the same file


def decoded(
    name: str, source: Iterable[str], shape: tuple[int, ...], images: Callable[[], Iterable[np.ndarray]]
) -> np.ndarray:
    """A memory-mapped uint8 array, from the cache or built now, one image at a time.

    A cache file that is cut short or no array of this shape is built again. Processes that build
    the same file at once each write a whole one; the last stays.

    Args:
        name: Readable part of the file name.
        source: What the pixels depend on (files with size and time, settings): the cache key.
        shape: Of the array, ``(n, channels, height, width)``.
        images: Makes the ``n`` images, each ``(channels, height, width)``; an error in it leaves no file behind.

    Raises:
        DataError: If the cache cannot be written, or a side is no whole number of 1 or more.
    """
    if not all(isinstance(side, Integral) and side >= 1 for side in shape[2:]):
        raise DataError(
            f"the size of images must be a whole number of 1 or more pixels, got {shape[-1]!r}; 84 is usual"
        )
    shape = tuple(map(int, shape))  # NumPy's whole numbers have no place in a header
    key = digest(text.encode() for text in source)[:24]
    path = cache_folder() / "pixels" / f"{name}-{key}.npy"
    mapped = _mapped(path, shape)
    if mapped is None:
        header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": shape}

        def fill(file: IO[bytes]) -> None:
            np.lib.format.write_array_header_1_0(file, header)
            file.writelines(image.tobytes() for image in images())

        write(path, fill)
        mapped = _mapped(path, shape)
    if mapped is None:
        raise DataError(f"'{path}' must hold pixels {shape} after it was written, got others; the cache disk is faulty")
    return mapped


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in a cache file, or nothing where the file is absent, truncated or another."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def stamp(path: Path) -> str:
    """Place, size and time of a file: changes when the file does."""
    stat = os.stat(path)
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"


def decode(content: bytes, name: str) -> Image.Image:
    """An image from the bytes of a file.

    Raises:
        DataError: If the bytes are no whole image; the file is named.
    """
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise DataError(
            f"'{name}' must be a whole image file, got unreadable bytes ({error}); replace or remove it"
        ) from None
    return image


def square(image: Image.Image, size: int, name: str) -> np.ndarray:
    """RGB pixels ``(3, size, size)``: the centre, as wide as the shorter side, resized to ``size``.

    Transparent parts become white, grey becomes equal channels, 16-bit grey loses its
    lower byte, and a camera's note of orientation is obeyed.

    Args:
        image: Of any size and mode.
        size: Side of the result in pixels.
        name: Of the file, for the error.

    Raises:
        DataError: If the image has floats for pixels.
    """
    upright = rgb(image, name)
    side = min(upright.size)
    left, top = ((length - side) // 2 for length in upright.size)  # whole pixels: half ones would blur
    box = (left, top, left + side, top + side)
    return channels_first(upright.resize((size, size), Image.Resampling.BILINEAR, box))


def channels_first(image: Image.Image) -> np.ndarray:
    """Pixels of an RGB image as ``(3, height, width)``."""
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def rgb(image: Image.Image, name: str) -> Image.Image:
    """The image upright, in RGB; see `square`.

    Raises:
        DataError: If the image has floats for pixels.
    """
    image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise DataError(f"an image must have whole numbers for pixels, got floats in '{name}'; save it with 8 bits")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
    return image.convert("RGB")
