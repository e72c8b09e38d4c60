"""Rows of ``.csv``, ``.tsv`` and ``.jsonl`` files: every cell comes in whole, or its line is named."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fewshot.errors import DataError
from fewshot.plumbing.reading import in_one_sentence

Row = tuple[int, dict[str, Any]]  # line number and cells
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
NONE = "\x1f"  # between the cells of a table with one column: a control character that stands in no text


def table_rows(path: Path, delimiter: str | None = None) -> list[Row]:
    """All rows of a file, each with its line number.

    Args:
        path: A table with a header in its first line, or a ``.jsonl`` with one object a line.
        delimiter: Between the cells of a table: one character, or ``comma``, ``semicolon``, ``tab`` or ``bar``. When left out a tab
            in a ``.tsv``, else the one of these that cuts the header into most cells.

    Raises:
        DataError: If the file is not in UTF-8, a row has too many cells, a quote stays open, two columns have one name, or a
            line is no JSON object; the line is named.
    """
    is_json = path.suffix.lower() == ".jsonl"
    if is_json and delimiter is not None:
        raise DataError(f"the delimiter must be left out for .jsonl, got {delimiter!r} for '{path}'")
    content = read_lines(path)
    return list(_objects(path, content) if is_json else _cells(path, content, delimiter))


def read_lines(path: Path) -> str:
    """The text of a file without a byte order mark, ends of lines as they are.

    Raises:
        DataError: If it is not in UTF-8; the line is named.
    """
    with in_one_sentence(f"'{path}' must be a readable file", "check the path"):
        content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"'{path}' must be text in UTF-8, got at line {line}: {error}; save it as UTF-8") from None


def _cells(path: Path, content: str, delimiter: str | None) -> Iterator[Row]:
    between = _delimiter(path, content, delimiter)
    columns: list[str] = []
    for number, cells in _parsed(path, content, between):
        if not columns:
            columns = _header(path, cells)
            continue
        if any(extra.strip() for extra in cells[len(columns) :]):
            raise DataError(
                f"'{path}' must have {len(columns)} cells in every row, got {len(cells)} at line {number}; "
                f"put quotes around a text that holds '{between}'"
            )
        known = zip(columns, cells + [""] * (len(columns) - len(cells)), strict=False)
        yield number, {name: value for name, value in known if name or value}


def _delimiter(path: Path, content: str, given: str | None) -> str:
    """What stands between cells: as given, else as the header says."""
    if given is not None:
        between = DELIMITERS.get(str(given), "\t" if given == "\\t" else str(given))
        if len(between) != 1 or between in '"\r\n':
            raise DataError(f"delimiter must be one character or one of {', '.join(DELIMITERS)}, got {given!r}")
        return between
    if path.suffix.lower() == ".tsv":
        return "\t"
    head = next((line for line in io.StringIO(content, newline="") if line.strip()), "")
    count = {between: len(next(csv.reader([head], delimiter=between))) for between in DELIMITERS.values()}
    best = max(count, key=lambda between: count[between])
    return best if count[best] > 1 else NONE


def _parsed(path: Path, content: str, between: str) -> list[tuple[int, list[str]]]:
    """Cells of each row that is not blank, with the number of its last line."""
    spaced = f"{between} " in content.partition("\n")[0]
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=between, skipinitialspace=spaced, strict=True)
    rows: list[tuple[int, list[str]]] = []
    start, most = 1, csv.field_size_limit(sys.maxsize)  # of the whole process, so it is set back
    try:
        for cells in reader:
            rows += [(reader.line_num, cells)] if cells else []
            start = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"'{path}' must be a table whose quotes close at the end of a cell, got from line {start} on: {error}; "
            'write a quote inside a quoted cell twice: ""'
        ) from None
    finally:
        csv.field_size_limit(most)
    return rows


def _header(path: Path, cells: list[str]) -> list[str]:
    """Names of the columns.

    Raises:
        DataError: If two have one name.
    """
    columns = [name.strip() for name in cells]
    twice = [name for name in columns if name and columns.count(name) > 1]
    if twice:
        raise DataError(f"'{path}' must name each column once, got '{twice[0]}' twice in {columns}; rename one")
    return columns


def _objects(path: Path, content: str) -> Iterator[Row]:
    lines = content.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise DataError(f"'{path}' must have one JSON object a line, got at line {number}: {error}") from None
        if not isinstance(row, dict) or not row:
            got = "none in {}" if row == {} else type(row).__name__
            raise DataError(f"'{path}' must have one JSON object with keys a line, got {got} at line {number}")
        yield number, row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object each of whose keys stands once."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{next(name for name in names if names.count(name) > 1)}' twice")
    return row
