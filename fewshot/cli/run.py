"""``fewshot-bench run``: a recipe, from data to records."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot.cli.options import Again, AsJson, Out, key_values
from fewshot.cli.output import document, note, show_tables, stdout_kept

EXAMPLES = (
    "fewshot-bench run omniglot-hausdorff",
    "fewshot-bench run omniglot-protonet --set training.episodes=2000 --out short-run",
    "fewshot-bench run ./my-recipe.yaml --json",
)


def run(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (fewshot-bench list recipes), or a .yaml file.")],
    set_: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="Another value for a dotted key; repeatable.")
    ] = [],  # noqa: B006
    out: Out = None,
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Run a recipe.

    Trains or resumes, evaluates every row, writes the records. A run that was stopped goes on where it was.
    """
    from fewshot.cli.progress import training_line
    from fewshot.recipes.run import run_recipe
    from fewshot.results.tables import error_lines, results_table

    overrides = key_values(set_, "--set")
    with stdout_kept(), training_line() as report:
        records = run_recipe(recipe, out, overrides, report=report, announce=note, again=again)
    if as_json:
        document([record.as_json() for record in records])
    else:
        # a record and its answers have one name
        names = [Path(r.answers.file).stem if r.answers else str(k + 1) for k, r in enumerate(records)]
        show_tables(results_table(dict(zip(names, records, strict=True))))
        for line in error_lines(records):
            typer.echo(line)
