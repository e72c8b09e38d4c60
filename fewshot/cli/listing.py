"""``fewshot-bench list``: what there is, a line each."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fewshot.cli.terminal.options import AsJson
from fewshot.cli.terminal.output import document, show_tables

EXAMPLES = (
    "fewshot-bench list learners",
    "fewshot-bench list backbones --family timm",
    "fewshot-bench list recipes --json",
)

Entry = dict[
    str, str | bool
]  # name, family, what it is; of a learner also paper and whether it is transductive, or when
COLUMNS = ("name", "family", "transductive", "paper", "about")


class Kind(StrEnum):
    """What can be listed."""

    datasets = "datasets"
    learners = "learners"
    backbones = "backbones"
    recipes = "recipes"


def list_names(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    family: Annotated[str | None, typer.Option(help="Only names of one family.")] = None,
    as_json: AsJson = False,
) -> None:
    """List what there is, a line each.

    Data sets, learners, backbones or recipes, those of other installed packages included.
    """
    from fewshot.plumbing.names import unknown
    from fewshot.tables.record_tables import Table

    found = sorted(ENTRIES[kind](), key=lambda entry: (entry["name"], entry["about"]))
    families = {str(entry["family"]) for entry in found}
    if family is not None and family not in families:
        raise unknown(f"family of {kind.value}", family, families - {""})
    shown = [entry for entry in found if family in (None, entry["family"])]
    if as_json:
        document(shown)
    else:
        # a column in which nothing stands is left out
        columns = tuple(c for c in COLUMNS if any(entry.get(c, "") != "" for entry in shown))
        show_tables(Table(columns, tuple(tuple(_cell(entry.get(c, "")) for c in columns) for entry in shown)))


def _cell(value: str | bool) -> str:
    return value if isinstance(value, str) else ("yes" if value else "no")


def _learners() -> Iterator[Entry]:
    from fewshot.learners.index import LEARNERS, targets

    for name, target in targets().items():
        known = LEARNERS[name]
        more: Entry = {
            "transductive": "by batch norm" if known.by_batch_norm else known.transductive,
            "paper": known.paper,
        }
        yield _entry(name, known.family, _about(target, targets())) | more
    yield from _plug_ins("fewshot.learners")


def _datasets() -> Iterator[Entry]:
    from fewshot.datasets.index import DATASETS

    yield from (_entry(name, "", _about(target, DATASETS)) for name, target in DATASETS.items())
    yield from _plug_ins("fewshot.datasets")


def _backbones() -> Iterator[Entry]:
    from fewshot.backbones.index import BACKBONES, FAMILIES

    yield from (_entry(name, "", _about(target)) for name, target in BACKBONES.items())
    yield from (_entry(f"{family}:MODEL", family, _about(target)) for family, target in FAMILIES.items())
    yield from _plug_ins("fewshot.backbones")


def _recipes() -> Iterator[Entry]:
    from fewshot.recipes.load import recipe_names

    yield from (_entry(name, "", about) for name, about in recipe_names().items())


ENTRIES = {Kind.datasets: _datasets, Kind.learners: _learners, Kind.backbones: _backbones, Kind.recipes: _recipes}


def _plug_ins(group: str) -> Iterator[Entry]:
    from fewshot.plumbing.names import plug_ins

    for name, point in plug_ins(group).items():
        yield _entry(name, "plug-in", f"from the package {point.dist.name if point.dist else point.value}")


def _entry(name: str, family: str, about: str) -> Entry:
    return {"name": name, "family": family, "about": about}


def _about(target: str, index: Mapping[str, str] | None = None) -> str:
    """First line of a docstring, read without importing the module, which may be heavy.

    Args:
        target: ``"package.module:attribute"``.
        index: Where given, and no other name of it comes from that module, the module speaks
            instead of the attribute: it names paper or data set.
    """
    import ast
    from importlib.util import find_spec

    module, attribute = target.split(":")
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return ""
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    named = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == attribute]
    alone = index is not None and [t.split(":")[0] for t in index.values()].count(module) == 1
    text = ast.get_docstring(tree if alone or not named else named[0]) or ""
    return text.partition("\n")[0].rstrip(".").replace("`", "")
