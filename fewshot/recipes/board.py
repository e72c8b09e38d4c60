"""What a finished recipe shows: tables, and where it compares learners a page and a picture beside its records."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot.backbones.index import load_backbone
from fewshot.datasets.index import load_dataset
from fewshot.evaluation.audit.splits import audit
from fewshot.figures.accuracy import save_figure
from fewshot.figures.board import learners_figure
from fewshot.figures.shots import crossings, shots_figure
from fewshot.figures.transfer import transfer_figure
from fewshot.figures.zero_shot import zero_shot_figure
from fewshot.plumbing.files import write_text
from fewshot.recipes.kinds import AnyRecipe
from fewshot.recipes.run import units_of
from fewshot.recipes.schema import Recipe
from fewshot.recipes.transfer import pairs
from fewshot.recipes.transfer_schema import TransferRecipe
from fewshot.recipes.zero_shot_schema import ZeroShotRecipe
from fewshot.tables.board import learners_table
from fewshot.tables.record_tables import Table, error_lines, markdown, results_table
from fewshot.tables.transfer import transfer_tables
from fewshot.tables.zero_shot import zero_shot_table


@dataclass(frozen=True)
class Board:
    """What there is to show.

    Attributes:
        tables: For a terminal.
        files: What was written.
        lines: Below the tables.
    """

    tables: Sequence[Table]
    files: Sequence[Path] = ()
    lines: Sequence[str] = ()


def write_board(recipe: AnyRecipe, records: Sequence[Any], folder: Path, only: Collection[str] = ()) -> Board:
    """Tables of a recipe; of one that compares learners also ``table.md`` and ``figure.png``.

    Args:
        recipe: Of any kind.
        records: As `fewshot.recipes.run.run_recipe` gives them.
        folder: Where the records are.
        only: Labels of the learners that were run, where not all were; then no file is written.

    Raises:
        DataError: If a file cannot be written.
    """
    if only or (isinstance(recipe, Recipe) and recipe.reference is None):
        names = [name for unit in units_of(recipe, only) for name in unit.names]
        return _plain(recipe, dict(zip(names, records, strict=True)))
    tables, figure = BOARDS[type(recipe)](recipe, records)
    text = write_text(folder / "table.md", "\n\n".join(map(markdown, tables)) + "\n")
    return Board(tables, [text, *([] if figure is None else [save_figure(figure, folder / "figure.png")])])


def _plain(recipe: AnyRecipe, records: dict[str, Any]) -> Board:
    if isinstance(recipe, ZeroShotRecipe):
        return Board([zero_shot_table(list(records.values()))])
    return Board([results_table(records)], lines=error_lines(list(records.values())))


def _few_shot(recipe: Recipe, records: Sequence[Any]) -> tuple[list[Table], Any]:
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
    return [learners_table(records, recipe.reference, notes)], figure


def _audit_line(recipe: Recipe) -> str:
    """How many items of a split have a near-duplicate in another, by the backbone of the table."""
    assert recipe.backbone is not None
    backbone = load_backbone(recipe.backbone, **recipe.backbone_options)
    return audit(load_dataset(recipe.data, **recipe.data_options), backbone).line()


def _zero_shot(recipe: ZeroShotRecipe, records: Sequence[Any]) -> tuple[list[Table], Any]:
    return [zero_shot_table(records, recipe.reference)], zero_shot_figure(records)


def _transfer(recipe: TransferRecipe, records: Sequence[Any]) -> tuple[list[Table], Any]:
    keyed = {(task, one.name): record for (task, one), record in zip(pairs(recipe), records, strict=True)}
    return transfer_tables(keyed, recipe.reference, recipe.about), transfer_figure(keyed, recipe.reference)


BOARDS: dict[type, Any] = {Recipe: _few_shot, ZeroShotRecipe: _zero_shot, TransferRecipe: _transfer}
