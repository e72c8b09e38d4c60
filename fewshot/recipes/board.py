"""Table and picture of a recipe that compares many learners, beside its records."""

from collections.abc import Sequence
from pathlib import Path

from fewshot.backbones.index import load_backbone
from fewshot.datasets.index import load_dataset
from fewshot.evaluation.audit.splits import audit
from fewshot.figures.accuracy import save_figure
from fewshot.figures.board import learners_figure
from fewshot.figures.shots import crossings, shots_figure
from fewshot.plumbing.files import write_text
from fewshot.recipes.schema import Recipe
from fewshot.records.record import Record
from fewshot.tables.board import learners_table
from fewshot.tables.record_tables import Table, markdown


def write_board(recipe: Recipe, records: Sequence[Record], folder: Path) -> tuple[Table, tuple[Path, Path]]:
    """Write ``table.md`` and ``figure.png``.

    Args:
        recipe: One with a reference.
        records: Of all its learners and rows.
        folder: Where the records are.

    Returns:
        The table, and the two files.

    Raises:
        DataError: If a file cannot be written.
    """
    assert recipe.reference is not None
    notes = [_audit_line(recipe)] if recipe.base and recipe.backbone else []
    if recipe.overtakes is None:
        figure = learners_figure(records, recipe.reference)
    else:
        met = crossings(records, recipe.overtakes)
        notes += [
            f"{label} overtakes {recipe.overtakes} at {c.text()} examples of each class" for label, c in met.items()
        ]
        figure = shots_figure(records, recipe.overtakes)
    table = learners_table(records, recipe.reference, notes)
    text = write_text(folder / "table.md", markdown(table) + "\n")
    return table, (text, save_figure(figure, folder / "figure.png"))


def _audit_line(recipe: Recipe) -> str:
    """How many items of a split have a near-duplicate in another, by the backbone of the table."""
    assert recipe.backbone is not None
    backbone = load_backbone(recipe.backbone, **recipe.backbone_options)
    return audit(load_dataset(recipe.data, **recipe.data_options), backbone).line()
