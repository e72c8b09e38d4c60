"""Records from files and folders, each under a name."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot.errors import RecordError

if TYPE_CHECKING:
    from fewshot.results.record import Record


def record_files(paths: Sequence[Path]) -> list[Path]:
    """The JSON files that are meant: a folder stands for all in it.

    Raises:
        RecordError: If a folder has none.
    """
    files: list[Path] = []
    for path in paths:
        inside = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not inside:
            raise RecordError(f"'{path}' must hold records, got a folder without .json files; name a record")
        files.extend(file for file in inside if file not in files)
    return files


def read_records(paths: Sequence[Path]) -> "dict[str, Record]":
    """Records by the name of their file, or by their path where two files have one name.

    Raises:
        RecordError: If a file is no record.
    """
    from fewshot.results.record import Record

    files = record_files(paths)
    stems = [file.stem for file in files]
    return {file.stem if stems.count(file.stem) == 1 else str(file): Record.load(file) for file in files}
