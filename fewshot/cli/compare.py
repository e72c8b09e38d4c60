"""``fewshot-bench compare``: records on the same episodes, difference by difference."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.options import AsJson, RecordPaths
from fewshot.cli.output import document, show_tables

if TYPE_CHECKING:
    from fewshot.results.record import Record

EXAMPLES = (
    "fewshot-bench compare fewshot-results/quickstart/1-shot",
    "fewshot-bench compare fewshot-results/quickstart/1-shot --reference pixels-nearest-mean --json",
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
    from fewshot.cli.reading import read_records
    from fewshot.results.compare import compare as pair
    from fewshot.results.tables import comparison_table

    by_name = read_records(records)
    base = _reference(reference, by_name)
    comparisons = pair(by_name, base, level=level)
    if as_json:
        document({"reference": base, "records": _summaries(by_name), "comparisons": [asdict(c) for c in comparisons]})
    else:
        show_tables(comparison_table(by_name, base, comparisons))


def _reference(asked: str | None, records: "dict[str, Record]") -> str:
    """The name of the reference, which may be given as the path of its file."""
    if asked is None:
        return next(iter(records))
    return asked if asked in records or Path(asked).suffix != ".json" else Path(asked).stem


def _summaries(records: "dict[str, Record]") -> dict[str, Any]:
    return {name: {"learner": r.learner.name, **r.summary.model_dump()} for name, r in records.items()}
