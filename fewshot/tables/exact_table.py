"""A published table of results on tasks beside ours: the same to the last printed digit, or how many items apart.

Of means over random draws, a verdict by `fewshot.tables.drawn_cell`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fewshot.records.record import Record
from fewshot.statistics.verdict import REPRODUCED, Verdict
from fewshot.tables.drawn_cell import READING as DRAWN
from fewshot.tables.drawn_cell import judged, text_of
from fewshot.tables.papers import ExactRow, ExactTable, Paper
from fewshot.tables.record_tables import Table

SAME, FITTED, MISSING = "same to the digit", "same with a fitted option", "no record"
READING = (
    "a bare number: published and ours are the same to the printed digits; published | ours (k): ours is k items apart",
    "fitted: an option was found from the published numbers, for a row or for single tasks",
)


@dataclass(frozen=True)
class ExactCell:
    """One published number with our record.

    Attributes:
        row: Its row.
        task: Its column.
        value: Published, per cent.
        record: Ours, if it is there.
        judged: The verdict where the table is one of means over draws, and the record is there.
    """

    row: ExactRow
    task: str
    value: float
    record: Record | None
    judged: Verdict | None = None

    @property
    def ours(self) -> float | None:
        """Per cent."""
        return None if self.record is None else 100 * self.record.accuracy

    @property
    def items_apart(self) -> int | None:
        """Fewest queried items that would have to be answered otherwise for the printed number; 0 where it is the same.

        None where there is no record, or draws.
        """
        if self.record is None or self.ours is None or self.judged is not None:
            return None
        half, items = 0.5 * 10.0**-self.row.digits, len(self.record.correct)
        right, step = sum(self.record.correct), 100 / items
        counts = (k for k in range(items + 1) if abs(k * step - self.value) <= half * (1 + 1e-9))
        return min((abs(k - right) for k in counts), default=round(abs(self.ours - self.value) / step) or 1)

    @property
    def word(self) -> str:
        """The verdict."""
        if self.judged is not None:
            return self.judged.word
        apart = self.items_apart
        if apart is None:
            return MISSING
        fitted = self.row.fitted or self.task in self.row.fitted_tasks
        return (FITTED if fitted else SAME) if not apart else f"differs by {apart} item{'s' * (apart > 1)}"


def exact_cells(table: ExactTable, records: Mapping[str, Record]) -> list[ExactCell]:
    """Every cell of a table with its record.

    Args:
        table: With the name of a recipe whose records it names.
        records: By their names.
    """
    return [
        _cell_of(table, row, k, records.get(table.record_name(task, row)))
        for row in table.rows
        for k, task in enumerate(table.tasks)
    ]


def _cell_of(table: ExactTable, row: ExactRow, k: int, record: Record | None) -> ExactCell:
    verdict = None
    if table.draws is not None and table.delta is not None:
        spread = None if row.deviations is None else row.deviations[k]
        verdict = judged(row.values[k], spread, row.digits, table.draws, table.delta, record)
    return ExactCell(row, table.tasks[k], row.values[k], record, verdict)


def exact_table_of(paper: Paper, table: ExactTable, cells: list[ExactCell]) -> Table:
    """A row a method, a column a task."""
    rows = []
    for row in table.rows:
        own = [cell for cell in cells if cell.row is row]
        rows.append((row.method + (" (fitted)" if row.fitted else ""), *map(_cell, own), _same(own)))
    notes = (
        f"{paper.authors}, {paper.title}, {paper.venue}; {paper.source}",
        *([table.note] if table.note else []),
        *(READING if table.draws is None else _of_draws(table)),
        f"made by: fewshot-bench run {table.recipe}",
        *(f"{row.method}: {row.note}" for row in table.rows if row.note),
    )
    last = "same" if table.draws is None else "reproduced"
    return Table(("method", *table.tasks, last), tuple(rows), table.about, notes)


def _of_draws(table: ExactTable) -> tuple[str, ...]:
    return (
        *DRAWN,
        f"reproduced: the 90 % interval of the difference lies within ± {table.delta:g} points; {table.draws} draws were published",
    )


def count_exact(cells: list[ExactCell]) -> str:
    """How many cells have each verdict."""
    words = [cell.word.split(" by ")[0] for cell in cells]
    return ", ".join(f"{word} {words.count(word)}" for word in dict.fromkeys(words))


def as_json(cell: ExactCell) -> dict[str, Any]:
    """A cell, with fractions."""
    return {
        "method": cell.row.method,
        "task": cell.task,
        "published": cell.value / 100,
        "ours": None if cell.ours is None else cell.ours / 100,
        "items_apart": cell.items_apart,
        "verdict": cell.word,
    } | (
        {} if cell.judged is None else {"interval_90": list(cell.judged.inner), "interval_95": list(cell.judged.outer)}
    )


def _cell(cell: ExactCell) -> str:
    published = f"{cell.value:.{cell.row.digits}f}"
    if cell.ours is None or cell.record is None:
        return f"{published} | –"
    if cell.judged is not None:
        return text_of(published, cell.record, cell.judged)
    return published if not cell.items_apart else f"{published} | {cell.ours:.{cell.row.digits}f} ({cell.items_apart})"


def _same(cells: list[ExactCell]) -> str:
    return f"{sum(cell.items_apart == 0 or cell.word == REPRODUCED for cell in cells)} of {len(cells)}"
