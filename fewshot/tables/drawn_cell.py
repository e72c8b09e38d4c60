"""A published mean over random draws of the source beside ours, over draws of our own."""

from fewshot.records.record import Record
from fewshot.statistics.verdict import NO_TRAINING, Published, Verdict, judge
from fewshot.tables.record_tables import accuracy_cell

READING = (
    "published | ours with its 95 % interval over draws; * different, ? undecided, unmarked reproduced",
    "the target's items are the same in both; only the draws of the source differ",
)
MARKS = {"reproduced": "", "undecided": " ?", "different": " *"}


def judged(
    value: float, deviation: float | None, digits: int, draws: int, delta: float, record: Record | None
) -> Verdict | None:
    """The verdict on a cell, None without a record.

    Args:
        value: Published, per cent.
        deviation: Its printed standard deviation over draws (divisor: their number), in points; where None, ours stands in.
        digits: Decimals of the published value.
        draws: Behind it.
        delta: Percentage points within which ours agrees.
        record: Ours, over several draws.
    """
    if record is None:
        return None
    half = None if deviation is None else 1.96 * deviation / 100 / (draws - 1) ** 0.5
    queries = record.queries if isinstance(record.queries, int) else None
    published = Published(value / 100, draws, half, digits, queries)
    return judge([record.accuracies], published, delta / 100, NO_TRAINING)


def text_of(published: str, record: Record, verdict: Verdict) -> str:
    """Both numbers, with a mark where they do not agree."""
    return f"{published} | {accuracy_cell(record)}{MARKS[verdict.word]}"
