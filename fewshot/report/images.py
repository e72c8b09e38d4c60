"""Items of an episode as a page shows them: small pictures within the page, or words."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from fewshot.figures.pictures import as_pixels

SIDE, LONGEST = 64, 180  # pixels of a picture, characters of a text


@dataclass(frozen=True)
class Shown:
    """An item: a picture as a ``data:`` URI, or a text, or neither."""

    picture: str = ""
    text: str = ""


def show(item: Any) -> Shown:
    """An image ``(1 or 3, height, width)`` as a picture, a text as its beginning, anything else as nothing."""
    if isinstance(item, str):
        return Shown(text=item if len(item) <= LONGEST else item[: LONGEST - 1] + "…")
    if getattr(item, "ndim", 0) == 3 and item.shape[0] in (1, 3):
        return Shown(picture=data_uri(np.asarray(item)))
    return Shown()


def data_uri(image: Shaped[np.ndarray, "channels height width"]) -> str:
    """A picture of at most 64 pixels a side: PNG where it is grey or small, else JPEG.

    Args:
        image: uint8, or in 0..1.
    """
    from PIL import Image

    values = np.clip(255 * as_pixels(image), 0, 255).round().astype(np.uint8)
    picture, buffer = Image.fromarray(values), io.BytesIO()
    picture.thumbnail((SIDE, SIDE))
    kind = "PNG" if values.ndim == 2 or max(values.shape[:2]) <= 32 else "JPEG"
    picture.save(buffer, kind, **({"optimize": True} if kind == "PNG" else {"quality": 82}))
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
