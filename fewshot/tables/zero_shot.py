"""Table of zero-shot records: one row for each setting and learner."""

from collections.abc import Sequence

from fewshot.errors import StatisticsError
from fewshot.records.differences import differences
from fewshot.records.record import Figure
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.statistics.interval import NEW_CLASSES, OPEN, Interval
from fewshot.tables.record_tables import ABSENT, Table, mean_cell, percent, with_interval

COLUMNS: tuple[str, ...] = (
    "setting",
    "learner",
    "zero-shot %",
    "for new classes",
    "unseen %",
    "seen %",
    "harmonic %",
    "AUSUC %",
    "gamma",
    "AUROC %",
)
NOTES = (
    "zero-shot: unseen classes alone; unseen, seen, harmonic: all classes compete, gamma taken from the scores of seen ones",
    "classes weigh equally; 95% bootstrap intervals, for new images of these classes, and in the fourth column for new classes",
)
DIFFERENCES = ("zero-shot difference %", "harmonic difference %")
DIFFERENCE_NOTE = "differences to {}, percentage points: {:.0%} paired bootstrap, the same images drawn anew within their classes for both"

AUROC_NOTE = (
    "AUROC: items of no known class told from the others by the largest score; 50 is chance; interval for new items"
)


def label_of(record: ZeroShotRecord) -> str:
    """What the recipe calls the learner, or else its name."""
    learners = (record.settings or {}).get("learners") or [{}]
    return str(learners[0].get("label") or record.learner.name)


def zero_shot_table(records: Sequence[ZeroShotRecord], reference: str | None = None, level: float = 0.95) -> Table:
    """Mean accuracies over classes, as per cent; higher is better. Columns without any number are left out.

    Args:
        records: Of one data set.
        reference: Label of the learner that all others of its setting are compared with, item by item.
        level: Of the intervals of the differences.

    Raises:
        StatisticsError: If the reference has no record of a setting, or records do not tell single answers or have other items.
    """
    chance = sorted({f"{100 / len(r.unseen.classes):.2g} %" for r in records})
    notes = [*NOTES, *([AUROC_NOTE] if any(r.open_set for r in records) else [])]
    notes.append(f"chance, unseen classes alone: {', '.join(chance)}")
    columns, rows = COLUMNS, [table_row(r) for r in records]
    if reference is not None:
        of = {r.setting: r for r in records if label_of(r) == reference}
        rows = [(*row, *_differences(r, of.get(r.setting), level)) for row, r in zip(rows, records, strict=True)]
        columns = (*columns, *DIFFERENCES)
        notes.append(DIFFERENCE_NOTE.format(reference, level))
    kept = [k for k in range(len(columns)) if any(row[k] != ABSENT for row in rows)]
    body = tuple(tuple(row[k] for k in kept) for row in rows)
    return Table(tuple(columns[k] for k in kept), body, records[0].data.name if records else "", tuple(notes))


def _differences(record: ZeroShotRecord, reference: ZeroShotRecord | None, level: float) -> tuple[str, str]:
    """Of the zero-shot accuracy and of H."""
    if reference is None:
        raise StatisticsError(
            f"every setting needs a record of the reference, got none for '{record.setting}'; run that first"
        )
    if record is reference:
        return ABSENT, ABSENT
    found = differences(record, reference, level)
    return _signed(found["zero-shot"]), _signed(found["harmonic"]) if "harmonic" in found else ABSENT


def _signed(interval: Interval) -> str:
    return with_interval(interval.estimate, interval.low, interval.high, signed=True)


def table_row(record: ZeroShotRecord) -> tuple[str, ...]:
    """The cells of one record."""
    wide = record.figure("zero-shot", NEW_CLASSES)
    start = (record.setting, label_of(record), _cell(record.figure("zero-shot", OPEN)))
    new_classes = f"[{percent(wide.low)}, {percent(wide.high)}]"
    mixed = record.generalised
    if mixed is None:
        return (*start, new_classes, *[ABSENT] * 5, _told_apart(record))
    cells = [_cell(record.figure(name, OPEN)) for name in ("unseen", "seen", "harmonic")]
    return (*start, new_classes, *cells, percent(mixed.area), f"{mixed.gamma:.3g}", _told_apart(record))


def _told_apart(record: ZeroShotRecord) -> str:
    """AUROC by the largest score."""
    return mean_cell(record.open_set[0].auroc) if record.open_set else ABSENT


def _cell(figure: Figure) -> str:
    return with_interval(figure.value, figure.low, figure.high)


def figures_table(record: ZeroShotRecord) -> Table:
    """Every figure with each of its intervals, and how options and gamma were chosen."""
    rows = tuple((f.name, _cell(f), f.estimand, f.interval, str(f.count)) for f in record.figures)
    mixed = record.generalised
    chosen = [f"options: {record.selection}"] if record.selection else []
    gamma = [f"gamma {mixed.gamma:.4g}: {mixed.gamma_from}"] if mixed else []
    title = f"{label_of(record)} on {record.data.name}, {record.setting}; descriptors: {record.descriptors}"
    return Table(("figure", "%", "interval for", "by", "units"), rows, title, (*chosen, *gamma, *record.notes))


def open_table(record: ZeroShotRecord) -> Table:
    """AUROC and FPR95 of items of no known class, by each measure of how known an item is."""
    rows = tuple((m.known_by, mean_cell(m.auroc), mean_cell(m.fpr95)) for m in record.open_set)
    return Table(("known by", "AUROC %", "FPR95 %"), rows, notes=("95% bootstrap intervals, for new items",))


def classes_table(record: ZeroShotRecord) -> Table:
    """Accuracy of each unseen class where no other competes, worst first."""
    counts = record.unseen
    shares = [(c / n, name, n) for name, c, n in zip(counts.classes, counts.correct, counts.items, strict=True)]
    rows = tuple((name, percent(share), str(n)) for share, name, n in sorted(shares))
    return Table(("unseen class", "accuracy %", "items"), rows)
