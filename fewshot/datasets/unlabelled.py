"""Items without labels, in whatever they come: folders, single images, tables, lines of text, arrays."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fewshot.datasets.arrays import read_arrays
from fewshot.datasets.conversion import as_items
from fewshot.datasets.folder import SUFFIXES
from fewshot.datasets.resizing import read_images
from fewshot.datasets.tables import cell, images_of, item_column, read_table
from fewshot.datasets.trees import Tree
from fewshot.errors import DataError, MissingDataError


class Unlabelled(NamedTuple):
    """Items and what to call each.

    Attributes:
        items: ``(n, *item)``: uint8 pixels channels first, numbers, or an array of strings.
        names: File name of each image, the text itself, or the number of the row.
    """

    items: Any
    names: list[str]


def load_items(path: str | Path, size: int = 84) -> Unlabelled:
    """Items of a folder or zip of images, an image, a ``.csv``, ``.jsonl`` or ``.npz``, or the lines of a ``.txt``.

    Args:
        path: Where they are; a table has the column ``text`` or ``path``, an ``.npz`` the array ``x``.
        size: Side of images in pixels; see `fewshot.datasets.folder.load_folder`.

    Raises:
        MissingDataError: If nothing is there, or a folder holds no image.
        DataError: If a file is not what its ending says, or holds no item.
    """
    path = Path(path)
    if not path.exists():
        raise MissingDataError(f"'{path}' must be a folder or a file with items, got nothing there; check the path")
    kind = path.suffix.lower()
    if path.is_dir() or kind == ".zip":
        return _from_tree(path, size)
    if kind in SUFFIXES:
        return Unlabelled(read_images(Tree(path.parent), [path.name], size), [path.name])
    if kind in (".csv", ".jsonl"):
        return _from_table(path, size)
    if kind in (".txt", ".npz"):
        return _from_lines(path) if kind == ".txt" else _from_arrays(path)
    raise DataError(
        f"'{path}' must be a folder, a .zip, an image, or a .csv, .jsonl, .txt or .npz file, got one that ends in '{kind}'"
    )


def _from_tree(path: Path, size: int) -> Unlabelled:
    tree = Tree(path)
    names = [name for name in tree.files if name.lower().endswith(SUFFIXES)]
    if not names:
        raise MissingDataError(f"'{path}' must hold images, got none; check the path")
    return Unlabelled(read_images(tree, names, size), names)


def _from_table(path: Path, size: int) -> Unlabelled:
    rows = read_table(path)
    column = item_column(path, rows)
    cells = [cell(path, row, column) for row in rows]
    return Unlabelled(images_of(path, rows, cells, size) if column == "path" else as_items(cells), cells)


def _from_lines(path: Path) -> Unlabelled:
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' must be text in UTF-8, got: {error}; save it as UTF-8") from None
    if not lines:
        raise DataError(f"'{path}' must have a line for each text, got none")
    return Unlabelled(as_items(lines), lines)


def _from_arrays(path: Path) -> Unlabelled:
    arrays = read_arrays(path)
    if "x" not in arrays or not np.ndim(arrays["x"]):
        raise DataError(f"'{path}' must hold the array 'x', got {sorted(arrays)}; np.savez(path, x=...)")
    return Unlabelled(as_items(arrays["x"]), [f"row {k}" for k in range(len(arrays["x"]))])
