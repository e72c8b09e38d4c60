"""Options that several commands share, and ``key=value`` texts."""

from pathlib import Path
from typing import Annotated, Any

import typer

from fewshot.errors import FewShotError

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else goes to stderr.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the results; fewshot-results/NAME when left out.")]
Again = Annotated[bool, typer.Option("--again", help="Compute again, also where a finished run is there.")]
RecordPaths = Annotated[list[Path], typer.Argument(metavar="RECORD...", help="JSON files, or folders of them.")]


def key_values(pairs: list[str], option: str) -> dict[str, str]:
    """Texts by key.

    Args:
        pairs: Such as ``"temperature=2"``.
        option: Name of the command-line option, for the message.

    Raises:
        FewShotError: If a text has no ``=``, or a key comes twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals) or key in values:
            raise FewShotError(f"{option} must be key=value with each key once, got '{pair}'")
        values[key] = value
    return values


def parsed(pairs: list[str], option: str) -> dict[str, Any]:
    """The same with values read as YAML: ``2`` is a number, ``true`` a truth value, ``[1, 2]`` a list.

    Raises:
        FewShotError: As `key_values`, or if a value is no YAML or no plain value.
    """
    import yaml

    values = {}
    for key, text in key_values(pairs, option).items():
        try:
            values[key.replace("-", "_")] = yaml.safe_load(text)
        except yaml.YAMLError:
            raise FewShotError(f"{option} {key} needs a value in YAML, got '{text}'; put quotes around it") from None
    return values
