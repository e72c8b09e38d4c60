"""``fewshot-bench table``: a published table beside what was measured here."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot.cli.terminal.options import AsJson
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept
from fewshot.errors import DataError

if TYPE_CHECKING:
    from fewshot.tables.papers import ExactTable, Paper

EXAMPLES = (
    "fewshot-bench table",
    "fewshot-bench table snell2017/omniglot",
    "fewshot-bench table snell2017/omniglot --format latex",
    "fewshot-bench table long2013/surf",
    "fewshot-bench table vinyals2016/omniglot --records fewshot-results --run-missing",
    "fewshot-bench table kim2026.yaml/omniglot",
)
CHECKOUT, OWN = Path("benchmarks/results"), Path("fewshot-results")
ALONG = "the records that come with the package"


class Format(StrEnum):
    """Forms of a table."""

    text = "text"
    md = "md"
    latex = "latex"
    csv = "csv"
    html = "html"


def table(
    name: Annotated[
        str | None,
        typer.Argument(
            help="PAPER/TABLE; without it: all names. FILE.yaml/TABLE, or FILE.yaml, for a paper of your own."
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            help="Folder of records.",
            show_default="benchmarks/results if it is there, else fewshot-results and the records that come along",
        ),
    ] = None,
    run_missing: Annotated[
        bool, typer.Option("--run-missing", help="First make missing or stale records; may take hours.")
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="Form of the table.")] = Format.text,
    as_json: AsJson = False,
) -> None:
    """Set a published table beside what was measured here.

    Prints the published number, those of others, ours over episodes and over training runs, the difference with its
    90 % interval, and a verdict: reproduced, different, undecided, under-trained, stale, or no record. Tables of
    deterministic results show which cells are the same to the digit.
    """
    from fewshot.plumbing.files import packaged
    from fewshot.recipes.papers import judged_cells, known_records
    from fewshot.recipes.papers import run_missing as make_missing
    from fewshot.tables.formats import FORMATS
    from fewshot.tables.paper_table import as_json as cell_as_json
    from fewshot.tables.paper_table import paper_tables_of
    from fewshot.tables.papers import ExactTable, find_table, own_file

    folder = records or (CHECKOUT if CHECKOUT.is_dir() else OWN)
    shipped = packaged("results") if folder == OWN and records is None else None
    if records is not None and not records.is_dir() and not run_missing:
        raise DataError(f"--records must be a folder, got nothing at '{records}'; --run-missing would make one")
    own = own_file(name or "")
    if name is None or Path(name) == own:
        if run_missing or form is not Format.text:
            raise DataError(f"--run-missing and --format need one table, got {name or 'none'}; name one as PAPER/TABLE")
        _list(folder, shipped, own, as_json)
        return
    paper, found = find_table(name)
    if isinstance(found, ExactTable):
        _exact(name, paper, found, folder, run_missing, form, as_json)
        return
    if run_missing:
        from fewshot.cli.terminal.progress import training_line

        with stdout_kept(), training_line() as report:
            make_missing(found, folder, report, note, shipped)
    judged = judged_cells(found, known_records(folder, found.cells, shipped))
    numbers, made = paper_tables_of(paper, found, judged)
    if as_json:
        document(
            {"table": name, "source": paper.source, "note": found.note, "cells": [cell_as_json(j) for j in judged]}
        )
    elif form is Format.text:
        show_tables(numbers, made)
        note(f"{_read(folder, shipped)}; --run-missing makes what is missing there, --records reads another folder")
    else:
        typer.echo(FORMATS[form](numbers))


def _exact(
    name: str, paper: "Paper", found: "ExactTable", folder: Path, run_missing: bool, form: Format, as_json: bool
) -> None:
    """A table of deterministic results."""
    from fewshot.recipes.exact_tables import make_records, records_of
    from fewshot.tables.exact_table import as_json as cell_as_json
    from fewshot.tables.exact_table import count_exact, exact_cells, exact_table_of
    from fewshot.tables.formats import FORMATS

    if run_missing:
        with stdout_kept():
            make_records(found, folder, note)
    cells = exact_cells(found, records_of(found, folder))
    if as_json:
        document({"table": name, "source": paper.source, "note": found.note, "cells": [cell_as_json(c) for c in cells]})
    elif form is Format.text:
        show_tables(exact_table_of(paper, found, cells))
        note(f"{count_exact(cells)}; records of '{folder}'")
    else:
        typer.echo(FORMATS[form](exact_table_of(paper, found, cells)))


def _read(folder: Path, shipped: Path | None) -> str:
    """Where the records come from."""
    return f"records of '{folder}'" if shipped is None else f"{ALONG}, and those of '{folder}'"


def _list(folder: Path, shipped: Path | None, own: Path | None, as_json: bool) -> None:
    from fewshot.recipes.exact_tables import records_of
    from fewshot.recipes.papers import judged_cells, known_records
    from fewshot.tables.exact_table import count_exact, exact_cells
    from fewshot.tables.paper_table import count_words
    from fewshot.tables.papers import exact_tables, own_file, paper_tables
    from fewshot.tables.record_tables import Table

    tables = [(key, t) for key, _, t in paper_tables(own) if own is None or own_file(key)]
    known = known_records(folder, [cell for _, t in tables for cell in t.cells], shipped)
    found = [(key, len(t.cells), count_words(judged_cells(t, known)), t.about) for key, t in tables]
    for key, _, exact in exact_tables(own):
        if own is None or own_file(key):
            cells = exact_cells(exact, records_of(exact, folder))
            found.append((key, len(cells), count_exact(cells), exact.about))
    if as_json:
        document([{"name": key, "cells": n, "about": about, "verdicts": words} for key, n, words, about in found])
    else:
        rows = tuple((key, str(n), words, about) for key, n, words, about in found)
        show_tables(Table(("table", "cells", "verdicts", "about"), rows))
        note(_read(folder, shipped))
