"""``fewshot-bench show``: everything that a record says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.options import AsJson
from fewshot.cli.output import document, note, show_tables
from fewshot.errors import FewShotError

if TYPE_CHECKING:
    from fewshot.results.answers import Answers
    from fewshot.results.record import Record

EXAMPLES = (
    "fewshot-bench show fewshot-results/quickstart/1-shot/pixels-nearest-mean.json",
    "fewshot-bench show fewshot-results/quickstart/1-shot/pixels-nearest-mean.json --per-class --confusion",
)


def show(
    record: Annotated[Path, typer.Argument(metavar="RECORD", help="A JSON file.")],
    per_class: Annotated[bool, typer.Option("--per-class", help="Accuracy of each class, worst first.")] = False,
    confusion: Annotated[bool, typer.Option("--confusion", help="Queries of each class by answer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print everything that a record says.

    Every interval with what it speaks of, the fifth percentile, calibration, AUROC and FPR95 where open classes were
    asked, notes, and how it was made.
    """
    from dataclasses import replace

    from fewshot.results.class_tables import class_table, confusion_table
    from fewshot.results.facts import facts_table, interval_table, open_set_table
    from fewshot.results.record import Record
    from fewshot.results.zero_shot import is_zero_shot

    if is_zero_shot(record):
        _show_zero_shot(record, as_json)
        return
    loaded = Record.load(record)
    answers = loaded.load_answers(record.parent) if per_class or confusion else None
    names = None if answers is None else _class_names(loaded)
    if as_json:
        document(loaded.as_json() | ({} if answers is None else _by_class(answers, names)))
        return
    tables = [facts_table(loaded), replace(interval_table(loaded), notes=tuple(loaded.notes))]
    if loaded.open_set:
        tables.insert(1, open_set_table(loaded))
    makers = [make for wanted, make in ((per_class, class_table), (confusion, confusion_table)) if wanted]
    show_tables(*tables, *(make(answers.true, answers.predicted, names) for make in makers if answers is not None))


def _show_zero_shot(path: Path, as_json: bool) -> None:
    from fewshot.results.zero_shot import ZeroShotRecord
    from fewshot.results.zero_shot_table import classes_table, figures_table, open_table

    record = ZeroShotRecord.load(path)
    if as_json:
        document(record.model_dump(mode="json"))
    else:
        opened = [open_table(record)] if record.open_set else []
        show_tables(figures_table(record), *opened, classes_table(record))


def _by_class(answers: "Answers", names: tuple[str, ...] | None) -> dict[str, Any]:
    """The confusion counts and the accuracies (fractions, none for a class that was not asked), for JSON."""
    from fewshot.results.class_tables import class_counts

    ids, counts = class_counts(answers.true, answers.predicted)
    asked = counts.sum(1)
    accuracies = [int(counts[k, k]) / int(n) if n else None for k, n in enumerate(asked)]
    classes = [str(k) if names is None else names[k] for k in ids.tolist()]
    return {"classes": classes, "per_class": accuracies, "confusion": counts.tolist()}


def _class_names(record: "Record") -> tuple[str, ...] | None:
    """Names of the classes, from the data; a record has only their numbers."""
    from fewshot.cli.again import same_items

    try:
        return same_items(record)[1].class_names
    except FewShotError as error:
        note(f"classes are shown by number, because their names need the data: {error}")
        return None
