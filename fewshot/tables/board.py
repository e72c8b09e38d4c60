"""Many learners on the same episodes: one row a learner, one pair of columns a number of shots."""

from collections.abc import Sequence
from dataclasses import dataclass

from fewshot.errors import RecordError
from fewshot.records.compare import compare
from fewshot.records.record import LAST_WEIGHTS, Record
from fewshot.records.seen import seen_sentence
from fewshot.statistics.interval import Interval
from fewshot.tables.balance import balance_lines
from fewshot.tables.record_tables import (
    ABSENT,
    Table,
    accuracy_cell,
    data_name,
    queries_cell,
    shot_cell,
    whole,
    with_interval,
)


@dataclass(frozen=True)
class Entry:
    """One learner on one list of episodes.

    Attributes:
        label: What the table calls the learner.
        record: Its record.
        difference: Its accuracy minus that of the reference on the same episodes; none for the reference itself.
    """

    label: str
    record: Record
    difference: Interval | None

    @property
    def setting(self) -> str:
        """Ways and shots: ``5-way 1-shot``."""
        return f"{whole(self.record.episodes.way)}-way {shot_cell(self.record.episodes)}-shot"

    @property
    def panel(self) -> str:
        """The setting, and options of the data that hold for this row alone: ``5-way 1-shot, rotations none``."""
        rows = (self.record.settings or {}).get("evaluation", {}).get("rows") or [{}]
        options = rows[0].get("data_options") or {}
        return ", ".join([self.setting, *(f"{key} {value}" for key, value in options.items())])

    @property
    def queries(self) -> str:
        """How the queries of an episode are spread over its classes, and what else it holds without labels."""
        return queries_cell(self.record)


def label_of(record: Record) -> str:
    """What a recipe calls the learner of a record: its label, or else its name."""
    return str((record.settings or {}).get("label") or record.learner.name)


def entries(records: Sequence[Record], reference: str) -> list[Entry]:
    """Every record with its paired difference to the reference on the same episodes, in the order given.

    Args:
        records: Of many learners, each on one or more lists of episodes.
        reference: Label of the learner that the others are compared with, chosen beforehand.

    Raises:
        RecordError: If the reference did not answer some of the episodes.
    """
    lists: dict[str, dict[str, Record]] = {}
    for record in records:
        lists.setdefault(record.episodes.manifest, {})[label_of(record)] = record
    found: dict[tuple[str, str], Interval | None] = {}
    for manifest, answered in lists.items():
        if reference not in answered:
            raise RecordError(
                f"the reference '{reference}' must have a record for every list of episodes, got none for '{manifest}'"
            )
        found[manifest, reference] = None
        if len(answered) > 1:
            found |= {(manifest, c.name): c.difference for c in compare(answered, reference)}
    return [Entry(label_of(r), r, found[r.episodes.manifest, label_of(r)]) for r in records]


def learners_table(records: Sequence[Record], reference: str, notes: Sequence[str] = ()) -> Table:
    """Accuracies, and paired differences to the reference, of many learners; above 0 is better than it.

    Args:
        records: Of many learners, each on one or more lists of episodes.
        reference: Label of the learner that the others are compared with.
        notes: Further lines to stand below.
    """
    every = entries(records, reference)
    settings = list(dict.fromkeys(e.panel for e in every))
    rows: dict[tuple[str, str], dict[str, Entry]] = {}
    for e in every:
        rows.setdefault((e.label, e.queries), {})[e.panel] = e
    kinds = list(dict.fromkeys(e.queries for e in every))
    columns = ("learner", "looks at queries", "queries", *(c for s in settings for c in (f"{s} %", "difference")))
    body = tuple(
        (label, _looks(of), queries, *(cell for s in settings for cell in _cells(of.get(s), reference)))
        for (label, queries), of in sorted(rows.items(), key=lambda row: kinds.index(row[0][1]))
    )
    return Table(
        columns,
        body,
        _title(records),
        (*_notes(every, reference), *balance_lines({label_of(r): r for r in records}), *notes),
    )


def _looks(of: dict[str, Entry]) -> str:
    return "all at once" if any(e.record.learner.transductive for e in of.values()) else "one by one"


def _cells(entry: Entry | None, reference: str) -> tuple[str, str]:
    if entry is None:
        return ABSENT, ABSENT
    d = entry.difference
    gap = "reference" if d is None else with_interval(d.estimate, d.low, d.high, signed=True)
    return accuracy_cell(entry.record), gap


def _title(records: Sequence[Record]) -> str:
    made = dict.fromkeys((r.backbone_name or "no backbone", data_name(r)) for r in records)
    return "; ".join(f"{data} with {backbone}" for backbone, data in made)


def _notes(every: Sequence[Entry], reference: str) -> tuple[str, ...]:
    first = every[0].record
    counts = sorted({e.record.episodes.count for e in every})
    chosen = sorted({e.label for e in every if e.record.selection not in (None, LAST_WEIGHTS)})
    return (
        f"accuracy: mean over {', '.join(f'{c:,}' for c in counts)} episodes, {first.summary.level:.0%} interval for "
        f"{first.summary.estimand}",
        f"difference: accuracy minus that of {reference} on the same episodes, in percentage points; above 0 is better",
        *([f"options or weights chosen on validation classes: {', '.join(chosen)}"] if chosen else []),
        *dict.fromkeys(f"seen before: {seen_sentence(e.record)}" for e in every if seen_sentence(e.record)),
    )
