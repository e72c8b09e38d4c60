"""``fewshot-bench download``: the only command that fetches data."""

import os
from pathlib import Path
from typing import Annotated

import typer

from fewshot.cli.terminal.options import AsJson
from fewshot.cli.terminal.output import document, note
from fewshot.errors import MissingDataError

EXAMPLES = ("fewshot-bench download omniglot --root data", "fewshot-bench download omniglot --from file:///mnt/mirror")


def download(
    name: Annotated[str, typer.Argument(help="Name of a data set.")],
    root: Annotated[Path | None, typer.Option(help="Folder of all data sets.", show_default="$FEWSHOT_DATA")] = None,
    base: Annotated[
        str | None, typer.Option("--from", help="Another address of the same files, such as a mirror.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a data set and verify it.

    What is there already is only verified. No other command uses the network for data.
    """
    from fewshot.datasets.download import download as fetch

    named = root or os.environ.get("FEWSHOT_DATA")
    if not named:
        raise MissingDataError("a folder for the data must be named, got neither --root nor $FEWSHOT_DATA; name one")
    folder = fetch(name, named, base)
    if as_json:
        document({"name": name, "folder": str(folder)})
    else:
        print(folder)
    if os.environ.get("FEWSHOT_DATA") != str(named):
        note(f"to use it: export FEWSHOT_DATA={Path(named).resolve()}")
