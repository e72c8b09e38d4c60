"""The table of zero-shot results, and what their figures draw."""

from collections.abc import Sequence

from fewshot.errors import RecordError
from fewshot.records.record import Figure
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.report.cells import Cell, Column, SortableTable, count, make_table, share, words
from fewshot.report.forest import Bar
from fewshot.statistics.interval import NEW_CLASSES, OPEN
from fewshot.tables.record_tables import ABSENT, looks_cell, percent
from fewshot.tables.zero_shot import label_of


def figure_of(record: ZeroShotRecord, name: str, estimand: str = OPEN) -> Figure | None:
    """A figure of a record, or nothing."""
    try:
        return record.figure(name, estimand)
    except RecordError:
        return None


def _figure(name: str) -> Column[ZeroShotRecord]:
    about = {
        "zero-shot": "unseen classes alone; each class weighs the same",
        "unseen": "unseen classes, seen ones compete",
        "seen": "seen classes, unseen ones compete",
        "harmonic": "harmonic mean of unseen and seen",
    }[name]
    return Column(f"{name} %", about, lambda r: _cell(figure_of(r, name)), True, name == "zero-shot")


def _cell(figure: Figure | None) -> Cell:
    return share(None) if figure is None else share(figure.value, figure.low, figure.high)


def _new_classes(record: ZeroShotRecord) -> Cell:
    wide = figure_of(record, "zero-shot", NEW_CLASSES)
    return Cell(ABSENT, -1.0) if wide is None else Cell(f"{percent(wide.low)} to {percent(wide.high)}", wide.low)


COLUMNS: tuple[Column[ZeroShotRecord], ...] = (
    Column("method", "what was judged", lambda r: words(label_of(r)), shown=True),
    Column("setting", "row of the recipe", lambda r: words(r.setting)),
    _figure("zero-shot"),
    Column("for new classes %", "interval of the zero-shot accuracy if the classes were drawn again", _new_classes, True),
    _figure("unseen"),
    _figure("seen"),
    _figure("harmonic"),
    Column("AUSUC %", "area under seen against unseen accuracy", lambda r: share(r.generalised.area if r.generalised else None), True),
    Column("gamma", "what scores of seen classes lose", lambda r: Cell(f"{r.generalised.gamma:.3g}", r.generalised.gamma) if r.generalised else Cell(ABSENT, -1e9), True),
    Column("data", "data set and split", lambda r: words(f"{r.data.name}/{r.data.split}" if r.data.split else r.data.name)),
    Column("unseen classes", "asked without any example", lambda r: count(str(len(r.unseen.classes))), True),
    Column("items", "asked, of the unseen classes", lambda r: count(f"{sum(r.unseen.items):,}"), True),
    Column("learned from", "items of the seen classes", lambda r: words(f"{r.base.items:,} items of {r.base.classes} classes ({r.base.split})" if r.base else "")),
    Column("descriptions", "what is known of a class", lambda r: words(r.descriptors)),
    Column("looks at items", "whether an answer may depend on the other items", lambda r: words(looks_cell(r.learner))),
    Column("selection", "how options were chosen", lambda r: words(r.selection.partition(":")[0] if r.selection else "nothing chosen")),
)  # fmt: skip


def zero_shot_table(records: Sequence[ZeroShotRecord]) -> SortableTable:
    """One row a record."""
    return make_table(COLUMNS, records)


def bars_of(records: Sequence[ZeroShotRecord], name: str) -> list[Bar]:
    """What a figure draws: thick for new images of these classes, thin for new classes."""
    found = [(r, figure_of(r, name), figure_of(r, name, NEW_CLASSES)) for r in records]
    return [
        Bar(label_of(r), f.value, f.low, f.high, (w.low, w.high) if w else None, r.learner.transductive)
        for r, f, w in found
        if f is not None
    ]
