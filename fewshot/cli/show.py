"""``fewshot-bench show``: everything that records say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import AsJson, RecordPaths
from fewshot.cli.terminal.output import document, note, show_tables
from fewshot.errors import FewShotError

if TYPE_CHECKING:
    from fewshot.records.answers import Answers
    from fewshot.records.record import Record
    from fewshot.tables.record_tables import Table

EXAMPLES = (
    "fewshot-bench show fewshot-results/quickstart/1-shot/pixels-nearest-mean.json",
    "fewshot-bench show fewshot-results/quickstart/1-shot/pixels-nearest-mean.json --per-class --confusion",
    "fewshot-bench show fewshot-results/quickstart/1-shot",
)


def show(
    records: RecordPaths,
    per_class: Annotated[bool, typer.Option("--per-class", help="Accuracy of each class, worst first.")] = False,
    confusion: Annotated[bool, typer.Option("--confusion", help="Queries of each class by answer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print everything that records say.

    Every interval with what it speaks of, the fifth percentile, calibration, AUROC and FPR95 where open classes were
    asked, notes, and how it was made.
    """
    from fewshot.cli.terminal.reading import record_files
    from fewshot.records.zero_shot import is_zero_shot

    files = record_files(records)
    asked = {"per_class": per_class, "confusion": confusion}
    shown = [_zero_shot(file) if is_zero_shot(file) else _few_shot(file, asked) for file in files]
    if as_json:
        alone = len(records) == 1 and not records[0].is_dir()
        document(shown[0][0] if alone else [content for content, _ in shown])
        return
    show_tables(
        *(table for file, (_, tables) in zip(files, shown, strict=True) for table in _headed(file, tables, files))
    )


def _headed(file: Path, tables: "list[Table]", files: list[Path]) -> "list[Table]":
    """The tables of a record, with the name of its file above where there are several records."""
    from dataclasses import replace

    title = f"{file}: {tables[0].title}" if tables[0].title else str(file)
    return tables if len(files) == 1 else [replace(tables[0], title=title), *tables[1:]]


def _few_shot(path: Path, asked: dict[str, bool]) -> "tuple[dict[str, Any], list[Table]]":
    """All that a record says, as JSON and as tables."""
    from dataclasses import replace

    from fewshot.records.record import Record
    from fewshot.tables.class_tables import class_table, confusion_table
    from fewshot.tables.facts import facts_table, interval_table, open_set_table

    record = Record.load(path)
    tables = [facts_table(record), replace(interval_table(record), notes=tuple(record.notes))]
    if record.open_set:
        tables.insert(1, open_set_table(record))
    if not any(asked.values()):
        return record.as_json(), tables
    answers, names = record.load_answers(path.parent), _class_names(record)
    makers = {"per_class": class_table, "confusion": confusion_table}
    tables += [make(answers.true, answers.predicted, names) for key, make in makers.items() if asked[key]]
    return record.as_json() | _by_class(answers, names), tables


def _zero_shot(path: Path) -> "tuple[dict[str, Any], list[Table]]":
    from fewshot.records.zero_shot import ZeroShotRecord
    from fewshot.tables.zero_shot import classes_table, figures_table, open_table

    record = ZeroShotRecord.load(path)
    opened = [open_table(record)] if record.open_set else []
    return record.model_dump(mode="json"), [figures_table(record), *opened, classes_table(record)]


def _by_class(answers: "Answers", names: tuple[str, ...] | None) -> dict[str, Any]:
    """The confusion counts and the accuracies (fractions, none for a class that was not asked), for JSON."""
    from fewshot.tables.class_tables import class_counts

    ids, counts = class_counts(answers.true, answers.predicted)
    asked = counts.sum(1)
    accuracies = [int(counts[k, k]) / int(n) if n else None for k, n in enumerate(asked)]
    classes = [str(k) if names is None else names[k] for k in ids.tolist()]
    return {"classes": classes, "per_class": accuracies, "confusion": counts.tolist()}


def _class_names(record: "Record") -> tuple[str, ...] | None:
    """Names of the classes, from the data; a record has only their numbers."""
    from fewshot.cli.objects.again import same_data

    try:
        return same_data(record).novel.class_names
    except FewShotError as error:
        note(f"classes are shown by number, because their names need the data: {error}")
        return None
