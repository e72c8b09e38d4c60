"""Accuracy against the number of examples, with the points from which examples are worth more than descriptions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fewshot.figures.accuracy import COLOURS, DASHES, MARKERS
from fewshot.figures.pictures import blank
from fewshot.records.record import Record
from fewshot.statistics.crossing import Crossing, crossing
from fewshot.tables.board import label_of
from fewshot.tables.record_tables import data_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def curves(records: Sequence[Record]) -> dict[str, dict[int, Record]]:
    """Records of each learner by the number of shots, which rises."""
    found: dict[str, dict[int, Record]] = {}
    for record in records:
        if isinstance(record.episodes.shot, int):
            found.setdefault(label_of(record), {})[record.episodes.shot] = record
    return {label: dict(sorted(of.items())) for label, of in found.items()}


def crossings(records: Sequence[Record], without: str) -> dict[str, Crossing]:
    """Where each learner overtakes the one that needs no example.

    Args:
        records: Of several learners at several shots, on the same episodes.
        without: Label of the learner that needs no example.
    """
    every = curves(records)
    base, first = every.pop(without), records[0]
    shots, paired = list(base), not first.episodes.spec  # a list of draws, whose examples are nested
    return {
        label: crossing(shots, [of[k].accuracies - base[k].accuracies for k in shots], paired=paired)
        for label, of in every.items()
    }


def shots_figure(records: Sequence[Record], without: str) -> "Figure":
    """One line a learner, with its intervals; the learner that needs no example is a level line.

    Args:
        records: Of several learners at several shots, on the same episodes.
        without: Label of the learner that needs no example.
    """
    figure: Figure = blank(6.4, 4.2)
    axes, every, marks = figure.subplots(), curves(records), crossings(records, without)
    for k, (label, of) in enumerate(every.items()):
        values = np.array([[r.accuracy, r.summary.low, r.summary.high] for r in of.values()]) * 100
        colour = "0.35" if label == without else COLOURS[k % len(COLOURS)]
        marker, dash = "" if label == without else MARKERS[k % len(MARKERS)], DASHES[k % len(DASHES)]
        axes.plot(list(of), values[:, 0], dash, color=colour, marker=marker, markersize=4, label=label)
        axes.fill_between(list(of), values[:, 1], values[:, 2], color=colour, alpha=0.2, linewidth=0)
        met = marks.get(label)
        if met is not None and 0 < met.estimate < np.inf:
            axes.axvline(met.estimate, color=colour, linewidth=0.8, linestyle=":")
    shots = list(next(iter(every.values())))
    axes.set_xscale("log")
    axes.set_xticks(shots, [str(k) for k in shots])
    axes.minorticks_off()
    axes.set(xlabel="examples of each class", ylabel="accuracy, %", title=data_name(records[0]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    first = records[0].summary
    figure.supxlabel(
        f"bands: {first.level:.0%} intervals for {first.estimand}; dotted: examples overtake {without}",
        fontsize=8,
        color="0.4",
    )
    return figure
