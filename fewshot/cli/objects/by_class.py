"""Answers class by class, of a record of either kind."""

from functools import singledispatch
from pathlib import Path
from typing import Any

from fewshot.cli.objects.again import same_data
from fewshot.cli.terminal.output import note
from fewshot.errors import FewShotError, RecordError
from fewshot.records.answers import Answers
from fewshot.records.record import Record
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.tables.class_tables import class_counts, class_table, confusion_table
from fewshot.tables.record_tables import Table

Shown = tuple[dict[str, Any], list[Table]]


@singledispatch
def by_class(record: Any, folder: Path, per_class: bool, confusion: bool) -> Shown:
    """The confusion counts and accuracies for JSON, and the tables that are wanted.

    Args:
        record: Whose answers lie in the folder.
        folder: Where the record is.
        per_class: Whether to make the table of each class.
        confusion: Whether to make the table of classes by answers.

    Raises:
        RecordError: If the answers are not there, or do not tell that.
    """
    answers, names = record.load_answers(folder), _class_names(record)
    makers = [*([class_table] if per_class else []), *([confusion_table] if confusion else [])]
    return _counted(answers, names), [make(answers.true, answers.predicted, names) for make in makers]


@by_class.register
def _(record: ZeroShotRecord, folder: Path, per_class: bool, confusion: bool) -> Shown:
    if confusion:
        raise RecordError(
            "a record of zero-shot learning has right and wrong answers only, got --confusion; leave it out"
        )
    return {}, []  # the accuracy of each class is always shown


def _counted(answers: Answers, names: tuple[str, ...] | None) -> dict[str, Any]:
    """Counts, and accuracies as fractions, none for a class without a query."""
    ids, counts = class_counts(answers.true, answers.predicted)
    asked = counts.sum(1)
    accuracies = [int(counts[k, k]) / int(n) if n else None for k, n in enumerate(asked)]
    classes = [str(k) if names is None else names[k] for k in ids.tolist()]
    return {"classes": classes, "per_class": accuracies, "confusion": counts.tolist()}


def _class_names(record: Record) -> tuple[str, ...] | None:
    """Names of the classes, from the data; a record has only their numbers."""
    try:
        return same_data(record).novel.class_names
    except FewShotError as error:
        note(f"classes are shown by number, because their names need the data: {error}")
        return None
