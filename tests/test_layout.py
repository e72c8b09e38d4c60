"""The tree shows the field: families are folders, folders are small, nothing lies beside them, imports go one way."""

import ast
from pathlib import Path

import pytest

from fewshot.learners.index import LEARNERS
from fewshot.training.terms.index import TERMS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "fewshot"
LOOSE = {"__init__", "claims", "contract", "embedded", "errors", "functional"}
FOLDERS = {
    "backbones", "cli", "datasets", "episodes", "estimator", "evaluation", "figures", "interop", "learners", "plumbing",
    "recipes", "records", "report", "statistics", "tables", "tasks", "testing", "training", "transforms",
}  # fmt: skip
FAMILIES = {"adaptation", "described", "gradient", "linear", "metric", "text", "transductive"}
MANY = {PACKAGE / "learners" / family for family in FAMILIES} | {PACKAGE / "datasets" / "named"}
MOST, LINES = 20, 60


def modules():
    return sorted(path for path in PACKAGE.rglob("*.py") if "_data" not in path.parts)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_lies_in_its_family(name):
    module = LEARNERS[name].target.partition(":")[0].replace(".", "/")
    family = LEARNERS[name].family
    assert (PACKAGE / "learners" / f"{module}.py").is_file()
    assert family in FAMILIES or (family, name) == ("wrapper", "transformed")


def test_nothing_lies_outside_of_the_plan():
    assert {path.stem for path in PACKAGE.glob("*.py")} == LOOSE
    own = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert own == FOLDERS
    families = {path.name for path in (PACKAGE / "learners").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert families == FAMILIES


def test_a_term_is_a_file_of_its_own():
    modules = [term.__module__ for term in TERMS.values()]
    assert len(set(modules)) == len(modules)
    assert all(module.startswith("fewshot.training.terms.") for module in modules)
    page = (ROOT / "docs/training.md").read_text("utf-8")
    assert [name for name, term in TERMS.items() if f"| `{term.__name__}` | `{name}` |" not in page] == []


def test_folders_are_small():
    folders = {path.parent for path in modules()} - MANY
    many = {str(f.relative_to(ROOT)): n for f in folders if (n := len(list(f.glob("*.py"))) - 1) > MOST}
    assert not many


def test_tests_mirror_the_folders():
    beside = {"docs", "fuzzing", "robustness", "shared"}
    own = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert own - beside <= FOLDERS
    families = {path.name for path in (ROOT / "tests/learners").iterdir() if path.is_dir() and path.name[0] != "_"}
    assert families <= FAMILIES


def length(function, is_command):
    """Lines of a function without its docstring; of a command without its parameters, which are its help page."""
    body = function.body
    first = body[0]
    told = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    said = first.end_lineno - first.lineno + 1 if told else 0
    start = first.lineno if is_command else function.lineno
    return function.end_lineno - start + 1 - said


def test_functions_are_short():
    long = {}
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and (lines := length(node, path.stem == node.name)) > LINES:
                long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert not long


def test_no_import_circle():
    """Depth-first over the imports at the top of every module."""
    graph = {name_of(path): set(imports_of(path)) for path in modules()}
    state: dict[str, int] = {}

    def visit(name, trail):
        state[name] = 1
        for other in sorted(graph[name] & set(graph)):
            assert state.get(other) != 1, f"circle: {' -> '.join([*trail, name, other])}"
            if other not in state:
                visit(other, [*trail, name])
        state[name] = 2

    for name in graph:
        if name not in state:
            visit(name, [])


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("fewshot"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
