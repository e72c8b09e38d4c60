"""``fewshot-bench run``: a recipe, from data to records."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot.cli.terminal.options import Again, AsJson, Out, key_values
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept

if TYPE_CHECKING:
    from fewshot.recipes.schema import Recipe
    from fewshot.recipes.transfer_schema import TransferRecipe
    from fewshot.recipes.zero_shot_schema import ZeroShotRecipe
    from fewshot.records.record import Record

EXAMPLES = (
    "fewshot-bench run omniglot-hausdorff",
    "fewshot-bench run omniglot-protonet --set training.episodes=2000 --out short-run",
    "fewshot-bench run feature-learners --jobs 2",
    "fewshot-bench run omniglot-protonet-ways --only 5-way-1-shot",
    "fewshot-bench run ./my-recipe.yaml --json",
)


def run(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (fewshot-bench list recipes), or a .yaml file.")],
    set_: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Another value for a dotted key; repeatable.")
    ] = [],  # noqa: B006
    out: Out = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the learners, where there are many.")] = 1,
    only: Annotated[
        list[str], typer.Option("--only", metavar="LABEL", help="A learner, where there are many; repeatable.")
    ] = [],  # noqa: B006
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe.

    Trains or resumes, evaluates every row, writes the records. A run that was stopped goes on where it was.
    """
    from fewshot.cli.terminal.progress import training_line
    from fewshot.recipes.load import load_recipe
    from fewshot.recipes.run import folder_of, names_of, run_recipe
    from fewshot.recipes.transfer_schema import TransferRecipe
    from fewshot.recipes.zero_shot import check_none_replaced
    from fewshot.recipes.zero_shot_schema import ZeroShotRecipe
    from fewshot.tables.record_tables import error_lines, results_table

    overrides = key_values(set_, "--set")
    loaded = load_recipe(recipe, overrides)
    if isinstance(loaded, ZeroShotRecipe):
        if overrides and not again:
            check_none_replaced(loaded, folder_of(loaded, out))
        _run_zero_shot(loaded, out, jobs, again, as_json)
        return
    if isinstance(loaded, TransferRecipe):
        _run_transfer(loaded, out, jobs, again, as_json, bool(overrides))
        return
    with stdout_kept(), training_line() as report:
        records = run_recipe(recipe, out, overrides, report=report, announce=note, again=again, jobs=jobs, only=only)
    if as_json:
        document([record.as_json() for record in records])
    elif loaded.reference and not only:
        _show_board(loaded, records, out)
    else:
        show_tables(results_table(dict(zip(names_of(loaded, only), records, strict=True))))
        for line in error_lines(records):
            typer.echo(line)


def _show_board(recipe: "Recipe", records: "list[Record]", out: Path | None) -> None:
    from fewshot.recipes.board import write_board
    from fewshot.recipes.run import folder_of

    table, files = write_board(recipe, records, folder_of(recipe, out))
    show_tables(table)
    note(f"table and figure: '{files[0]}', '{files[1]}'")


def _run_zero_shot(recipe: "ZeroShotRecipe", out: Path | None, jobs: int, again: bool, as_json: bool) -> None:
    from fewshot.recipes.run import folder_of
    from fewshot.recipes.zero_shot import run_zero_shot
    from fewshot.recipes.zero_shot_board import write_zero_shot_board

    folder = folder_of(recipe, out)
    with stdout_kept():
        records = run_zero_shot(recipe, folder, announce=note, again=again, jobs=jobs)
    table, files = write_zero_shot_board(records, folder, recipe.reference)
    if as_json:
        document([record.as_json() for record in records])
    else:
        show_tables(table)
    note(f"table and figure: '{files[0]}', '{files[1]}'")


def _run_transfer(
    recipe: "TransferRecipe", out: Path | None, jobs: int, again: bool, as_json: bool, changed: bool
) -> None:
    from fewshot.recipes.run import folder_of
    from fewshot.recipes.transfer import check_none_replaced, run_transfer
    from fewshot.recipes.transfer_board import write_transfer_board

    folder = folder_of(recipe, out)
    if changed and not again:
        check_none_replaced(recipe, folder)
    with stdout_kept():
        records = run_transfer(recipe, folder, announce=note, again=again, jobs=jobs)
    tables, file = write_transfer_board(recipe, records, folder)
    if as_json:
        document([record.as_json() for record in records])
    else:
        show_tables(*tables)
    note(f"table: '{file}'")
