"""Tables of texts or of images: ``.csv`` or ``.tsv`` with a header, or ``.jsonl`` with one object a line."""

import math
from pathlib import Path

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.folder import split_rows
from fewshot.datasets.formats.image_files import is_file
from fewshot.datasets.formats.resizing import read_images
from fewshot.datasets.formats.table_rows import Row, table_rows
from fewshot.datasets.formats.texts import is_unicode
from fewshot.datasets.formats.trees import Tree
from fewshot.errors import DataError, MissingDataError

TABLES = (".csv", ".tsv", ".jsonl")


def load_table(
    path: str | Path,
    size: int = 84,
    name: str | None = None,
    delimiter: str | None = None,
    text: str = "text",
    label: str = "label",
    image: str = "path",
) -> Collection:
    """A collection from the columns ``label`` and ``text``, or ``label`` and ``path``.

    Paths of images are relative to the table. A column ``split`` makes splits; other columns are passed over.

    Args:
        path: A ``.csv`` or ``.tsv`` file in UTF-8 with a header, or ``.jsonl``.
        size: Side of images in pixels; see `fewshot.datasets.formats.folder.load_folder`.
        name: What to call it in records; the name of the file when left out.
        delimiter: Between cells, ``";"`` or ``"tab"``; found in the header when left out.
        text: Name of the column of texts.
        label: Name of the column of labels.
        image: Name of the column with the paths of images.

    Raises:
        MissingDataError: If the file, or an image that it names, is not there.
        DataError: If a column is missing or named twice, a cell is empty or too many, a quote stays open, or the file is no UTF-8;
            file and line are named.
    """
    path = Path(path)
    rows = read_table(path, delimiter)
    column = item_column(path, rows, text, image, (label,))
    cells = [cell(path, row, column) for row in rows]
    labels = [cell(path, row, label) for row in rows]
    is_image = column == image
    items = images_of(path, rows, cells, size) if is_image else cells
    splits = split_rows([str(row.get("split") or "") for _, row in rows])
    names = cells if is_image else [f"line {number}" for number, _ in rows]
    return Collection.from_arrays(items, labels, name=name or path.stem, item_names=names, splits=splits)


def read_table(path: Path, delimiter: str | None = None) -> list[Row]:
    """All rows of a table, each with its line number.

    Raises:
        MissingDataError: If there is no such file.
        DataError: If it is no table in UTF-8; the line is named.
    """
    if not path.is_file():
        raise MissingDataError(
            f"'{path}' must be a table with 'label' and 'text' or 'path', got no file; check the path"
        )
    return table_rows(path, delimiter)


def item_column(
    path: Path, rows: list[Row], text: str = "text", image: str = "path", others: tuple[str, ...] = ()
) -> str:
    """Which column has the items: that of texts or that of images.

    Args:
        path: Of the table, for the message.
        rows: All rows.
        text: Name of the column of texts.
        image: Name of the column of images.
        others: Columns that must be there too.

    Raises:
        DataError: If there is no row, both columns or neither, or another is missing.
    """
    if not rows:
        raise DataError(f"'{path}' must have a row for each item, got none")
    columns = [str(column) for column in rows[0][1]]
    kinds = [kind for kind in (text, image) if kind in columns]
    chosen = [kind for kind, usual in ((text, "text"), (image, "path")) if kind != usual and kind in columns]
    if len(kinds) == 2 and len(chosen) == 1:  # a name that was given wins over a usual one
        kinds = chosen
    if len(kinds) != 1 or not set(others) <= set(columns):
        wanted = "".join(f"'{name}' and " for name in others)
        options = ", ".join(f"{one}=" for one in ("text", "image", *(["label"] if others else [])))
        raise DataError(
            f"'{path}' must have the columns {wanted}one of '{text}' and '{image}', got {columns}; rename them, or name yours "
            f"with {options} (--data-option)"
        )
    return kinds[0]


def cell(path: Path, row: Row, column: str) -> str:
    """The text of a cell.

    Raises:
        DataError: If it is empty, or holds half a character; the line is named.
    """
    value = row[1].get(column)
    nothing = value is None or isinstance(value, (dict, list)) or not str(value).strip()
    if nothing or (isinstance(value, float) and not math.isfinite(value)):
        raise DataError(
            f"'{path}' must have a {column} in every row, got {value!r} at line {row[0]}; fill or drop the row"
        )
    if not is_unicode(str(value)):
        raise DataError(
            f"'{path}' must hold whole characters, got half of one at line {row[0]} in '{column}'; repair it"
        )
    return str(value)


def images_of(path: Path, rows: list[Row], names: list[str], size: int) -> np.ndarray:
    """Pixels ``(n, 3, size, size)`` of the images that a table names.

    Raises:
        MissingDataError: If one is not there; the line is named.
    """
    for (number, _), name in zip(rows, names, strict=True):
        if not is_file(path.parent / name):
            raise MissingDataError(
                f"'{path}' must name images beside it, got '{name}' at line {number}, which is not there"
            )
    return read_images(Tree(path.parent), names, size)
