"""Learning curves beside the records: what the log of a training run says, thinned to some hundred lines."""

import csv
import io
from itertools import pairwise
from pathlib import Path
from statistics import fmean

from fewshot.plumbing.files import write_text
from fewshot.recipes.build import checkpoint_path
from fewshot.recipes.schema import Recipe

LINES = 300
Rows = list[dict[str, str]]


def write_curves(recipe: Recipe, folder: Path, missing: bool = False) -> list[Path]:
    """Write ``training.csv``, ``pretraining.csv``, or both; with the label in the name where there are many learners.

    Args:
        recipe: Of one learner.
        folder: Where its records are.
        missing: Only where there is none.

    Returns:
        The files.
    """
    written = []
    for of in ("pretraining", "training"):
        log = checkpoint_path(recipe, of).with_suffix(".csv")
        if getattr(recipe, of) is not None and log.exists():
            path = folder / f"{'-'.join([of, *([recipe.label] if recipe.label else [])])}.csv"
            if not (missing and path.exists()):
                written.append(write_text(path, thinned(log.read_text("utf-8"))))
    return written


def thinned(log: str, lines: int = LINES) -> str:
    """About so many lines, and one for every validation: each the mean loss of the steps since the last, and the number and rate of its own."""
    rows = list(csv.DictReader(io.StringIO(log)))
    width = max(1, -(-len(rows) // lines))
    out = io.StringIO()
    columns = list(rows[0]) if rows else ["step", "loss", "learning_rate", "validation_accuracy"]
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    ends = [k for k, row in enumerate(rows, 1) if k % width == 0 or k == len(rows) or row["validation_accuracy"]]
    writer.writerows(_joined(rows[start:end]) for start, end in pairwise([0, *ends]))
    return out.getvalue()


def _joined(rows: Rows) -> dict[str, str]:
    return rows[-1] | {"loss": f"{fmean(float(row['loss']) for row in rows):.6g}"}
