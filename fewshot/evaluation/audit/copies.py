"""Planted copies of images: what a screening for near-duplicates must find."""

import io
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

Images = UInt8[Tensor, "n c h w"]


def re_encoded(images: Images) -> Images:
    """Through JPEG at quality 75."""
    return _each(images, _jpeg)


def shifted(images: Images) -> Images:
    """Down and to the right by a 42nd of the side (one pixel of 28, two of 84); the edge is repeated."""
    by = max(1, round(images.shape[-1] / 42))
    padded = torch.nn.functional.pad(images.float(), (by, 0, by, 0), mode="replicate").to(torch.uint8)
    return padded[..., : images.shape[-2], : images.shape[-1]]


def rescaled(images: Images) -> Images:
    """Made smaller by a fifth, and as large as before."""
    return _each(images, _smaller_and_back)


def mirrored(images: Images) -> Images:
    """Left and right exchanged."""
    return images.flip(-1)


# The last two are only counted: a drawing in black and white has greys when it is rescaled, and the mirror image
# of a character is another character.
COPIES: dict[str, Callable[[Images], Images]] = {
    "re-encoded": re_encoded, "shifted": shifted, "rescaled": rescaled, "mirrored": mirrored,
}  # fmt: skip
CALIBRATING = ("re-encoded", "shifted")


def _each(images: Images, change: Callable[[Image.Image], Image.Image]) -> Images:
    changed = [np.asarray(change(Image.fromarray(_last(image)))) for image in images.numpy()]
    return torch.from_numpy(np.stack(changed)).reshape(len(images), *images.shape[2:], -1).permute(0, 3, 1, 2)


def _last(image: np.ndarray) -> np.ndarray:
    """Channels last, as Pillow has them; a single one without its axis."""
    return np.ascontiguousarray(
        np.moveaxis(image, 0, -1).squeeze(-1) if image.shape[0] == 1 else np.moveaxis(image, 0, -1)
    )


def _jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=75)
    return Image.open(buffer)


def _smaller_and_back(image: Image.Image) -> Image.Image:
    width, height = image.size
    small = image.resize((max(1, 4 * width // 5), max(1, 4 * height // 5)), Image.Resampling.BILINEAR)
    return small.resize((width, height), Image.Resampling.BILINEAR)
