"""Decoded pixels on disk: made once, memory-mapped ever after."""

import io
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fewshot.errors import DataError
from fewshot.files import cache_folder, digest, write


def decoded(name: str, source: Iterable[str], build: Callable[[], np.ndarray]) -> np.ndarray:
    """A memory-mapped uint8 array, from the cache or built now.

    Args:
        name: Readable part of the file name.
        source: What the pixels depend on (files with size and time, settings): the cache key.
        build: Makes the array where the cache has none, or a torn one.
    """
    key = digest(text.encode() for text in source)[:24]
    path = cache_folder() / "pixels" / f"{name}-{key}.npy"
    mapped = _mapped(path)
    if mapped is None:
        pixels = build()
        write(path, lambda file: np.save(file, pixels, allow_pickle=False))
        mapped = _mapped(path)
    assert mapped is not None
    return mapped


def _mapped(path: Path) -> np.ndarray | None:
    """The array in a cache file, or nothing where the file is absent or truncated."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def stamp(path: Path) -> str:
    """Name, size and time of a file: changes when the file does."""
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
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"'{name}' must be a whole image file, got unreadable bytes ({error}); replace or remove it") from None
    return image
