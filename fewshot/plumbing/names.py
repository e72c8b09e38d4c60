"""Looking a name up: the built-in ones, entry points of other packages, the nearest match."""

import difflib
import importlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Any

from fewshot.errors import MissingExtraError, UnknownNameError


def unknown(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that nobody knows, with the nearest match."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5) or _nearest_part(name, known)
    remedy = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return UnknownNameError(f"the {kind} must be a known name, got '{name}'; {remedy}")


def _nearest_part(name: str, known: Sequence[str]) -> list[str]:
    """The name of which some words in a row are nearest, where no whole name is near: long names have many words."""
    owners: dict[str, str] = {}
    for one in known:
        words = one.split("-")
        for start, end in itertools.combinations(range(len(words) + 1), 2):
            owners.setdefault("-".join(words[start:end]), one)
    return [owners[part] for part in difflib.get_close_matches(name, owners, n=1, cutoff=0.7)]


def plug_ins(group: str) -> dict[str, EntryPoint]:
    """Entry points that other installed packages offer in a group such as ``fewshot.learners``."""
    return {point.name: point for point in entry_points(group=group)}


def look_up(kind: str, name: str, index: Mapping[str, str], group: str) -> Any:
    """The object behind a name: the built-in index first, then entry points.

    Args:
        kind: What it is, for the error message: ``"learner"``.
        name: The name to look up.
        index: Built-in names, each with ``"package.module:attribute"``.
        group: The entry-point group for other packages.

    Raises:
        UnknownNameError: If nobody knows the name.
    """
    if name in index:
        module, attribute = index[name].split(":")
        return getattr(importlib.import_module(module), attribute)
    found = plug_ins(group)
    if name in found:
        return found[name].load()
    raise unknown(kind, name, [*index, *found])


def need(module: str, extra: str) -> ModuleType:
    """Import an optional package, or say which extra brings it.

    Raises:
        MissingExtraError: If the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise MissingExtraError(
            f"this needs the package '{error.name}', which is not installed; run: pip install 'fewshot[{extra}]'"
        ) from error
