"""Records of published tables of deterministic results."""

from pathlib import Path

from fewshot.errors import RecipeError
from fewshot.recipes.load import load_recipe
from fewshot.recipes.run import run_recipe
from fewshot.recipes.transfer_schema import TransferRecipe
from fewshot.recipes.units import Announce
from fewshot.records.record import Record
from fewshot.tables.papers import ExactTable


def records_of(table: ExactTable, folder: Path) -> dict[str, Record]:
    """The records of a table that are in a folder, by their names."""
    named = {table.record_name(task, row) for task in table.tasks for row in table.rows}
    return {path.stem: Record.load(path) for path in sorted(folder.rglob("*.json")) if path.stem in named}


def make_records(table: ExactTable, folder: Path, announce: Announce) -> None:
    """Run the recipe of a table; records that are there are kept.

    Raises:
        RecipeError: If the recipe is not one of transfer.
    """
    recipe = load_recipe(table.recipe)
    if not isinstance(recipe, TransferRecipe):
        raise RecipeError(f"a table of deterministic results needs a recipe of transfer, got '{table.recipe}'")
    run_recipe(recipe, folder / recipe.name, announce=announce)
