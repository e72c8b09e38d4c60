"""``fewshot-bench verify``: do the answers of a record hold?"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import AsJson, RecordPaths
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept
from fewshot.errors import FewShotError

if TYPE_CHECKING:
    from fewshot.records.load import AnyRecord

EXAMPLES = (
    "fewshot-bench verify fewshot-results/quickstart/1-shot",
    "fewshot-bench verify fewshot-results/quickstart/1-shot fewshot-results/quickstart/5-shot --episodes 200 --json",
)


def verify(
    records: RecordPaths,
    episodes: Annotated[int, typer.Option(min=1, help="Number of episodes of each record to compute anew.")] = 50,
    seed: Annotated[int, typer.Option(min=0, help="Seed of their random choice.")] = 0,
    without_answers: Annotated[
        bool, typer.Option("--without-answers", help="Check only the counts, if the answers were not kept.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that the answers of records hold.

    Reads the answers beside each record, and computes random episodes anew. Exit code 1 if a record does not hold,
    2 if one cannot be checked because data or weights are missing.
    """
    from fewshot.cli.terminal.reading import record_files

    results = []
    with stdout_kept():
        for path in record_files(records):
            results.append(_checked(path, episodes, seed, not without_answers))
    if as_json:
        document(results)
    else:
        _show(results)
    outcomes = {result["outcome"] for result in results}
    code = 1 if "fails" in outcomes else 2 if "not checked" in outcomes else 0
    if code:
        raise typer.Exit(code)


def _checked(path: Path, episodes: int, seed: int, answers: bool) -> dict[str, Any]:
    """What came of one file, so that a bad one does not keep the others from being checked."""
    from fewshot.cli.objects.verdict import verdict_of
    from fewshot.evaluation.verify import Verdict
    from fewshot.records.load import load_record

    told: tuple[str, ...] = ()
    try:
        record = load_record(path)
        told = _about_answers(record, path.parent) if answers else ()
        verdict = verdict_of(record, episodes, seed)
    except FewShotError as error:
        note(f"error: {path}: {error}")
        outcome, verdict = "fails" if told else "not checked", Verdict((), (), 0, (str(error),))
    else:
        outcome = "holds" if verdict.holds and not told else "fails"
    return {"record": str(path), "outcome": outcome, **asdict(replace(verdict, problems=(*verdict.problems, *told)))}


def _about_answers(record: "AnyRecord", folder: Path) -> tuple[str, ...]:
    """A sentence where the answers beside a record are not whole, or not its own."""
    try:
        record.check_answers(folder)
    except FewShotError as error:
        return (f"{error}, or check the counts alone with --without-answers",)
    return ()


def _show(results: list[dict[str, Any]]) -> None:
    from fewshot.tables.record_tables import Table

    rows = tuple(
        (r["record"], r["outcome"], str(len(r["episodes"])), str(r["ties"]), "; ".join(r["problems"])) for r in results
    )
    show_tables(Table(("record", "outcome", "episodes", "ties", "what does not hold"), rows))
