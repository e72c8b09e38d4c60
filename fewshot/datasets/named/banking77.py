"""BANKING77: 13,083 questions of bank customers, each with one of 77 intents.

Casanueva, Temčinas, Gerz, Henderson and Vulić, "Efficient Intent Detection with Dual Sentence Encoders", NLP for
Conversational AI 2020, CC BY 4.0, github.com/PolyAI-LDN/task-specific-datasets.
"""

from pathlib import Path

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.tables import cell, read_table
from fewshot.datasets.location import data_root
from fewshot.datasets.published_texts import rows_of, spoken
from fewshot.errors import DataError

COUNTS = {"train": 10003, "test": 3080}


def load_banking77() -> Collection:
    """Questions as texts; ``train`` and ``test`` are the published parts, both of all 77 classes.

    Descriptors are the names of the intents, as words.

    Raises:
        MissingDataError: If a file is not below ``$FEWSHOT_DATA/banking77``.
        DataError: If the files are not those that were published.
    """
    folder = data_root("banking77")
    parts = {part: _part(folder / f"{part}.csv", count) for part, count in COUNTS.items()}
    texts, labels = zip(*[pair for pairs in parts.values() for pair in pairs], strict=True)
    return Collection.from_arrays(
        list(texts),
        labels,
        name="banking77",
        descriptors=spoken(sorted(set(labels))),
        splits=rows_of(parts),
    )


def _part(path: Path, count: int) -> list[tuple[str, str]]:
    rows = read_table(path)
    if len(rows) != count:
        raise DataError(f"'{path}' must have the published {count} questions, got {len(rows)}; fetch it again")
    return [(cell(path, row, "text"), cell(path, row, "category")) for row in rows]
