"""Tables of texts or of images: ``.csv`` with a header, or ``.jsonl`` with one object a line."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.folder import split_rows
from fewshot.datasets.resizing import read_images
from fewshot.datasets.trees import Tree
from fewshot.errors import DataError, MissingDataError

Row = tuple[int, dict[str, Any]]  # line number and cells


def load_table(path: str | Path, size: int = 84, name: str | None = None) -> Collection:
    """A collection from the columns ``label`` and ``text``, or ``label`` and ``path``.

    Paths of images are relative to the table. A column ``split`` makes splits; other columns are passed over.

    Args:
        path: A ``.csv`` file in UTF-8 with a header, or ``.jsonl``.
        size: Side of images in pixels; see `fewshot.datasets.folder.load_folder`.
        name: What to call it in records; the name of the file when left out.

    Raises:
        MissingDataError: If the file, or an image that it names, is not there.
        DataError: If a column is missing, a cell is empty, or the file is no UTF-8; file and line are named.
    """
    path = Path(path)
    rows = read_table(path)
    kind = item_column(path, rows, ("label",))
    cells = [cell(path, row, kind) for row in rows]
    labels = [cell(path, row, "label") for row in rows]
    items = images_of(path, rows, cells, size) if kind == "path" else cells
    splits = split_rows([str(row.get("split") or "") for _, row in rows])
    names = cells if kind == "path" else [f"line {number}" for number, _ in rows]
    return Collection.from_arrays(items, labels, name=name or path.stem, item_names=names, splits=splits)


def read_table(path: Path) -> list[Row]:
    """All rows of a table, each with its line number.

    Raises:
        MissingDataError: If there is no such file.
        DataError: If it is no table in UTF-8; the line is named.
    """
    if not path.is_file():
        raise MissingDataError(
            f"'{path}' must be a table with 'label' and 'text' or 'path', got no file; check the path"
        )
    return list(_jsonl(path) if path.suffix.lower() == ".jsonl" else _csv(path))


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            yield from ((reader.line_num, row) for row in reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"'{path}' must be a table in UTF-8, got at line {reader.line_num + 1}: {error}") from None


def _jsonl(path: Path) -> Iterator[Row]:
    number = 0
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            row = json.loads(line) if line.strip() else {}
            if not isinstance(row, dict):
                raise DataError(f"'{path}' must have one JSON object a line, got {type(row).__name__} at line {number}")
            if row:
                yield number, row
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' must have one JSON object a line in UTF-8, got at line {number}: {error}") from None


def item_column(path: Path, rows: list[Row], others: tuple[str, ...] = ()) -> str:
    """``"text"`` or ``"path"``: which column has the items.

    Args:
        path: Of the table, for the message.
        rows: All rows.
        others: Columns that must be there too.

    Raises:
        DataError: If there is no row, both columns or neither, or another is missing.
    """
    if not rows:
        raise DataError(f"'{path}' must have a row for each item, got none")
    columns = [str(column) for column in rows[0][1]]
    kinds = [kind for kind in ("text", "path") if kind in columns]
    if len(kinds) != 1 or not set(others) <= set(columns):
        wanted = "".join(f"'{name}' and " for name in others)
        raise DataError(f"'{path}' must have the columns {wanted}one of 'text' and 'path', got {columns}; rename them")
    return kinds[0]


def cell(path: Path, row: Row, column: str) -> str:
    """The text of a cell.

    Raises:
        DataError: If it is empty; the line is named.
    """
    value = row[1].get(column)
    if value is None or isinstance(value, (dict, list)) or not str(value).strip():
        raise DataError(
            f"'{path}' must have a {column} in every row, got {value!r} at line {row[0]}; fill or drop the row"
        )
    return str(value)


def images_of(path: Path, rows: list[Row], names: list[str], size: int) -> np.ndarray:
    """Pixels ``(n, 3, size, size)`` of the images that a table names.

    Raises:
        MissingDataError: If one is not there; the line is named.
    """
    for (number, _), name in zip(rows, names, strict=True):
        if not (path.parent / name).is_file():
            raise MissingDataError(
                f"'{path}' must name images beside it, got '{name}' at line {number}, which is not there"
            )
    return read_images(Tree(path.parent), names, size)
