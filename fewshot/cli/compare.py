"""``fewshot-bench compare``: records on the same episodes, difference by difference."""

from typing import Annotated

import typer

from fewshot.cli.terminal.options import AsJson, RecordPaths
from fewshot.cli.terminal.output import document, show_tables

EXAMPLES = (
    "fewshot-bench compare fewshot-results/quickstart/1-shot",
    "fewshot-bench compare fewshot-results/quickstart/1-shot --reference pixels-nearest-mean --json",
    "fewshot-bench compare fewshot-results/awa1-gzsl --reference eszsl",
)


def compare(
    records: RecordPaths,
    reference: Annotated[
        str | None, typer.Option(help="Record to compare the others with; without it: the first.")
    ] = None,
    level: Annotated[float, typer.Option(help="Level of the intervals of the differences.")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Compare records on the same episodes.

    Prints the paired difference of each to a reference. Records that do not share their episodes are refused.
    """
    from fewshot.cli.terminal.reading import read_records
    from fewshot.tables.compared import compared

    found = compared(read_records(records), reference, level)
    if as_json:
        document(found.as_json())
    else:
        show_tables(found.table())
