"""What users hand over: images, texts or rows of features, told apart and made into arrays."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fewshot.datasets.features import embed_rows
from fewshot.datasets.folder import SUFFIXES
from fewshot.errors import DataError
from fewshot.estimator.pictures import CHUNK, images

IMAGES, TEXTS, ROWS = "images", "texts", "rows"
SIDE = 84  # of the squares that single images become, where the backbone does not say


def read(x: Any, kind: str, backbone: Any) -> Any:
    """Images or texts ``(n, *item)``, embedded where there is a backbone.

    Raises:
        DataError: If an item cannot be read, is empty or of another kind; its row is named.
        MissingDataError: If a file is not there.
    """
    if kind == TEXTS:
        return embed(iter([texts(x)]), backbone)
    return embed(images(x, sequence(x), side_of(backbone)), backbone)


def side_of(backbone: Any) -> int:
    """Side of the squares, in pixels, that single images become for a backbone: what it resizes to, or 84."""
    return max(getattr(getattr(backbone, "preprocess", None), "resize", (SIDE,)))


def kind_of(x: Any) -> str:
    """``"images"``, ``"texts"`` or ``"rows"``.

    Images are paths, PIL images, or arrays with at least two axes an image; strings are paths if all of them
    end as image files do, and texts if none of them names a file that is there; all else is rows of features.

    Raises:
        DataError: If the kinds are mixed.
    """
    items = sequence(x)
    if items is None:
        return IMAGES if getattr(x, "ndim", 0) > 2 else ROWS
    kinds = [_kind(item) for item in items]
    if set(kinds) == {TEXTS, "path"} and not any(_is_file(item) for item in items):
        return TEXTS
    merged = [IMAGES if kind == "path" else kind for kind in kinds]
    other = [k for k, kind in enumerate(merged) if kind != merged[0]]
    if other:
        raise DataError(
            f"all items must be of one kind, got {merged[0]} such as {_shown(items[0])} and {merged[other[0]]} such as "
            f"{_shown(items[other[0]])} in row {other[0]}; classify each kind by itself, and give files as Path objects"
        )
    return merged[0] if merged else ROWS


def sequence(x: Any) -> list[Any] | None:
    """Items one by one, or nothing where they are one array of numbers, or a table."""
    if isinstance(x, (list, tuple)):
        return list(x)
    if isinstance(x, Tensor) or getattr(x, "ndim", 0) != 1 or np.asarray(x).dtype.kind not in "OUTS":
        return None
    return list(np.asarray(x).tolist())


def _kind(item: Any) -> str:
    if isinstance(item, str):
        return "path" if item.lower().endswith(SUFFIXES) else TEXTS
    pictures = isinstance(item, (np.ndarray, Tensor)) and item.ndim > 1
    return IMAGES if pictures or isinstance(item, (Path, Image.Image)) else ROWS


def _is_file(item: str) -> bool:
    return item.lower().endswith(SUFFIXES) and Path(item).is_file()


def _shown(item: Any) -> str:
    return repr(item)[:40] if isinstance(item, (str, Path, int, float, type(None))) else type(item).__name__


def texts(x: Any) -> np.ndarray:
    """An array of strings.

    Raises:
        DataError: If an item is no text, or an empty one; its row is named.
    """
    items = sequence(x) or []
    for row, item in enumerate(items):
        if not isinstance(item, str):
            raise DataError(f"every text must be a string, got {_shown(item)} in row {row}; drop or convert it")
        if not item.strip():
            raise DataError(f"every text needs a word, got {item!r} in row {row}; drop that item")
    return np.array(items, np.dtypes.StringDType())


def embed(parts: Iterator[Any], backbone: Any) -> Any:
    """Features ``(n, dim)`` of all parts; without a backbone the items themselves."""
    done = []
    for part in parts:
        if not len(part):
            break
        done.append(_tensor(part) if backbone is None else embed_rows(part, "", backbone, CHUNK, cache=False))
    if not done:
        raise DataError("there must be at least one item, got none")
    return done[0] if len(done) == 1 else torch.cat(done)


def _tensor(part: Any) -> Any:
    """An array of its own as a tensor; strings stay an array."""
    return part if isinstance(part, Tensor) or part.dtype.kind == "T" else torch.from_numpy(np.array(part))
