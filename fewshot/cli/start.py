"""``fewshot-bench quickstart``: see it work, with nothing to fetch."""

from pathlib import Path
from typing import Annotated

import typer

from fewshot.cli.terminal.options import AsJson

EXAMPLES = ("fewshot-bench quickstart", "fewshot-bench quickstart --out first-look --json")


def quickstart(
    out: Annotated[Path, typer.Option(help="Folder for records and pictures.")] = Path("fewshot-results/quickstart"),
    as_json: AsJson = False,
) -> None:
    """See it work in under a minute.

    Episodes, learners and intervals, on data that come with the package.
    """
    from fewshot.cli import quickstart as first
    from fewshot.plumbing.files import require_writable

    require_writable(out)
    first.quickstart(out, as_json)
