"""The figures of a page: accuracies with intervals, differences, curves over training; those over shots are in `shots`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.report.differences import Differences
from fewshot.report.forest import Bar, describe, forest, hidden_bars
from fewshot.report.learning_curve import LearningCurve, curve_figure, describe_curve
from fewshot.report.results import Group, Result
from fewshot.report.zero_shot import bars_of
from fewshot.statistics.interval import NEW_CLASSES, OPEN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    for setting in dict.fromkeys(r.setting for r in records):
        own = [r for r in records if r.setting == setting]
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


def curve_plot(curve: LearningCurve) -> Plot:
    """A run's learning curve."""
    caption = "Loss averaged over blocks of steps; validation classes are neither trained on nor tested."
    return Plot(slug("learning-curve", curve.title), curve.title, describe_curve(curve), caption, curve_figure(curve))
