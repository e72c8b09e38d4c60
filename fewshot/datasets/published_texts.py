"""What data sets of texts share: names of classes as words, rows of their parts, JSON files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.datasets.conversion import as_items
from fewshot.errors import DataError, MissingDataError


def spoken(names: Iterable[str]) -> np.ndarray:
    """Names of classes as words: ``card_arrival`` is "card arrival"."""
    items: np.ndarray = as_items([" ".join(name.replace("_", " ").split()) for name in names])
    return items


def rows_of(parts: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
    """Rows of each part, where parts follow each other."""
    ends = np.cumsum([0, *map(len, parts.values())])
    return {name: np.arange(start, end) for name, start, end in zip(parts, ends, ends[1:], strict=False)}


def read_json(path: Path) -> Any:
    """The content of a JSON file that belongs to a data set.

    Raises:
        MissingDataError: If it is not there.
        DataError: If it is no JSON.
    """
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be a file of the data set, got none; fetch it")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"'{path}' must be JSON in UTF-8, got {error}; fetch it again") from None
