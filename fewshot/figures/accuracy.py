"""Figures from records and answers; matplotlib is imported when one is made.

No figure relies on colour alone: methods differ in marker and dash, wrong answers
carry a cross. Colours are those of Okabe and Ito, "Color Universal Design" (2008),
which people with any of the common colour deficiencies tell apart.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewshot.errors import DataError, RecordError, ShapeError
from fewshot.figures.pictures import blank, short
from fewshot.plumbing.files import write
from fewshot.records.record import Record
from fewshot.tables.record_tables import data_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS, DASHES = "osD^vPX", ("-", "--", "-.", ":")
ENDINGS = (".png", ".svg", ".pdf")
MOST_NUMBERED = 12  # classes up to which a confusion matrix has room for numbers


def save_figure(figure: "Figure", path: Path | str) -> Path:
    """Write a figure in one step; the ending of the name (``.png``, ``.svg``, ``.pdf``) decides the format.

    Raises:
        DataError: If the name has another ending, or the file cannot be written.
    """
    path = Path(path)
    require_ending(path)
    return write(path, lambda file: figure.savefig(file, format=path.suffix[1:].lower(), dpi=160))


def require_ending(path: Path) -> None:
    """Let the name of a picture's file pass only if it has an ending that `save_figure` knows.

    Raises:
        DataError: If it has not.
    """
    if path.suffix.lower() not in ENDINGS:
        raise DataError(f"a picture must have a name that ends in {', '.join(ENDINGS)}, got '{path}'; rename it")


def accuracy_over_shots(methods: Mapping[str, Sequence[Record]]) -> "Figure":
    """Accuracy against shots, one line a method, with each record's interval as error bar; higher is better.

    Args:
        methods: For each method its records, one a number of shots; all of one way and one data set.

    Raises:
        RecordError: If there is no record, if ways or data differ, or shots are no single number.
    """
    every = [record for records in methods.values() for record in records]
    way = _comparable(every)
    figure, axes = _axes(5.6, 3.8)
    for k, (name, records) in enumerate(methods.items()):
        _curve(axes, name, sorted(records, key=_shot), k, len(methods))
    _shot_axis(axes, sorted({_shot(record) for record in every}))
    axes.set(
        xlabel="shots (support items of each class)", ylabel="accuracy, %", title=f"{data_name(every[0])}, {way}-way"
    )
    axes.legend(frameon=False, fontsize=9)
    level, estimand = every[0].summary.level, every[0].summary.estimand
    figure.supxlabel(
        f"bars: {level:.0%} intervals for {estimand}; chance is {100 / way:.3g} %", fontsize=8, color="0.4"
    )
    return figure


def _comparable(records: Sequence[Record]) -> int:
    """The one way of all records."""
    if not records:
        raise RecordError("a figure needs at least one record, got none")
    kinds = {
        (str(r.episodes.way), r.data.hash, r.target and r.target.hash, r.summary.level, r.summary.estimand)
        for r in records
    }
    if len(kinds) > 1 or not isinstance(records[0].episodes.way, int):
        ways = sorted({str(r.episodes.way) for r in records})
        raise RecordError(
            "records in one figure must share one way, one data set and one kind of interval, got "
            f"ways {', '.join(ways)} on {', '.join(sorted({data_name(r) for r in records}))}"
        )
    return records[0].episodes.way


def _shot(record: Record) -> int:
    shot = record.episodes.shot
    if not isinstance(shot, int) or "shots" in record.episodes.spec:
        raise RecordError(f"a place on the axis needs one number of shots, got {record.episodes.spec or shot}")
    return shot


def _curve(axes: "Axes", name: str, records: Sequence[Record], k: int, methods: int) -> None:
    # methods stand a little beside each other, so that bars of equal shots do not hide one another
    shift = 1.03 ** (k - (methods - 1) / 2)
    mean = np.array([r.accuracy for r in records])
    arms = np.array([[r.accuracy - r.summary.low for r in records], [r.summary.high - r.accuracy for r in records]])
    axes.errorbar(
        [_shot(r) * shift for r in records], 100 * mean, 100 * arms, label=short(name, 40), color=COLOURS[k % len(COLOURS)],
        marker=MARKERS[k % len(MARKERS)], linestyle=DASHES[k % len(DASHES)], markersize=5, linewidth=1.5, capsize=3,
    )  # fmt: skip


def _shot_axis(axes: "Axes", shots: list[int]) -> None:
    if shots[0] == 0:
        axes.set_xscale("symlog", base=2, linthresh=1)
    else:
        axes.set_xscale("log", base=2)
    axes.set_xticks(shots, [str(shot) for shot in shots])
    axes.minorticks_off()
    axes.margins(x=0.08)


def confusion_picture(counts: np.ndarray, class_names: Sequence[str]) -> "Figure":
    """Share of each true class's queries (row) that got each answer (column), darker is more.

    Args:
        counts: Numbers of queries ``(n_classes, n_classes)``, as `fewshot.statistics.confusion.confusion` gives them.
        class_names: Name of each class.

    Raises:
        ShapeError: If ``counts`` is not square with a name a class.
    """
    from matplotlib.colors import PowerNorm

    n = len(class_names)
    if counts.shape != (n, n):
        raise ShapeError(f"counts must be ({n}, {n}), one row and column a name, got {counts.shape}")
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(0.45 * n, 3.2, 9))
    figure, axes = _axes(side + 1.8, side + 0.8)
    # the square root lifts rare answers off the white that never-given ones have
    image = axes.imshow(share, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=100))
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class, %")
    labels, size = [short(name) for name in class_names], float(np.clip(220 / n, 3, 9))
    axes.set_xticks(range(n), labels, rotation=90, fontsize=size)
    axes.set_yticks(range(n), labels, fontsize=size)
    axes.set(xlabel="answer", ylabel="true class")
    for (i, j), value in np.ndenumerate(share) if n <= MOST_NUMBERED else ():
        colour = "white" if value > 35 else "black"
        axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=8, color=colour)
    return figure


def _axes(width: float, height: float) -> tuple["Figure", "Axes"]:
    figure = blank(width, height)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
