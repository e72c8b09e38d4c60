"""Which results rest on queries that are shared evenly by the classes."""

from collections.abc import Mapping

from fewshot.records.record import Record

ASSUMES_BALANCE = (
    "the learner assumes that every class has as many queries as the others; where that does not hold, accuracy falls"
)
"""The note of a record, and the warning of a classifier, of a learner that says so of itself."""


def balance_lines(records: Mapping[str, Record]) -> tuple[str, ...]:
    """The line below a table that names the records of such learners; none without any."""
    names = [name for name, record in records.items() if ASSUMES_BALANCE in record.notes]
    return (f"{', '.join(names)}: {ASSUMES_BALANCE}",) if names else ()
