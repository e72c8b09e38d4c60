"""``fewshot-bench run``: a recipe, from data to records."""

from typing import Annotated

import typer

from fewshot.cli.terminal.options import Again, AsJson, OnDevice, Out, key_values
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept

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
    device: OnDevice = "cpu",
    out: Out = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that share the learners of a recipe with many.")] = 1,
    only: Annotated[
        list[str],
        typer.Option("--only", metavar="LABEL", help="Label of a learner, in a recipe with many; repeatable."),
    ] = [],  # noqa: B006
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe.

    Trains or resumes, evaluates every row, writes the records. A stopped run continues where it was.
    """
    from fewshot.cli.terminal.progress import training_line
    from fewshot.plumbing.device import device_named
    from fewshot.recipes.board import write_board
    from fewshot.recipes.load import load_recipe
    from fewshot.recipes.run import folder_of, run_recipe

    overrides, place = key_values(set_, "--set"), str(device_named(device))
    loaded = load_recipe(recipe, overrides)
    with stdout_kept(), training_line() as report:
        records = run_recipe(
            recipe, out, overrides, report=report, announce=note, again=again, jobs=jobs, only=only, device=place
        )
        board = write_board(loaded, records, folder_of(loaded, out), only)
    if as_json:
        document([record.as_json() for record in records])
    else:
        show_tables(*board.tables)
        for line in board.lines:
            typer.echo(line)
    if board.files:
        note("table and figure: " + ", ".join(f"'{file}'" for file in board.files))
