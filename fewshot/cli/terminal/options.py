"""Options that several commands share, and ``key=value`` texts."""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

import typer

from fewshot.errors import FewShotError

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; everything else goes to stderr.")]
Out = Annotated[Path | None, typer.Option(help="Folder for the results; without it: fewshot-results/NAME.")]
Again = Annotated[bool, typer.Option("--again", help="Compute again, even if a finished run is there.")]
OnDevice = Annotated[
    str, typer.Option("--device", help="Where to compute: auto (a card where there is one), or cpu, cuda, cuda:1, ...")
]
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


def fitting(make: Callable[..., Any], options: dict[str, Any], option: str) -> dict[str, Any]:
    """Options of the kinds that parameters are annotated with: a whole number for a float is made one.

    Args:
        make: Will be called with the options; unknown ones are left to it, and so are types of other packages.
        options: By name.
        option: Name of the command-line option, for the message.

    Raises:
        FewShotError: Names option, kind and value.
    """
    from pydantic import TypeAdapter, ValidationError

    fit = dict(options)
    for name, parameter in inspect.signature(make).parameters.items():
        kinds = set(get_args(parameter.annotation) or (parameter.annotation,))
        if name not in options or not kinds <= {int, float, bool, str, NoneType}:
            continue
        try:
            fit[name] = TypeAdapter(parameter.annotation).validate_python(options[name], strict=True)
        except ValidationError:
            kind = " or ".join(sorted("nothing" if k is NoneType else k.__name__ for k in kinds))
            raise FewShotError(f"{option} {name} must be of type {kind}, got {options[name]!r}") from None
    return fit


def parsed(pairs: list[str], option: str) -> dict[str, Any]:
    """The same with values read as YAML: ``2`` is a number, ``true`` a truth value, ``[1, 2]`` a list.

    Raises:
        FewShotError: As `key_values`, or if a value is no YAML or no plain value.
    """
    return {key: _yaml(text, key, option) for key, text in _with_names(pairs, option)}


def parsed_lists(pairs: list[str], option: str) -> dict[str, list[Any]]:
    """The same with several values each, commas between them: ``C=0.1,1,10``.

    Raises:
        FewShotError: As `parsed`, or if a key has no value.
    """
    values = {key: _yaml(f"[{text}]", key, option) for key, text in _with_names(pairs, option)}
    for key, listed in values.items():
        if not listed:
            raise FewShotError(f"{option} {key} needs values with commas between them, got none")
    return values


def _with_names(pairs: list[str], option: str) -> list[tuple[str, str]]:
    return [(key.replace("-", "_"), text) for key, text in key_values(pairs, option).items()]


def _yaml(text: str, key: str, option: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise FewShotError(f"{option} {key} needs a value in YAML, got '{text}'; put quotes around it") from None
