"""``fewshot-bench show``: everything that records say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import AsJson, RecordPaths
from fewshot.cli.terminal.output import document, show_tables

if TYPE_CHECKING:
    from fewshot.tables.record_tables import Table

EXAMPLES = (
    "fewshot-bench show fewshot-results/quickstart/1-shot/pixels-nearest-mean.json",
    "fewshot-bench show fewshot-results/quickstart/1-shot/pixels-nearest-mean.json --per-class --confusion",
    "fewshot-bench show fewshot-results/quickstart/1-shot",
)


def show(
    records: RecordPaths,
    per_class: Annotated[bool, typer.Option("--per-class", help="Accuracy of each class, worst first.")] = False,
    confusion: Annotated[bool, typer.Option("--confusion", help="Queries of each class, by answer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print everything that records say.

    Every interval with what it speaks of, the fifth percentile, calibration, AUROC and FPR95 for open classes,
    notes, and how the record was made.
    """
    from fewshot.cli.terminal.reading import record_files

    files = record_files(records)
    shown = [_shown(file, per_class, confusion) for file in files]
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


def _shown(path: Path, per_class: bool, confusion: bool) -> "tuple[dict[str, Any], list[Table]]":
    """All that a record says, as JSON and as tables."""
    from fewshot.records.load import load_record
    from fewshot.tables.shown import tables_of

    record = load_record(path)
    content, tables = record.as_json(), tables_of(record)
    if per_class or confusion:
        from fewshot.cli.objects.by_class import by_class

        more, added = by_class(record, path.parent, per_class, confusion)
        return content | more, tables + added
    return content, tables
