"""Records from files and folders, each under a name."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fewshot.errors import RecordError

if TYPE_CHECKING:
    from fewshot.records.load import AnyRecord


def record_files(paths: Sequence[Path]) -> list[Path]:
    """The JSON files that are meant: a folder stands for all records in it, or, if it has none, for those of its folders.

    Raises:
        RecordError: If a folder has none.
    """
    files: list[Path] = []
    for path in paths:
        inside = _inside(path) if path.is_dir() else [path]
        if not inside:
            raise RecordError(f"'{path}' must hold records, got a folder without any; name a record")
        files.extend(file for file in inside if file not in files)
    return files


def _inside(folder: Path) -> list[Path]:
    own, below = (
        [file for file in sorted(folder.glob(pattern)) if _is_record(file)] for pattern in ("*.json", "*/*.json")
    )
    return own or below


def _is_record(file: Path) -> bool:
    """Whether a file of a folder is meant: other JSON lacks what records have; a torn one is meant, and reported later."""
    from fewshot.records.load import is_record
    from fewshot.records.record import read_content

    try:
        return is_record(read_content(file, "JSON"))
    except RecordError:
        return True


def named_files(paths: Sequence[Path]) -> dict[str, Path]:
    """The files that are meant by their name, or by their path where two have one name.

    Raises:
        RecordError: As `record_files`.
    """
    files = record_files(paths)
    stems = [file.stem for file in files]
    return {file.stem if stems.count(file.stem) == 1 else str(file): file for file in files}


def read_records(paths: Sequence[Path]) -> "dict[str, AnyRecord]":
    """Records by the name of their file, or by their path where two files have one name.

    Raises:
        RecordError: If a file is no record.
    """
    from fewshot.records.load import load_record

    return {name: load_record(file) for name, file in named_files(paths).items()}
