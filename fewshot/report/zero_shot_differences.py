"""Paired differences of zero-shot records to a reference, item by item."""

from collections.abc import Sequence
from dataclasses import dataclass

from fewshot.errors import StatisticsError
from fewshot.records.differences import differences
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.report.cells import Cell, Column, make_table, share, words
from fewshot.report.differences import ALONE, Differences
from fewshot.report.forest import Bar
from fewshot.statistics.interval import Interval
from fewshot.tables.zero_shot import label_of

SPEAKS_OF = (
    "Difference: accuracy minus that of {} on the same items, in percentage points, with its 95% interval by a paired "
    "bootstrap for new images of these classes; above 0 is better than the reference.",
    "No p-value is given: the intervals are not corrected for the number of comparisons, and say nothing of new classes.",
)
DRAWN = {"zero-shot": "zero-shot accuracy", "harmonic": "harmonic mean"}


@dataclass(frozen=True)
class _Pair:
    record: ZeroShotRecord
    found: dict[str, Interval]


def _difference(name: str) -> Column[_Pair]:
    def read(pair: _Pair) -> Cell:
        d = pair.found.get(name)
        return share(None) if d is None else share(d.estimate, d.low, d.high, signed=True)

    return Column(f"{name} difference", "percentage points", read, True, True)


COLUMNS: tuple[Column[_Pair], ...] = (
    Column("method", "compared with the reference", lambda p: words(label_of(p.record)), shown=True),
    Column("zero-shot %", "unseen classes alone", lambda p: share(p.record.accuracy), True, True),
    _difference("zero-shot"),
    _difference("harmonic"),
)


def zero_shot_differences(records: Sequence[ZeroShotRecord], reference: str | None) -> list[Differences]:
    """One for each setting.

    Args:
        records: Of any settings.
        reference: Label of the learner that the others are compared with; the first record's where none is given.
    """
    base = reference or label_of(records[0])
    settings = dict.fromkeys(r.setting for r in records)
    return [_of_setting(s, [r for r in records if r.setting == s], base) for s in settings]


def _of_setting(setting: str, records: Sequence[ZeroShotRecord], reference: str) -> Differences:
    base, title = next((r for r in records if label_of(r) == reference), None), f"{setting}, {records[0].data.name}"
    if base is None or len(records) < 2:
        return Differences(title, sentences=(ALONE if base else f"No record of '{reference}' is among these.",))
    try:
        pairs = [_Pair(r, differences(r, base)) for r in records if r is not base]
    except StatisticsError as error:
        return Differences(title, sentences=(f"No differences are given: {error}.",))
    name = "harmonic" if all("harmonic" in p.found for p in pairs) else "zero-shot"
    bars = tuple(_bar(p, name) for p in pairs)
    drawn = f"The figure draws the difference of the {DRAWN[name]}."
    sentences = (SPEAKS_OF[0].format(reference), drawn, SPEAKS_OF[1])
    d = pairs[0].found[name]
    return Differences(
        title, reference, bars, make_table(COLUMNS, pairs), sentences, f"{d.level:.0%} intervals for {d.estimand}"
    )


def _bar(pair: _Pair, name: str) -> Bar:
    d = pair.found[name]
    return Bar(label_of(pair.record), d.estimate, d.low, d.high, transductive=pair.record.learner.transductive)
