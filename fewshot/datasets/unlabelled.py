"""Items without labels, in whatever they come: folders, single images, tables, lines of text, arrays."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fewshot.datasets.conversion import as_items
from fewshot.datasets.formats.arrays import read_arrays
from fewshot.datasets.formats.image_files import SUFFIXES, images_in, is_image
from fewshot.datasets.formats.resizing import read_images
from fewshot.datasets.formats.table_rows import read_lines
from fewshot.datasets.formats.tables import TABLES, cell, images_of, item_column, read_table
from fewshot.datasets.formats.trees import Tree
from fewshot.errors import DataError, MissingDataError

LINE_END = re.compile(r"\r\n|\n|\r")  # and no other mark, such as U+2028 in the middle of a text


class Unlabelled(NamedTuple):
    """Items and what to call each.

    Attributes:
        items: ``(n, *item)``: uint8 pixels channels first, numbers, or an array of strings.
        names: File name of each image, the text itself, or the number of the row.
    """

    items: Any
    names: list[str]


def load_items(
    path: str | Path, size: int = 84, delimiter: str | None = None, text: str = "text", image: str = "path"
) -> Unlabelled:
    """Items of a folder or zip of images, an image, a ``.csv``, ``.tsv``, ``.jsonl`` or ``.npz``, or the lines of a ``.txt``.

    A file of another ending is an image if its first bytes say so.

    Args:
        path: Where they are; an ``.npz`` has the array ``x``.
        size: Side of images in pixels; see `fewshot.datasets.formats.folder.load_folder`.
        delimiter: Between the cells of a table; see `fewshot.datasets.formats.tables.load_table`.
        text: Name of the column of texts in a table.
        image: Name of the column with the paths of images.

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
    if kind in TABLES:
        return _from_table(path, size, delimiter, text, image)
    if kind in (".txt", ".npz"):
        return _from_lines(path) if kind == ".txt" else _from_arrays(path)
    tree = Tree(path.parent)
    if kind in SUFFIXES or any(is_image(head) for _, head in tree.heads([path.name])):
        return Unlabelled(read_images(tree, [path.name], size), [path.name])
    raise DataError(
        f"'{path}' must be a folder, a .zip, an image, or a {', '.join(TABLES)}, .txt or .npz file, got one that ends in "
        f"'{kind}' and is no readable image"
    )


def _from_tree(path: Path, size: int) -> Unlabelled:
    tree = Tree(path)
    names = images_in(tree)
    if not names:
        raise MissingDataError(f"'{path}' must hold images, got none; check the path")
    return Unlabelled(read_images(tree, names, size), names)


def _from_table(path: Path, size: int, delimiter: str | None, text: str, image: str) -> Unlabelled:
    rows = read_table(path, delimiter)
    column = item_column(path, rows, text, image)
    cells = [cell(path, row, column) for row in rows]
    return Unlabelled(images_of(path, rows, cells, size) if column == image else as_items(cells), cells)


def _from_lines(path: Path) -> Unlabelled:
    lines = [line.strip() for line in LINE_END.split(read_lines(path)) if line.strip()]
    if not lines:
        raise DataError(f"'{path}' must have a line for each text, got none")
    return Unlabelled(as_items(lines), lines)


def _from_arrays(path: Path) -> Unlabelled:
    arrays = read_arrays(path)
    if "x" not in arrays or not np.ndim(arrays["x"]):
        raise DataError(f"'{path}' must hold the array 'x', got {sorted(arrays)}; np.savez(path, x=...)")
    return Unlabelled(as_items(arrays["x"]), [f"row {k}" for k in range(len(arrays["x"]))])
