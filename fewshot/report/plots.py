"""The figures of a page: accuracies with intervals, accuracy against shots, differences, curves over training."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewshot.report.differences import Differences
from fewshot.report.forest import Bar, describe, forest, hidden_bars
from fewshot.report.learning_curve import LearningCurve, curve_figure, describe_curve
from fewshot.report.results import Group, Result
from fewshot.report.zero_shot import bars_of
from fewshot.results.figures import accuracy_over_shots
from fewshot.results.interval import NEW_CLASSES, OPEN
from fewshot.results.record import Record
from fewshot.results.tables import data_name, queries_cell
from fewshot.results.zero_shot import ZeroShotRecord
from fewshot.results.zero_shot_table import setting_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_LINES = 7
TRIANGLES = "Triangles look at all queries at once."
ZERO_SHOT = {
    "zero-shot": "Zero-shot accuracy, unseen classes alone",
    "harmonic": "Harmonic mean, seen classes compete",
}


@dataclass(frozen=True)
class Plot:
    """A figure on the page.

    Attributes:
        name: Of its files: letters, digits and dashes.
        title: Above it.
        alt: What it shows, in words.
        caption: What bars and marks are.
        figure: Of matplotlib.
    """

    name: str
    title: str
    alt: str
    caption: str
    figure: "Figure"


def slug(*parts: str) -> str:
    """A file name of letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", " ".join(parts).lower()).strip("-")[:80]


def accuracy_plot(group: Group, reference: Result | None) -> Plot:
    """Accuracies of a group with their intervals; a line through the reference, where there is one among several."""
    bars = [_bar(result) for result in group.results]
    line = reference.record.accuracy if reference is not None and len(bars) > 1 else None
    told = [f"Bars: {group.first.summary.level:.0%} intervals for {group.first.summary.estimand}."]
    told += [f"The line is {reference.method}."] if reference is not None and line is not None else []
    told += [TRIANGLES] if any(bar.transductive for bar in bars) else []
    alt, figure = describe(bars, "Accuracies in per cent"), forest(bars, "accuracy, %", line)
    return Plot(slug("accuracy", group.title), group.title, alt, " ".join(told) + hidden_bars(bars), figure)


def _bar(result: Result) -> Bar:
    s = result.record.summary
    return Bar(result.method, s.accuracy, s.low, s.high, transductive=result.record.learner.transductive)


def zero_shot_plots(records: Sequence[ZeroShotRecord]) -> list[Plot]:
    """Zero-shot accuracies and, where seen classes compete, harmonic means, a figure a setting."""
    plots = []
    for setting in dict.fromkeys(setting_of(r) for r in records):
        own = [r for r in records if setting_of(r) == setting]
        for name, title in ZERO_SHOT.items():
            bars = bars_of(own, name)
            if bars:
                level = own[0].figures[0].level
                caption = f"Thick bars: {level:.0%} intervals for {OPEN}; thin ones: for {NEW_CLASSES}." + hidden_bars(
                    bars
                )
                alt, figure = describe(bars, f"{title} in per cent"), forest(bars, "accuracy, %")
                plots.append(Plot(slug(name, setting), f"{title}: {setting}", alt, caption, figure))
    return plots


def difference_plot(found: Differences, title: str = "") -> Plot | None:
    """Paired differences of a group, with a line at zero."""
    if not found.bars:
        return None
    wide = any(bar.wide for bar in found.bars)
    caption = f"Thick bars: {found.bars_are}; thin ones: for new classes." if wide else f"Bars: {found.bars_are}."
    caption += f" {TRIANGLES}" if any(bar.transductive for bar in found.bars) else ""
    caption += hidden_bars(found.bars)
    alt = describe(found.bars, f"Differences to {found.reference} in percentage points")
    figure = forest(found.bars, f"difference to {found.reference}, percentage points".replace("$", r"\$"), 0.0)
    return Plot(slug("difference", found.title), title or found.title, alt, caption, figure)


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
    """What was asked: the labels by their hash in the manifest, so that other forms of the same items count as the same."""
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


def curve_plot(curve: LearningCurve) -> Plot:
    """A run's learning curve."""
    caption = "Loss averaged over blocks of steps; validation classes are neither trained on nor tested."
    return Plot(slug("learning-curve", curve.title), curve.title, describe_curve(curve), caption, curve_figure(curve))
