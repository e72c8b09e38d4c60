"""The picture of transfer between domains: every learner on every task, with intervals; matplotlib is imported when it is made."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from fewshot.errors import RecordError
from fewshot.figures.accuracy import COLOURS, MARKERS
from fewshot.figures.pictures import blank
from fewshot.records.record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 4  # panels in a row


def transfer_figure(records: Mapping[tuple[str, str], Record], reference: str | None = None) -> "Figure":
    """A panel a task, a line a learner: accuracy with its interval; higher is better.

    Args:
        records: By task and label of the learner; each task with each learner.
        reference: Label of the learner whose accuracy is a dotted line in every panel.

    Raises:
        RecordError: If there is no record, a task lacks a learner, or the reference is none of them.
    """
    tasks, labels = (list(dict.fromkeys(key[k] for key in records)) for k in (0, 1))
    missing = [(task, label) for task in tasks for label in labels if (task, label) not in records]
    if not records or missing:
        raise RecordError(f"a figure needs a record of every learner on every task, got none for {missing or 'any'}")
    if reference is not None and reference not in labels:
        raise RecordError(f"the reference must be one of {', '.join(labels)}, got '{reference}'")
    rows = -(-len(tasks) // ACROSS)
    across = min(ACROSS, len(tasks))
    figure: Figure = blank(2.6 * across + 1.2, (0.24 * len(labels) + 0.8) * rows + 0.6)
    panels = figure.subplots(rows, across, squeeze=False, sharey=True).flatten()
    for axes, task in zip(panels, tasks, strict=False):
        _panel(axes, task, [records[task, label] for label in labels], labels, reference)
    for axes in panels[len(tasks) :]:
        axes.set_visible(False)
    summary = next(iter(records.values())).summary
    figure.supxlabel(f"accuracy, % (bars: {100 * summary.level:.0f} % intervals, {summary.estimand})", fontsize=9)
    return figure


def _panel(axes: "Axes", task: str, shown: list[Record], labels: list[str], reference: str | None) -> None:
    heights = range(len(labels))[::-1]
    for k, (record, y) in enumerate(zip(shown, heights, strict=True)):
        own, colour = record.summary, COLOURS[k % len(COLOURS)]
        axes.plot([100 * own.low, 100 * own.high], [y, y], color=colour, linewidth=1.4)
        axes.plot(100 * own.accuracy, y, MARKERS[k % len(MARKERS)], color=colour, markersize=4)
    if reference is not None:
        axes.axvline(100 * shown[labels.index(reference)].accuracy, color="0.6", linewidth=0.8, linestyle=":")
    axes.set_title(task.replace(">", " → "), fontsize=9)
    axes.set_yticks(list(heights), labels, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
