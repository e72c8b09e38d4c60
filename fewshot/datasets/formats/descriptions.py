"""Descriptions of classes in a table: attributes as columns of numbers, or a text for each class."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.conversion import as_items
from fewshot.datasets.formats.table_rows import Row
from fewshot.datasets.formats.tables import cell, read_table
from fewshot.errors import DataError


def with_descriptors(collection: Collection, path: str | Path) -> Collection:
    """The same collection with a descriptor of each class, matched by the class's name.

    Args:
        collection: Any; classes of the table that it does not have are passed over.
        path: A ``.csv`` or ``.jsonl`` file with the column ``label``, and either ``text`` or columns of numbers.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If a class has no row, or two, or a cell is empty or no number; file and line are named.
    """
    path = Path(path)
    rows = read_table(path)
    columns = [str(name) for name in (rows[0][1] if rows else {})]
    if "label" not in columns or len(columns) < 2:
        raise DataError(f"'{path}' must have the column 'label' and one of 'text' or numbers, got {columns}")
    if any("" in cells for _, cells in rows):
        raise DataError(f"'{path}' must name every column, got {columns}; name or drop the one without a name")
    of = _by_class(path, rows)
    absent = [name for name in collection.class_names if name not in of]
    if absent:
        raise DataError(f"every class needs a descriptor, got none for '{absent[0]}' in '{path}'; add a row")
    chosen = [of[name] for name in collection.class_names]
    if "text" in columns:
        return replace(collection, descriptors=as_items([cell(path, row, "text") for row in chosen]))
    attributes = [name for name in columns if name != "label"]
    return replace(collection, descriptors=np.array([_numbers(path, row, attributes) for row in chosen], np.float32))


def _by_class(path: Path, rows: list[Row]) -> dict[str, Row]:
    of: dict[str, Row] = {}
    for row in rows:
        name = cell(path, row, "label")
        if name in of:
            raise DataError(f"'{path}' must describe each class once, got '{name}' again at line {row[0]}")
        of[name] = row
    return of


def _numbers(path: Path, row: Row, attributes: list[str]) -> list[float]:
    values = []
    for attribute in attributes:
        text = cell(path, row, attribute)
        try:
            values.append(float(text))
        except ValueError:
            values.append(float("nan"))
        if not abs(values[-1]) <= float(np.finfo(np.float32).max):
            raise DataError(f"'{path}' must hold finite numbers, got '{text}' for '{attribute}' at line {row[0]}")
    return values
