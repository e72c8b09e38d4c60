"""The picture of a board: accuracy of many learners with intervals, one panel a number of shots."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from fewshot.figures.accuracy import COLOURS
from fewshot.figures.pictures import blank
from fewshot.records.record import Record
from fewshot.tables.board import Entry, entries
from fewshot.tables.record_tables import data_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def learners_figure(records: Sequence[Record], reference: str) -> "Figure":
    """Accuracy of every learner with its interval; higher is better. The line is the reference.

    Circles answer query by query, triangles look at all queries at once; hollow ones were
    given unbalanced queries. Learners are sorted by their mean over the balanced panels.

    Args:
        records: Of many learners, each on one or more lists of episodes.
        reference: Label of the learner that the others are compared with.
    """
    every = entries(records, reference)
    panels = list(dict.fromkeys(e.panel for e in every))
    labels = sorted(dict.fromkeys(e.label for e in every), key=lambda label: _mean(every, label))
    across = min(len(panels), 4)
    down = -(-len(panels) // across)
    figure: Figure = blank(4.2 * across + 1.6, (0.24 * len(labels) + 0.8) * down + 0.8)
    for axes, panel in zip_longest(figure.subplots(down, across, sharey=True, squeeze=False).flat, panels):
        if panel is None:
            axes.set_visible(False)
            continue
        _panel(axes, [e for e in every if e.panel == panel], labels, reference)
        axes.set(title=panel, xlabel="accuracy, %")
    first = every[0].record
    figure.suptitle(f"{data_name(first)}, {first.backbone_name or 'no backbone'}", fontsize=10)
    figure.supxlabel(
        f"bars: {first.summary.level:.0%} intervals for {first.summary.estimand}; line: {reference}; triangles look at "
        "all queries at once; hollow: unbalanced queries",
        fontsize=8,
        color="0.4",
    )
    return figure


def _mean(every: Sequence[Entry], label: str) -> float:
    own = [e.record.accuracy for e in every if e.label == label and e.queries == every[0].queries]
    return sum(own) / max(len(own), 1)


def _panel(axes: "Axes", shown: Sequence[Entry], labels: list[str], reference: str) -> None:
    balanced = shown[0].queries
    for e in shown:
        transductive, even = e.record.learner.transductive, e.queries == balanced
        s, colour = e.record.summary, COLOURS[int(transductive)]
        axes.errorbar(
            100 * s.accuracy, labels.index(e.label) + (0.12 if even else -0.18),
            xerr=[[100 * (s.accuracy - s.low)], [100 * (s.high - s.accuracy)]], color=colour, capsize=2, linewidth=1.2,
            marker="^" if transductive else "o", markersize=5, markerfacecolor=colour if even else "white",
        )  # fmt: skip
        if e.label == reference and even:
            axes.axvline(100 * s.accuracy, color="0.6", linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.grid(axis="y", color="0.93")
    axes.spines[["top", "right"]].set_visible(False)
