"""The entry point of ``fewshot-bench``: commands, exit codes, and what an error looks like.

Nothing heavy is imported here or at the top of a command's file, so that help is instant.
"""

import errno
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperGroup

from fewshot.cli import commands
from fewshot.errors import FewShotError

REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}  # by the disk to which the output goes
OK, CHECK_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130

EXIT_CODES = "Exit codes: 0 done, 1 ran but a check failed, 2 bad input, 130 interrupted."


class Commands(TyperGroup):
    """Turns every error of the package into one sentence and exit code 2, and Ctrl-C into 130."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                return super().invoke(ctx)
        except FewShotError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(BAD_INPUT) from None
        except OSError as error:
            if error.filename is None:  # of the output: see `main`
                raise
            print(f"error: '{error.filename}' must be readable and writable, got: {error.strerror}", file=sys.stderr)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt:
            print(f"\nstopped; to go on, give the same command again: {_typed()}", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as one line, without the place in the code."""
    print(f"warning: {message}", file=sys.stderr)


def _typed() -> str:
    import shlex

    return shlex.join(["fewshot-bench", *sys.argv[1:]])


app = typer.Typer(
    name="fewshot-bench",
    cls=Commands,
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain text, the same on a terminal and in a pipe
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(asked: bool) -> bool:
    if asked:
        import fewshot

        typer.echo(fewshot.__version__)
        raise typer.Exit
    return asked


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version of the package.")
    ] = False,
) -> None:
    """Few-shot and zero-shot learning: evaluate, compare and check, with honest intervals."""


def _add(name: str, command: Callable[..., None], examples: tuple[str, ...]) -> None:
    # the control character keeps the lines of a paragraph apart
    epilog = "\b\nExamples:\n" + "\n".join(f"  {example}" for example in examples)
    app.command(name, epilog=epilog)(command)


for _name, (_command, _examples) in commands.COMMANDS.items():
    _add(_name, _command, _examples)


def main() -> None:
    """Run the command line, and see that what it prints arrives."""
    sys.stdout = sys.stdout or _nowhere()  # none where whoever started this has closed it
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except OSError as error:
        sys.stdout = _nowhere()  # what is still held back cannot be written either
        if error.errno == errno.EPIPE:  # whoever reads has enough
            raise SystemExit(CHECK_FAILED) from None
        if error.errno not in REFUSED:
            raise
        why = error.strerror or error
        print(
            f"error: the output must arrive whole, got: {why}; free some space, or send it elsewhere", file=sys.stderr
        )
        raise SystemExit(BAD_INPUT) from None


def _nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")
