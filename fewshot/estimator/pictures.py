"""Images that users hand over, as pixels: paths, PIL images and arrays."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fewshot.datasets.conversion import as_items
from fewshot.datasets.formats.image_files import is_file
from fewshot.datasets.formats.pixels import decode, square
from fewshot.errors import DataError, MissingDataError

CHUNK = 64  # images that are decoded before they are embedded


def images(x: Any, items: list[Any] | None, side: int) -> Iterator[Any]:
    """Pixels in parts: one array as it is, channels first; single images as uint8 squares ``(n, 3, side, side)``.

    Args:
        x: What was handed over: array ``(n, channels, height, width)``, ``(n, height, width, channels)`` or ``(n, height, width)``,
            or paths, PIL images and uint8 arrays in any mixture, each of its own size.
        items: Its items one by one; None for one array.
        side: Of the squares, in pixels.

    Raises:
        DataError: If an image cannot be read, or an array is none of images; file or row is named.
        MissingDataError: If a file is not there.
    """
    if items is None:
        yield _channels_first(x)
        return
    for start in range(0, len(items), CHUNK):
        part = items[start : start + CHUNK]
        yield torch.from_numpy(np.stack([_pixels(item, start + k, side) for k, item in enumerate(part)]))


def _channels_first(x: Any) -> Any:
    pixels = as_items(x)
    if str(pixels.dtype).removeprefix("torch.").startswith(("int", "uint1", "uint3", "uint6")):
        raise DataError(
            f"images must be uint8 in 0..255, or floats as the backbone takes them, got {pixels.dtype}; convert them"
        )
    if str(pixels.dtype).endswith("bool"):
        pixels = torch.as_tensor(pixels).float()
    if pixels.ndim == 3:
        return pixels[:, None]
    if pixels.ndim != 4:
        raise DataError(f"images must be an array (n, channels, height, width), got {tuple(pixels.shape)}")
    last = pixels.shape[1] not in (1, 3) and pixels.shape[3] in (1, 3)
    return pixels.swapaxes(2, 3).swapaxes(1, 2) if last else pixels


def _pixels(item: Any, row: int, side: int) -> np.ndarray:
    if isinstance(item, (str, Path)):
        return square(_open(Path(item)), side, str(item))
    name = f"image {row}"
    if isinstance(item, Image.Image):
        return square(_loaded(item, name), side, name)
    return square(_from_array(np.asarray(item), name), side, name)


def _open(path: Path) -> Image.Image:
    if not is_file(path):
        folder = os.path.isdir(path)  # noqa: PTH112, which would raise where a text is too long for a name
        got = "a folder; give its files: sorted(Path(FOLDER).iterdir())" if folder else "none; check the path"
        raise MissingDataError(f"'{str(path)[:300]}' must be an image file, got {got}")
    try:
        return decode(path.read_bytes(), str(path))
    except OSError as error:
        raise DataError(f"'{path}' must be readable, got '{error.strerror}'") from None


def _loaded(image: Image.Image, name: str) -> Image.Image:
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} must be whole, got unreadable bytes ({error}); replace or remove it") from None
    return image


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.dtype != np.uint8:
        raise DataError(f"{name} must have uint8 pixels in 0..255, got {array.dtype}; convert it")
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise DataError(f"{name} must be (height, width) or (height, width, 3), got {array.shape}")
    return Image.fromarray(np.ascontiguousarray(array))
