"""Paired differences to a reference, group by group, and sentences where there are none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fewshot.errors import StatisticsError
from fewshot.records.compare import compare, compare_over_classes
from fewshot.report.cells import Cell, Column, SortableTable, make_table, share, words
from fewshot.report.forest import Bar
from fewshot.report.results import Group, Result
from fewshot.statistics.interval import CLOSED
from fewshot.statistics.paired import Comparison
from fewshot.tables.record_tables import ABSENT

ALONE = "Only one record answered these episodes, so there is nothing to pair it with."
APART = (
    "Records of different lists of episodes are not compared with each other: their difference would also hold the luck "
    "of the draw."
)


@dataclass(frozen=True)
class Differences:
    """What a group says.

    Attributes:
        title: Of the group.
        reference: Method that the others are compared with; nothing where none is.
        bars: For the figure; fractions, above 0 is better than the reference.
        table: With intervals and p-values.
        sentences: What the numbers speak of, or why there are none.
        bars_are: What the intervals of the bars are for.
    """

    title: str
    reference: str = ""
    bars: tuple[Bar, ...] = ()
    table: SortableTable | None = None
    sentences: tuple[str, ...] = field(default=())
    bars_are: str = ""


@dataclass(frozen=True)
class _Pair:
    result: Result
    here: Comparison
    over_classes: Comparison | None


def differences(group: Group, reference: str | None, classes: np.ndarray | None) -> Differences:
    """Every method of a group against the reference, on the same episodes.

    Args:
        group: Of records that answered one list of episodes.
        reference: Name of the reference; the group's first record where none is given.
        classes: Class ids of the episodes ``(episodes, way)``, where they are known; needed for p-values over new classes.
    """
    base = group.find(reference)
    if len(group.results) < 2:
        return Differences(group.title, sentences=(ALONE,))
    if base is None:
        return Differences(
            group.title, sentences=(f"No record of the reference '{reference}' answered these episodes.",)
        )
    by_method = {r.method: r.record for r in group.results}
    here = {c.name: c for c in compare(by_method, base.method)}
    over, why_not = _over_classes(by_method, base.method, classes)
    pairs = [_Pair(r, here[r.method], over.get(r.method)) for r in group.results if r is not base]
    bars = tuple(_bar(pair) for pair in pairs)
    sentences = (_what(base, pairs[0]), *_tests(pairs, why_not))
    return Differences(group.title, base.method, bars, make_table(COLUMNS, pairs), sentences, _bars_are(base, pairs[0]))


def _over_classes(
    records: Mapping[str, object], base: str, classes: np.ndarray | None
) -> tuple[dict[str, Comparison], str]:
    """Comparisons with classes as the unit, or why there are none."""
    if classes is None:
        return {}, "the classes of the episodes are known neither from answers beside the records nor from the data"
    try:
        return {c.name: c for c in compare_over_classes(records, base, classes)}, ""  # type: ignore[arg-type]
    except StatisticsError as error:
        return {}, str(error)


def _bar(pair: _Pair) -> Bar:
    d, wide = pair.here.difference, pair.over_classes
    ends = None if wide is None else (wide.difference.low, wide.difference.high)
    return Bar(pair.result.method, d.estimate, d.low, d.high, ends, pair.result.record.learner.transductive)


def _bars_are(base: Result, pair: _Pair) -> str:
    """Level and estimand; a comparison takes episodes as its unit, and the record says what an episode draws anew."""
    d = pair.here.difference
    estimand = base.record.summary.estimand if d.estimand == CLOSED else d.estimand
    return f"{d.level:.0%} intervals for {estimand}"


def _what(base: Result, pair: _Pair) -> str:
    return (
        f"Difference: accuracy minus that of {base.method} on the same {base.record.episodes.count:,} episodes, in percentage "
        f"points, with {_bars_are(base, pair)}; above 0 is better than the reference."
    )


def _tests(pairs: Sequence[_Pair], why_not: str) -> list[str]:
    """What p-values speak of, or why there are none."""
    if any(_p_value(pair) is not None for pair in pairs):
        kind = "new images" if pairs[0].here.p_value is not None else "new classes"
        corrected = "the only comparison" if len(pairs) == 1 else f"corrected by Holm for the {len(pairs)} comparisons"
        return [f"p (Holm): two-sided, for no difference on {kind}; {corrected} of this table."]
    return [
        "No p-value is given: the episodes share items, so that none of theirs would speak of new ones. None is given for new "
        f"classes either: {why_not}."
    ]


def _p_value(pair: _Pair) -> float | None:
    return next((c.adjusted for c in (pair.here, pair.over_classes) if c is not None and c.adjusted is not None), None)


def _p(pair: _Pair) -> Cell:
    value = _p_value(pair)
    if value is None:
        return Cell(ABSENT, 2.0)
    return Cell("< 0.0001" if value < 0.0001 else f"{value:.4f}", value)


def _difference(comparison: Comparison | None) -> Cell:
    if comparison is None:
        return share(None)
    d = comparison.difference
    return share(d.estimate, d.low, d.high, signed=True)


def _wide(pair: _Pair) -> Cell:
    """The interval alone; the estimate is that of the column before."""
    if pair.over_classes is None:
        return Cell(ABSENT, -1e9)
    d = pair.over_classes.difference
    return Cell(f"{100 * d.low:+.2f} to {100 * d.high:+.2f}".replace("-", "−"), d.low)


COLUMNS: tuple[Column[_Pair], ...] = (
    Column("method", "compared with the reference", lambda p: words(p.result.method), shown=True),
    Column("accuracy %", "mean over episodes", lambda p: share(p.result.record.accuracy), True, True),
    Column(
        "difference", "percentage points, with interval for these images", lambda p: _difference(p.here), True, True
    ),
    Column("for new classes", "interval of the difference if the classes were drawn again", _wide, True, True),
    Column("p (Holm)", "for no difference", _p, True, True),
)
