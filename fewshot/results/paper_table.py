"""A published table beside what was measured here, with a verdict for each cell."""

from collections.abc import Mapping

from fewshot.results.papers import Paper, PaperCell, PaperTable
from fewshot.results.record import Record
from fewshot.results.tables import ABSENT, Table, accuracy_cell, with_interval
from fewshot.results.verdict import UNDECIDED, Verdict, judge, plausible

COLUMNS = ("method", "way", "shot", "published %", "re-runs %", "ours %", "difference", "delta", "verdict", "record")
UNDER_TRAINED, MISSING = "under-trained", "no record"


def verdict_of(cell: PaperCell, record: Record) -> Verdict:
    """What our record says of a published number; a printed interval that cannot be one over episodes is not used."""
    published = cell.published
    if not plausible(published, cell.way * cell.queries):
        published = cell.model_copy(update={"half_width": None}).published
    return judge([record.accuracies], published, cell.delta / 100)


def word_of(cell: PaperCell, record: Record | None) -> str:
    """The verdict in a word, or why there is none."""
    if record is None:
        return MISSING
    return UNDER_TRAINED if cell.short_of else verdict_of(cell, record).word


def paper_table(paper: Paper, table: PaperTable, records: Mapping[str, Record]) -> Table:
    """The rows of a published table, each with ours, the difference in points with its 90 % interval, and a verdict.

    Args:
        paper: Of the table.
        table: Its cells.
        records: By name.
    """
    rows = tuple(_row(cell, records.get(cell.record)) for cell in table.cells)
    short = [f"{cell.record}: under-trained, {cell.short_of}" for cell in table.cells if cell.short_of]
    recipes = dict.fromkeys(cell.recipe for cell in table.cells)
    one_run = any(cell.record in records for cell in table.cells)
    notes = (
        f"{paper.authors}, {paper.title}, {paper.venue}; {paper.source}",
        *([table.note] if table.note else []),
        "published ±: a printed 95 % interval, (…) where it cannot be one over episodes; none means none was printed",
        "difference: ours minus published, percentage points, with its 90 % interval; reproduced: within ±delta",
        *([f"each cell has one training run, so that none can be more than {UNDECIDED}"] if one_run else []),
        *short,
        *(f"to make its records: fewshot-bench run {recipe}" for recipe in recipes),
    )
    return Table(COLUMNS, rows, table.about, notes)


def _row(cell: PaperCell, record: Record | None) -> tuple[str, ...]:
    ours, gap = ABSENT, ABSENT
    if record is not None:
        found = verdict_of(cell, record)
        ours, gap = accuracy_cell(record), with_interval(found.difference, *found.inner, signed=True)
    reruns = sorted(cell.reruns)
    others = f"{reruns[0]:g} to {reruns[-1]:g}" if len(reruns) > 1 else f"{reruns[0]:g}" if reruns else ABSENT
    return (
        cell.method, str(cell.way), str(cell.shot), _published(cell), others, ours, gap, f"{cell.delta:g}",
        word_of(cell, record), cell.record,
    )  # fmt: skip


def _published(cell: PaperCell) -> str:
    value = f"{cell.value:.{cell.digits}f}"
    if cell.half_width is None:
        return value
    half = f"± {cell.half_width:g}"
    return f"{value} {half}" if plausible(cell.published, cell.way * cell.queries) else f"{value} ({half})"
