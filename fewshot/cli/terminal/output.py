"""What goes to stdout (results) and to stderr (everything else)."""

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any

from fewshot.errors import FewShotWarning

if TYPE_CHECKING:
    from fewshot.tables.record_tables import Table


def note(text: str) -> None:
    """A line for people, on stderr."""
    print(text, file=sys.stderr)


def document(content: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


def show_tables(*tables: "Table") -> None:
    """Tables on stdout: by rich on a terminal, aligned plain text in a pipe."""
    from fewshot.tables.record_tables import plain

    if sys.stdout.isatty():
        for table in tables:
            _rich(table)
    else:
        print("\n\n".join(plain(table) for table in tables))


def _rich(table: "Table") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    console = Console(highlight=False)
    shown = RichTable(
        box=box.SIMPLE_HEAD, title=table.title or None, title_justify="left", show_header=any(table.columns)
    )
    for column, right in zip(table.columns, table.right(), strict=True):
        shown.add_column(column, justify="right" if right else "left", overflow="fold")
    for row in table.rows:
        shown.add_row(*map(Text, row))  # as text: brackets of intervals are no markup
    console.print(shown)
    for line in table.notes:
        console.print(Text(f" {line}", style="dim"))


@contextmanager
def stdout_kept() -> Iterator[None]:
    """Whatever other packages print while something is computed goes to stderr; each warning of ours is one line there."""
    with redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("always", FewShotWarning)
        warnings.showwarning = partial(_show_warning, warnings.showwarning, set())
        yield


def _show_warning(otherwise: Any, told: set[str], message: Any, category: type[Warning], *where: Any) -> None:
    """A warning of ours once, as a note; another package's as it would have been shown."""
    if not issubclass(category, FewShotWarning):
        otherwise(message, category, *where)
    elif str(message) not in told:
        told.add(str(message))
        note(f"warning: {message}")
