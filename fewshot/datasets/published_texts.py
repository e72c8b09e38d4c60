"""What data sets of texts share: names of classes as words, rows of their parts, JSON files."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.datasets.conversion import as_items
from fewshot.errors import MissingDataError
from fewshot.plumbing.reading import in_one_sentence, of_form


def spoken(names: Iterable[str]) -> np.ndarray:
    """Names of classes as words: ``card_arrival`` is "card arrival"."""
    items: np.ndarray = as_items([" ".join(name.replace("_", " ").split()) for name in names])
    return items


def rows_of(parts: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
    """Rows of each part, where parts follow each other."""
    ends = np.cumsum([0, *map(len, parts.values())])
    return {name: np.arange(start, end) for name, start, end in zip(parts, ends, ends[1:], strict=False)}


def read_json(path: Path, form: Any) -> Any:
    """The content of a JSON file that belongs to a data set.

    Args:
        path: Of the file.
        form: Of its content, as a type that pydantic knows.

    Raises:
        MissingDataError: If it is not there.
        DataError: If it is no JSON, or has another form; the place is named.
    """
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be a file of the data set, got none; fetch it")
    with in_one_sentence(f"'{path}' must be JSON in UTF-8", "fetch it again"):
        content = json.loads(path.read_text(encoding="utf-8"))
    return of_form(form, content, f"'{path}' must be as it was published", "fetch it again")
