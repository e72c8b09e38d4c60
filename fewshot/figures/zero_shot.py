"""The picture of zero-shot records: accuracies with both intervals, and seen against unseen accuracy over all gammas."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fewshot.figures.accuracy import COLOURS
from fewshot.figures.pictures import blank
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.statistics.interval import NEW_CLASSES, OPEN
from fewshot.tables.zero_shot import label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMES = ("zero-shot", "harmonic")


def zero_shot_figure(records: Sequence[ZeroShotRecord]) -> "Figure":
    """One panel a setting with the accuracy of every learner, and one of curves where seen classes compete.

    Thick bars are intervals for new images of these classes, thin ones for new classes; higher is better.

    Args:
        records: Of one data set.
    """
    settings = list(dict.fromkeys(r.setting for r in records))
    mixed = [s for s in settings if any(r.generalised for r in records if r.setting == s)]
    labels = list(dict.fromkeys(label_of(r) for r in records))[::-1]
    figure: Figure = blank(3.6 * len(settings) + 5.0 * len(mixed) + 1.6, max(3.2, 0.34 * len(labels) + 1.5))
    panels = figure.subplots(1, len(settings) + len(mixed), squeeze=False)[0]
    for axes, setting in zip(panels, settings, strict=False):
        _accuracies(axes, [r for r in records if r.setting == setting], labels)
        axes.set(title=setting, xlabel="accuracy, %")
    for axes, setting in zip(panels[len(settings) :], mixed, strict=True):
        _curves(axes, [r for r in records if r.setting == setting], labels)
        axes.set(title=f"{setting}: all gammas", xlabel="unseen accuracy, %", ylabel="seen accuracy, %")
    return figure


def _accuracies(axes: "Axes", shown: Sequence[ZeroShotRecord], labels: list[str]) -> None:
    names = NAMES if any(r.generalised for r in shown) else NAMES[:1]
    for record in shown:
        for k, name in enumerate(names):
            y = labels.index(label_of(record)) + (0.14 - 0.28 * k if len(names) > 1 else 0)
            for estimand, width in ((NEW_CLASSES, 0.8), (OPEN, 2.6)):
                one = record.figure(name, estimand)
                axes.plot([100 * one.low, 100 * one.high], [y, y], color=COLOURS[k], linewidth=width)
            axes.plot(100 * one.value, y, "o" if k == 0 else "s", color=COLOURS[k], markersize=4.5)
    for k, name in enumerate(names):
        axes.plot([], [], "o" if k == 0 else "s", color=COLOURS[k], label=name)
    axes.axvline(
        100 / len(shown[0].unseen.classes), color="0.6", linewidth=0.8, linestyle=":", label="chance, zero-shot"
    )
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlim(left=0)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)


def _curves(axes: "Axes", shown: Sequence[ZeroShotRecord], labels: list[str]) -> None:
    for record in shown:
        if record.generalised is None:
            continue
        k = labels[::-1].index(label_of(record))
        unseen, seen = zip(*record.generalised.curve, strict=True)
        style = ("-", "--", ":")[k // len(COLOURS) % 3]
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(
            [100 * u for u in unseen],
            [100 * s for s in seen],
            style,
            color=colour,
            label=label_of(record),
            linewidth=1.2,
        )
        chosen = record.figure("unseen", OPEN).value, record.figure("seen", OPEN).value
        axes.plot(100 * chosen[0], 100 * chosen[1], "o", color=colour, markersize=4)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False)  # beside, not over, the curves
