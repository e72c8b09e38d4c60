"""Reading a record of either kind: of episodes, or of zero-shot learning."""

from pathlib import Path
from typing import Any

from fewshot.records.record import MARKS, Record, read_content
from fewshot.records.zero_shot import MARK, ZeroShotRecord

AnyRecord = Record | ZeroShotRecord


def load_record(path: Path | str) -> AnyRecord:
    """Read a record; its keys say of which kind it is.

    Both kinds have ``figures``, ``accuracy``, ``notes``, ``learner`` and ``data``, and the methods ``as_json``,
    ``check_answers`` and ``save``.

    Raises:
        RecordError: If the file is missing, torn, of an unknown schema, or no record.
    """
    content = read_content(path, "a record in JSON")
    return _kind_of(content).of_content(path, content)


def is_record(content: Any) -> bool:
    """Whether the content of a JSON file is meant as a record of either kind, whole or not."""
    return isinstance(content, dict) and (MARK in content or all(key in content for key in MARKS))


def _kind_of(content: Any) -> type[AnyRecord]:
    return ZeroShotRecord if isinstance(content, dict) and MARK in content else Record
