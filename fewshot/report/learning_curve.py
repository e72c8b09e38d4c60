"""Learning curves: loss of every step, and accuracy on validation classes, from the ``training.csv`` of a run."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from fewshot.errors import DataError
from fewshot.figures.accuracy import COLOURS
from fewshot.figures.pictures import blank
from fewshot.plumbing.reading import in_one_sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES, POINTS = ("pretraining*.csv", "training*.csv"), 300
NEEDED = ("step", "loss", "validation_accuracy")


@dataclass(frozen=True)
class LearningCurve:
    """A run.

    Attributes:
        title: Where it comes from.
        steps: Of each loss.
        losses: Lower is better.
        validated: Steps at which validation classes were evaluated.
        accuracies: What came of it, fractions.
    """

    title: str
    steps: Float[np.ndarray, " steps"]
    losses: Float[np.ndarray, " steps"]
    validated: Float[np.ndarray, " validations"]
    accuracies: Float[np.ndarray, " validations"]


def read_curve(path: Path) -> LearningCurve:
    """Read a file with columns ``step``, ``loss`` and ``validation_accuracy``, which is empty at most steps.

    Raises:
        DataError: If the file is missing, or lacks a column, rows or a number.
    """
    needed, remedy = (
        f"'{path}' must be a table with columns {', '.join(NEEDED)}",
        "name the CSV that training has written",
    )
    with in_one_sentence(needed, remedy):
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        steps, losses = (np.array([float(row[name]) for row in rows]) for name in ("step", "loss"))
        told = [(float(r["step"]), float(r["validation_accuracy"])) for r in rows if r["validation_accuracy"]]
    if not np.isfinite([*steps, *losses, *(number for pair in told for number in pair)]).all():
        raise DataError(f"{needed} and finite numbers, got nan or infinity; {remedy}")
    if not rows:
        raise DataError(f"'{path}' must have a row for each step, got none")
    validated = np.array(told, dtype=np.float64).reshape(-1, 2)
    return LearningCurve(_title(path), steps, losses, validated[:, 0], validated[:, 1])


def curves_in(folder: Path) -> list[Path]:
    """Files of the curves beside records, pre-training first."""
    return [path for name in NAMES for path in sorted(folder.glob(name))]


def _title(path: Path) -> str:
    """Folder, and where there are many what was trained: ``omniglot-baseline, pretraining of baseline-pp``."""
    of, _, label = path.stem.partition("-")
    known = of in ("training", "pretraining") and (label or of != "training")
    return ", ".join([path.parent.name, *([f"{of} of {label}" if label else of] if known else [])])


def thinned(values: Float[np.ndarray, " n"], points: int = POINTS) -> Float[np.ndarray, " points"]:
    """Means of equal blocks, at most so many; the values themselves where there are no more."""
    if len(values) <= points:
        return values
    return np.array([block.mean() for block in np.array_split(values, points)])


def curve_figure(curve: LearningCurve) -> "Figure":
    """Loss on the left, averaged over blocks of steps, and accuracy on validation classes on the right, where there is any."""
    panels = 2 if len(curve.validated) else 1
    figure: Figure = blank(8.6, 3.1)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    axes[0].plot(thinned(curve.steps), thinned(curve.losses), color=COLOURS[0], linewidth=1.2)
    axes[0].set(xlabel="step", ylabel="training loss")
    if panels == 2:
        axes[1].plot(
            curve.validated, 100 * curve.accuracies, color=COLOURS[2], marker="o", markersize=3.5, linewidth=1.2
        )
        axes[1].set(xlabel="step", ylabel="validation accuracy, %")
    for one in axes:
        one.grid(color="#ededed", linewidth=0.8)
        one.spines[["top", "right"]].set_visible(False)
    return figure


def describe_curve(curve: LearningCurve) -> str:
    """The figure in words."""
    loss = f"Training loss over {curve.steps[-1]:,.0f} steps, from {curve.losses[0]:.3f} to {thinned(curve.losses)[-1]:.3f}"
    if not len(curve.validated):
        return loss + "."
    best = int(curve.accuracies.argmax())
    return (
        f"{loss}; accuracy on validation classes, best {100 * curve.accuracies[best]:.2f} % at step "
        f"{curve.validated[best]:,.0f}, last {100 * curve.accuracies[-1]:.2f} %."
    )
