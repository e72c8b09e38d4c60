"""``fewshot-bench table``: a published table beside what was measured here."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot.cli.options import AsJson
from fewshot.cli.output import document, show_tables

if TYPE_CHECKING:
    from fewshot.results.papers import PaperCell
    from fewshot.results.record import Record

EXAMPLES = (
    "fewshot-bench table",
    "fewshot-bench table snell2017/omniglot",
    "fewshot-bench table snell2017/omniglot --records fewshot-results/omniglot-protonet --json",
)
CHECKOUT, OWN = Path("benchmarks/results"), Path("fewshot-results")


def table(
    name: Annotated[str | None, typer.Argument(help="PAPER/TABLE; all names when left out.")] = None,
    records: Annotated[
        Path | None,
        typer.Option(help="Folder of records.", show_default="benchmarks/results if it is there, else fewshot-results"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Set a published table beside what was measured here.

    Prints the published number, what others got, ours, the difference with its 90 % interval, and a verdict: reproduced,
    different, undecided, under-trained, or no record.
    """
    from fewshot.results.paper_table import paper_table
    from fewshot.results.papers import find_table, paper_tables
    from fewshot.results.tables import Table

    if name is None:
        rows = tuple((key, str(len(t.cells)), t.about) for key, _, t in paper_tables())
        if as_json:
            document([{"name": key, "cells": int(cells), "about": about} for key, cells, about in rows])
        else:
            show_tables(Table(("table", "cells", "about"), rows))
        return
    paper, found = find_table(name)
    known = _records(found.cells, records or (CHECKOUT if CHECKOUT.is_dir() else OWN))
    if as_json:
        document({"table": name, "source": paper.source, "cells": [_cell(c, known.get(c.record)) for c in found.cells]})
    else:
        show_tables(paper_table(paper, found, known))


def _records(cells: "list[PaperCell]", folder: Path) -> "dict[str, Record]":
    """The records of cells that are in a folder, or in a folder of it."""
    from fewshot.results.record import Record

    paths = {cell.record: sorted(folder.rglob(f"{cell.record}.json")) for cell in cells}
    return {name: Record.load(found[0]) for name, found in paths.items() if found}


def _cell(cell: "PaperCell", record: "Record | None") -> dict[str, object]:
    """Everything in fractions."""
    from fewshot.results.paper_table import verdict_of, word_of

    start = {"method": cell.method, "way": cell.way, "shot": cell.shot, "published": cell.value / 100}
    ends = {"delta": cell.delta / 100, "verdict": word_of(cell, record), "record": cell.record, "recipe": cell.recipe}
    if record is None:
        return {**start, **ends}
    found = verdict_of(cell, record)
    return {**start, "ours": record.accuracy, "difference": found.difference, "interval_90": list(found.inner), **ends}
