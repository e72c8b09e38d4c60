"""Planted wrong formulas that need not run again: since they were last refused, nothing that they depend on changed.

A file of tests depends on itself, on ``conftest.py``, on the modules of the package and of the tests that it imports, on what
those import, and on modules that any of them names in a string, as indices do. Versions of other packages do not count.
"""

import ast
import hashlib
import importlib.util
import json
import tomllib
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
LOCK = TESTS / "slips.lock"
PACKAGE = Path(importlib.util.find_spec("fewshot").origin).parent  # what is tested, installed or not
LEARNERS = "fewshot.learners"  # below which their index names modules
SETTINGS = tomllib.loads((TESTS.parent / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
HELPERS = [TESTS.parent / folder for folder in SETTINGS["pythonpath"]]


def locked() -> dict[str, str]:
    """The hash with which the slips of each file were last refused."""
    return json.loads(LOCK.read_text("utf-8")) if LOCK.is_file() else {}


def unchanged() -> set[str]:
    """Files, relative to the tests, whose slips need not run."""
    return {name for name, kept in locked().items() if (TESTS / name).is_file() and hash_of(name) == kept}


def hash_of(name: str) -> str:
    """Of names and contents of all files that a file of tests depends on."""
    hashed = hashlib.sha256()
    for label, file in sorted((label_of(file), file) for file in needed(TESTS / name)):
        hashed.update(f"{label} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return hashed.hexdigest()


def label_of(file: Path) -> str:
    """The same on every machine."""
    return file.relative_to((PACKAGE if file.is_relative_to(PACKAGE) else TESTS).parent).as_posix()


def needed(test: Path) -> set[Path]:
    """A file of tests and all that it depends on."""
    seen, waiting = set(), {test, TESTS / "conftest.py"}
    while waiting:
        seen |= waiting
        waiting = set().union(*map(named_in, waiting)) - seen
    return seen


@cache
def named_in(file: Path) -> frozenset[Path]:
    """Modules that a file imports anywhere in it, or names in a string."""
    nodes = ast.walk(ast.parse(file.read_bytes()))
    return frozenset(found for node in nodes for name in names(node) if (found := file_of(name)))


def names(node: ast.AST) -> list[str]:
    """What may be the name of a module."""
    match node:
        case ast.Import():
            return [name for alias in node.names for name in with_packages(alias.name)]
        case ast.ImportFrom(module=str(module)):
            return [*with_packages(module), *(f"{module}.{alias.name}" for alias in node.names)]
        case ast.Constant(value=str(text)) if "." in text:
            name = text.partition(":")[0]
            return [name, f"{LEARNERS}.{name}"] if name.replace(".", "").isidentifier() else []
    return []


def with_packages(module: str) -> list[str]:
    """A module and the packages that Python imports before it, but for the outermost, which only holds an index."""
    parts = module.split(".")
    return [".".join(parts[:n]) for n in range(2, len(parts))] + [module]


@cache
def file_of(name: str) -> Path | None:
    """The file of a module of the package or of the tests, nothing for any other."""
    places = [PACKAGE.parent] if name.split(".")[0] == "fewshot" else HELPERS
    stems = [place.joinpath(*name.split(".")) for place in places]
    files = [file for stem in stems for file in (stem.with_suffix(".py"), stem / "__init__.py")]
    return next(filter(Path.is_file, files), None)
