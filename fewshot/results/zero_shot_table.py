"""Table of zero-shot records: one row for each setting and learner."""

from collections.abc import Sequence

from fewshot.results.interval import NEW_CLASSES, OPEN
from fewshot.results.tables import ABSENT, Table, mean_cell, percent, with_interval
from fewshot.results.zero_shot import Figure, ZeroShotRecord

COLUMNS = (
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

AUROC_NOTE = (
    "AUROC: items of no known class told from the others by the largest score; 50 is chance; interval for new items"
)


def label_of(record: ZeroShotRecord) -> str:
    """What the recipe calls the learner, or else its name."""
    learners = (record.settings or {}).get("learners") or [{}]
    return str(learners[0].get("label") or record.learner.name)


def setting_of(record: ZeroShotRecord) -> str:
    """What the recipe calls the row, or else the data."""
    rows = ((record.settings or {}).get("zero_shot") or {}).get("rows") or [{}]
    return str(rows[0].get("label") or record.data.name)


def zero_shot_table(records: Sequence[ZeroShotRecord]) -> Table:
    """Mean accuracies over classes, as per cent; higher is better. Columns without any number are left out.

    Args:
        records: Of one data set.
    """
    chance = sorted({f"{100 / len(r.unseen.classes):.2g} %" for r in records})
    told = [AUROC_NOTE] if any(r.open_set for r in records) else []
    notes = (*NOTES, *told, f"chance, unseen classes alone: {', '.join(chance)}")
    rows = [table_row(r) for r in records]
    kept = [k for k in range(len(COLUMNS)) if any(row[k] != ABSENT for row in rows)]
    body = tuple(tuple(row[k] for k in kept) for row in rows)
    return Table(tuple(COLUMNS[k] for k in kept), body, records[0].data.name if records else "", notes)


def table_row(record: ZeroShotRecord) -> tuple[str, ...]:
    """The cells of one record."""
    wide = record.figure("zero-shot", NEW_CLASSES)
    start = (setting_of(record), label_of(record), _cell(record.figure("zero-shot", OPEN)))
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
    title = f"{label_of(record)} on {record.data.name}, {setting_of(record)}; descriptors: {record.descriptors}"
    return Table(("figure", "%", "interval for", "by", "units"), rows, title, (*chosen, *gamma, *record.notes))


def classes_table(record: ZeroShotRecord) -> Table:
    """Accuracy of each unseen class where no other competes, worst first."""
    counts = record.unseen
    shares = [(c / n, name, n) for name, c, n in zip(counts.classes, counts.correct, counts.items, strict=True)]
    rows = tuple((name, percent(share), str(n)) for share, name, n in sorted(shares))
    return Table(("unseen class", "accuracy %", "items"), rows)
