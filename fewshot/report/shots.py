"""Figures of accuracy against the number of shots."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewshot.figures.accuracy import accuracy_over_shots
from fewshot.records.record import Record
from fewshot.report.plots import Plot, slug
from fewshot.report.results import Result
from fewshot.tables.record_tables import data_name, queries_cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = 7


def shots_plots(results: Sequence[Result], reference: str | None) -> list[Plot]:
    """Accuracy against shots for records alike in all else, where there are two numbers of shots or more."""
    families: dict[tuple[object, ...], list[Result]] = {}
    for result in results:
        e, s = result.record.episodes, result.record.summary
        if isinstance(e.way, int) and isinstance(e.shot, int) and "shots" not in e.spec:
            key = (e.way, str(e.query), queries_cell(result.record), _items(result.record), s.level, s.estimand)
            families.setdefault(key, []).append(result)
    several = [f for f in families.values() if len({r.record.episodes.shot for r in f}) > 1]
    return [_shots_plot(family, reference) for family in several]


def _items(record: Record) -> str:
    """What was queried: the labels by their hash in the manifest, so that other forms of the same items count as the same."""
    found = (
        re.search(r"items=(\w+)", record.episodes.manifest) if record.episodes.spec else None
    )  # a list names its rows
    return found[1] if found else record.data.hash


def _shots_plot(family: Sequence[Result], reference: str | None) -> Plot:
    first = family[0].record
    curves: dict[str, list[Record]] = {}
    for r in family:
        curves.setdefault(r.method, []).append(r.record.model_copy(update={"data": first.data}))
    names = _most_telling(curves, reference)
    left_out = len(curves) - len(names)
    caption = f"Bars: {first.summary.level:.0%} intervals for {first.summary.estimand}."
    caption += (
        f" Drawn are the reference and the best at most shots; {left_out} others stand in the table."
        if left_out
        else ""
    )
    title = f"{first.episodes.way}-way, {queries_cell(first)}, {data_name(first)}"
    best = {n: max(curves[n], key=lambda r: int(str(r.episodes.shot))) for n in names}
    alt = f"Accuracy against shots of {len(names)} methods. At most shots: " + ", ".join(
        f"{n} {100 * r.accuracy:.2f} %" for n, r in best.items()
    )
    return Plot(slug("shots", title), title, alt + ".", caption, _without_title({n: curves[n] for n in names}))


def _most_telling(curves: dict[str, list[Record]], reference: str | None) -> list[str]:
    """The reference, or the first method, and the best ones at the largest number of shots."""
    base = reference if reference in curves else next(iter(curves))
    best = sorted(curves, key=lambda n: max((int(str(r.episodes.shot)), r.accuracy) for r in curves[n]), reverse=True)
    return [str(base), *(n for n in best if n != base)][:MOST_LINES]


def _without_title(curves: dict[str, list[Record]]) -> "Figure":
    """The page has the title and what the bars are."""
    figure = accuracy_over_shots(curves)
    figure.axes[0].set_title("")
    figure.supxlabel("")
    return figure
