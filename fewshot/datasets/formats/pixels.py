"""Decoded pixels on disk: made once, memory-mapped ever after."""

import io
import math
import os
import warnings
from collections.abc import Callable, Iterable
from numbers import Integral
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fewshot.errors import DataError, FewShotWarning
from fewshot.plumbing.files import cache_folder, digest
from fewshot.plumbing.reading import in_one_sentence
from fewshot.plumbing.sealed import BLANK, MARK, carries_hash, write_sealed

SQUARE = "rgb-square-2"  # part of the cache key: raise it when `square` makes other pixels of the same file

DEPTHS = (8, 10, 12, 14, 16)  # bits that sensors have


def decoded(
    name: str, source: Iterable[str], shape: tuple[int, ...], images: Callable[[], Iterable[np.ndarray]]
) -> np.ndarray:
    """A memory-mapped uint8 array, from the cache or built now, one image at a time.

    A cache file that is damaged, cut short or no array of this shape is built again. Processes that build
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

        def fill(file: IO[bytes]) -> None:
            file.write(_header(shape, f"  # {MARK.decode()}{BLANK}"))
            file.writelines(image.tobytes() for image in images())

        write_sealed(path, fill)
        mapped = _mapped(path, shape)
    if mapped is None:
        raise DataError(f"'{path}' must hold pixels {shape} after it was written, got others; the cache disk is faulty")
    return mapped


def _header(shape: tuple[int, ...], remark: str) -> bytes:
    """Of an ``.npy`` file: NumPy reads a Python literal, in which a remark has no meaning."""
    told = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}{remark}"
    length = -(-(len(told) + 11) // 64) * 64 - 10  # pixels begin at a multiple of 64 bytes
    return np.lib.format.magic(1, 0) + length.to_bytes(2, "little") + told.ljust(length - 1).encode() + b"\n"


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The array in a cache file, or nothing where the file is absent, damaged or another."""
    try:
        if not carries_hash(path) and not _is_of_first_version(path, shape):
            return None
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # whatever NumPy makes of a damaged header: the file is built again
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _is_of_first_version(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a file without a hash begins as those of 0.1.0, which had none, and is as long."""
    wanted = io.BytesIO()
    np.lib.format.write_array_header_1_0(wanted, {"descr": "|u1", "fortran_order": False, "shape": shape})
    begins = wanted.getvalue()
    with path.open("rb") as file:
        return file.read(len(begins)) == begins and path.stat().st_size == len(begins) + math.prod(shape)


def stamp(path: Path) -> str:
    """Place, size and time of a file: changes when the file does."""
    stat = os.stat(path)
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"


def decode(content: bytes, name: str) -> Image.Image:
    """An image from the bytes of a file.

    Raises:
        DataError: If the bytes are no whole image; the file is named.
    """
    with in_one_sentence(f"'{name}' must be a whole image file", "replace or remove it"):
        try:
            image = Image.open(io.BytesIO(content))
            image.load()
        except UnidentifiedImageError:
            raise DataError(
                f"'{name}' must be a whole image file, got unreadable bytes (of no known format); replace or remove it"
            ) from None
    return image


def square(image: Image.Image, size: int, name: str) -> np.ndarray:
    """RGB pixels ``(3, size, size)``: the centre, as wide as the shorter side, resized to ``size``.

    Transparent parts become white, grey becomes equal channels, a camera's note of orientation is obeyed, and
    grey of more than 8 bits keeps the upper 8 of the bits that it uses; see `eight_bits`.

    Args:
        image: Of any size and mode.
        size: Side of the result in pixels.
        name: Of the file, for the error.

    Raises:
        DataError: If pixels are floats, or whole numbers outside of 0..65535.
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
        DataError: If pixels are floats, or whole numbers outside of 0..65535.
    """
    if not min(image.size):
        raise DataError(f"an image must have pixels, got {image.size[0]} x {image.size[1]} in '{name}'; remove it")
    with in_one_sentence(f"'{name}' must be a whole image file", "replace or remove it"):
        image = ImageOps.exif_transpose(image)
    if image.mode == "F":
        raise DataError(f"an image must have whole numbers for pixels, got floats in '{name}'; save it with 8 bits")
    if image.mode.startswith("I"):
        return Image.fromarray(eight_bits(np.asarray(image), name)).convert("RGB")
    with in_one_sentence(f"'{name}' must be a whole image file", "replace or remove it"):
        if image.has_transparency_data:
            seen = image.convert("RGBA")
            return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")
        return image.convert("RGB")


def eight_bits(grey: np.ndarray, name: str) -> np.ndarray:
    """Grey values of up to 16 bits as uint8: the upper 8 of the bits that the image uses.

    Cameras and scanners put 8, 10, 12 or 14 bits into 16; shifted by 8 bits, such an image would be black.

    Args:
        grey: Whole numbers ``(height, width)``.
        name: Of the file, for the error.

    Raises:
        DataError: If a value is negative, or above 65535.
    """
    low, high = int(grey.min()), int(grey.max())
    if low < 0 or high > 65535:
        raise DataError(f"grey values must lie in 0..65535, got {low}..{high} in '{name}'; save it with 8 or 16 bits")
    bits = next(bits for bits in DEPTHS if high < 2**bits)
    if bits < DEPTHS[-1] and high:
        warnings.warn(
            f"an image with 16 or more bits uses only {bits} of them and is read as one of {bits} bits; "
            "save images with 8 bits if their brightness must compare",
            FewShotWarning,
            stacklevel=2,
        )
    return (grey.astype(np.uint32) >> (bits - 8)).astype(np.uint8)
