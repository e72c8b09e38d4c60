"""Tables whose cells know what they are sorted by; columns that say the same in every row are told once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fewshot.tables.record_tables import ABSENT, percent

Row = TypeVar("Row")


@dataclass(frozen=True)
class Cell:
    """Text of a cell.

    Attributes:
        text: What is read first; a number in a column of numbers.
        key: What the column is sorted by; the text where there is no number.
        spread: The interval behind the number, if any.
    """

    text: str
    key: float | int | str = ""
    spread: str = ""


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column: its heading, what it means, and how a row's cell is made.

    Attributes:
        name: Heading.
        about: What it means, in a few words.
        read: Makes the cell.
        numeric: Whether it is set flush right.
        shown: Stays a column also where all rows agree.
    """

    name: str
    about: str
    read: Callable[[Row], Cell]
    numeric: bool = False
    shown: bool = False


@dataclass(frozen=True)
class SortableTable:
    """What the page shows of some rows.

    Attributes:
        columns: Those in which rows differ, or which stay.
        rows: Their cells.
        shared: Heading and text of the others, the same in every row.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    shared: tuple[tuple[str, str], ...] = ()

    @property
    def widths(self) -> tuple[int, ...]:
        """Characters of the longest interval of each column, so that decimal points stand below one another."""
        return tuple(max((len(cell.spread) for cell in cells), default=0) for cells in zip(*self.rows, strict=True))


def make_table(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> SortableTable:
    """Fill a table; columns without any content are left out, and those that say the same everywhere are told once.

    Args:
        columns: All there are.
        rows: What the columns read.
    """
    filled = [(column, [column.read(row) for row in rows]) for column in columns]
    filled = [(c, cells) for c, cells in filled if any(cell.text not in ("", ABSENT) for cell in cells)]
    kept = [(c, cells) for c, cells in filled if c.shown or len({cell.text + cell.spread for cell in cells}) > 1]
    told = tuple((c.name, _in_full(cells[0])) for c, cells in filled if (c, cells) not in kept)
    return SortableTable(tuple(c for c, _ in kept), tuple(zip(*(cells for _, cells in kept), strict=True)), told)


def words(text: str) -> Cell:
    """A cell of text; a dash where there is none."""
    return Cell(text or ABSENT, text.casefold())


def count(text: str) -> Cell:
    """A cell of a whole number or a range of them, sorted by its first."""
    digits = text.replace(",", "").partition("-")[0].partition("/")[0]
    return Cell(text, float(digits) if digits.isdigit() else -1.0)


def share(value: float | None, low: float | None = None, high: float | None = None, signed: bool = False) -> Cell:
    """A fraction as per cent, with its interval: half the width where both arms are equal as printed, else both ends."""
    if value is None:
        return Cell(ABSENT, -1e9)
    text = f"{100 * value:+.2f}" if signed else percent(value)
    text = text.replace("-", "−")
    if low is None or high is None:
        return Cell(text, value)
    below, above = percent(value - low), percent(high - value)
    ends = f"± {above}" if below == above else f"[{percent(low)}, {percent(high)}]".replace("-", "−")
    return Cell(text, value, ends)


def _in_full(cell: Cell) -> str:
    return f"{cell.text} {cell.spread}".strip()
