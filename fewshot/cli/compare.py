"""``fewshot-bench compare``: records on the same episodes, difference by difference."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import AsJson, RecordPaths
from fewshot.cli.terminal.output import document, show_tables
from fewshot.errors import RecordError
from fewshot.plumbing.names import unknown

if TYPE_CHECKING:
    from fewshot.records.record import Record
    from fewshot.statistics.interval import Interval

EXAMPLES = (
    "fewshot-bench compare fewshot-results/quickstart/1-shot",
    "fewshot-bench compare fewshot-results/quickstart/1-shot --reference pixels-nearest-mean --json",
    "fewshot-bench compare fewshot-results/awa1-gzsl --reference eszsl",
)


def compare(
    records: RecordPaths,
    reference: Annotated[
        str | None, typer.Option(help="Name of the record that the others are compared with; the first when left out.")
    ] = None,
    level: Annotated[float, typer.Option(help="Of the intervals of the differences.")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Compare records on the same episodes.

    Prints the paired difference of each to a reference. Refused where records do not share their episodes.
    """
    from fewshot.cli.terminal.reading import read_records, record_files
    from fewshot.records.compare import compare as pair
    from fewshot.records.zero_shot import is_zero_shot
    from fewshot.tables.record_tables import comparison_table

    files = record_files(records)
    without = [file for file in files if is_zero_shot(file)]
    if without and len(without) < len(files):
        raise RecordError(
            f"records must all be of few-shot or all of zero-shot learning, got '{without[0]}' and others; compare them apart"
        )
    if without:
        _zero_shot(files, reference, as_json)
        return
    by_name = read_records(records)
    base = _reference(reference, by_name)
    comparisons = pair(by_name, base, level=level)
    if as_json:
        document({"reference": base, "records": _summaries(by_name), "comparisons": [asdict(c) for c in comparisons]})
    else:
        show_tables(comparison_table(by_name, base, comparisons))


def _zero_shot(files: list[Path], reference: str | None, as_json: bool) -> None:
    """Records of zero-shot learning: the reference is a learner of every setting, by its label."""
    from fewshot.records.zero_shot import ZeroShotRecord
    from fewshot.tables.zero_shot import compare_zero_shot, label_of, setting_of, zero_shot_table

    records = [ZeroShotRecord.load(file) for file in files]
    base = label_of(records[0]) if reference is None else reference
    if base not in map(label_of, records):
        raise unknown("reference", base, map(label_of, records))
    if not as_json:
        show_tables(zero_shot_table(records, base))
        return
    of = {setting_of(r): r for r in records if label_of(r) == base}
    pairs = [(r, of[setting_of(r)]) for r in records if setting_of(r) in of and label_of(r) != base]
    found = [
        {"setting": setting_of(r), "learner": label_of(r), **_intervals(compare_zero_shot(r, o))} for r, o in pairs
    ]
    document({"reference": base, "comparisons": found})


def _intervals(found: "dict[str, Interval]") -> dict[str, Any]:
    return {name: asdict(interval) for name, interval in found.items()}


def _reference(asked: str | None, records: "dict[str, Record]") -> str:
    """The name of the reference, which may be given as the path of its file."""
    if asked is None:
        return next(iter(records))
    return asked if asked in records or Path(asked).suffix != ".json" else Path(asked).stem


def _summaries(records: "dict[str, Record]") -> dict[str, Any]:
    return {name: {"learner": r.learner.name, **r.summary.model_dump()} for name, r in records.items()}
