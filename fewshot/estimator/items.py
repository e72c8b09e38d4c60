"""Items of users: images, texts or rows of features are told apart and made into arrays."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fewshot.backbones.texts import cut_line
from fewshot.datasets.features import embed_rows
from fewshot.datasets.formats.containers import listed, shown
from fewshot.datasets.formats.image_files import PHOTOS, is_file
from fewshot.datasets.formats.texts import as_texts
from fewshot.errors import DataError, FewShotError, FewShotWarning
from fewshot.estimator.pictures import CHUNK, images

IMAGES, TEXTS, ROWS = "images", "texts", "rows"
WRONG_SHAPE = (
    RuntimeError,
    TypeError,
    ValueError,
    IndexError,
    KeyError,
    AttributeError,
)  # what networks raise on other items
SIDE = 84  # of the squares that single images become, where the backbone does not say


def read(x: Any, kind: str, backbone: Any) -> Any:
    """Images or texts ``(n, *item)``, embedded where there is a backbone.

    Raises:
        DataError: If an item cannot be read, is empty or of another kind, or the backbone does not take it; its row is named.
        MissingDataError: If a file is not there.
    """
    x = listed(x)
    if kind == TEXTS:
        found = texts(x)
        warn_cut(found, backbone)
        return embed(iter([found]), backbone)
    return embed(images(x, x if isinstance(x, list) else None, side_of(backbone)), backbone)


def side_of(backbone: Any) -> int:
    """Side of the squares, in pixels, that single images become for a backbone: what it resizes to, or 84."""
    return max(getattr(getattr(backbone, "preprocess", None), "resize", (SIDE,)))


def kind_of(x: Any) -> str:
    """``"images"``, ``"texts"`` or ``"rows"``.

    Images are paths, PIL images, or arrays with at least two axes an image; strings are paths if all of them
    end as image files do, or name files, and texts if none of them names an image that is there; all else is rows of features.

    Raises:
        DataError: If the kinds are mixed.
    """
    x = listed(x)
    if not isinstance(x, list):
        return IMAGES if getattr(x, "ndim", 0) > 2 else ROWS
    kinds = [_kind(item) for item in x]
    if TEXTS in kinds and set(kinds) <= {TEXTS, "path"}:
        if all(map(is_file, x)):
            return IMAGES
        if not any(map(_is_image_file, x)):
            return TEXTS
    merged = [IMAGES if kind == "path" else kind for kind in kinds]
    other = [k for k, kind in enumerate(merged) if kind != merged[0]]
    if other:
        raise DataError(
            f"all items must be of one kind, got {merged[0]} such as {shown(x[0])} and {merged[other[0]]} such as "
            f"{shown(x[other[0]])} in row {other[0]}; classify each kind by itself, and give files as Path objects"
        )
    return merged[0] if merged else ROWS


def _kind(item: Any) -> str:
    if isinstance(item, str):
        return "path" if item.lower().endswith(PHOTOS) else TEXTS
    pictures = isinstance(item, (np.ndarray, Tensor)) and item.ndim > 1
    return IMAGES if pictures or isinstance(item, (Path, Image.Image)) else ROWS


def _is_image_file(item: str) -> bool:
    return item.lower().endswith(PHOTOS) and is_file(item)


def texts(x: Any) -> np.ndarray:
    """An array of strings.

    Raises:
        DataError: If an item is no text, or an empty one; its row is named.
    """
    if not isinstance(x, list):
        raise DataError(
            f"items must be texts, got {type(x).__name__} of shape {tuple(np.shape(x))}; give a list of strings"
        )
    return as_texts(x)


def warn_cut(found: np.ndarray, backbone: Any) -> None:
    """Warn, with the number, where the backbone reads only the beginning of some texts."""
    line = cut_line(backbone, found)
    if line:
        warnings.warn(line, FewShotWarning, stacklevel=5)


def embed(parts: Iterator[Any], backbone: Any) -> Any:
    """Features ``(n, dim)`` of all parts; without a backbone the items themselves.

    Raises:
        DataError: If there is no item, or the backbone does not take them.
    """
    done = []
    for part in parts:
        if not len(part):
            break
        done.append(_tensor(part) if backbone is None else _features(part, backbone))
    if not done:
        raise DataError("there must be at least one item, got none")
    return done[0] if len(done) == 1 else torch.cat(done)


def _features(part: Any, backbone: Any) -> Tensor:
    name = getattr(backbone, "name", type(backbone).__name__)
    what = (
        "texts"
        if not isinstance(part, Tensor) and part.dtype.kind == "T"
        else f"items of shape {tuple(part.shape[1:])}"
    )
    try:
        features = embed_rows(part, "", backbone, CHUNK, cache=False)
    except FewShotError:
        raise
    except WRONG_SHAPE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"the backbone '{name}' must take {what}, got an error: {reason}; name another backbone, or "
            "prepare the items as it needs them"
        ) from error
    if features.ndim < 2 or len(features) != len(part):
        raise DataError(
            f"the backbone '{name}' must give a row of features an item, got shape {tuple(features.shape)} for {len(part)} items"
        )
    return features


def _tensor(part: Any) -> Any:
    """An array of its own as a tensor; strings stay an array."""
    return part if isinstance(part, Tensor) or part.dtype.kind == "T" else torch.from_numpy(np.array(part))
