"""Data sets that Hugging Face's ``datasets`` has written to disk."""

from pathlib import Path
from typing import Any

from fewshot.datasets.collection import Collection
from fewshot.datasets.published_texts import rows_of
from fewshot.errors import DataError
from fewshot.plumbing.names import need
from fewshot.plumbing.reading import in_one_sentence


def load_hugging_face(
    path: str | Path, text: str = "text", label: str = "label", name: str | None = None
) -> Collection:
    """A collection from a folder that ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` has made.

    Parts of a ``DatasetDict`` become splits of the same names. Numbers of a column of class labels become their names.

    Args:
        path: The folder.
        text: Column of the texts.
        label: Column of the labels.
        name: What to call it in records; the name of the folder when left out.

    Raises:
        MissingExtraError: If the package ``datasets`` is not installed.
        DataError: If a column is missing, or a text is empty.
    """
    loaded = _loaded(path)
    parts = dict(loaded) if isinstance(loaded, dict) else {"": loaded}
    texts = {part: _column(path, of, text) for part, of in parts.items()}
    labels = [one for of in parts.values() for one in _names(of, label, _column(path, of, label))]
    every = [one for of in texts.values() for one in of]
    empty = [row for row, one in enumerate(every) if not isinstance(one, str) or not one.strip()]
    if empty:
        raise DataError(f"'{path}' must have a text in every row, got {every[empty[0]]!r} in row {empty[0]}; drop it")
    splits = rows_of(texts) if isinstance(loaded, dict) else {}
    return Collection.from_arrays(every, labels, name=name or Path(path).name, splits=splits)


def _loaded(path: str | Path) -> Any:
    """One part, or many by name; their tables are checked, for damaged ones could end the process when they are read."""
    load = need("datasets", "text").load_from_disk
    with in_one_sentence(f"'{path}' must be a whole folder of save_to_disk", "save it again"):
        loaded = load(str(path))
        for part in loaded.values() if isinstance(loaded, dict) else [loaded]:
            part.data.table.validate(full=True)
    return loaded


def _column(path: str | Path, part: Any, column: str) -> list[Any]:
    if column not in part.column_names:
        raise DataError(
            f"'{path}' must have the column '{column}', got {part.column_names}; name yours with text= and label="
        )
    with in_one_sentence(f"'{path}' must have readable cells in '{column}'", "save it again"):
        return list(part[column])


def _names(part: Any, column: str, values: list[Any]) -> list[Any]:
    """Names of class labels, where the column knows them."""
    name_of = getattr(part.features[column], "int2str", None)
    if name_of is None:
        return values
    count = part.features[column].num_classes
    absent = next((row for row, value in enumerate(values) if value is None or not 0 <= value < count), None)
    if absent is not None:
        raise DataError(
            f"every text needs a label in 0..{count - 1}, got {values[absent]} in row {absent} of '{column}'; drop that row"
        )
    with in_one_sentence(f"numbers of classes in '{column}' must have names", "save it again"):
        return [name_of(value) for value in values]
