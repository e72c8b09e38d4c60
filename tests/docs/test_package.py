"""The package as installed: what is exported, what importing it costs, what a wheel carries."""

import ast
import os
import re
import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import version
from pathlib import Path

import pytest

import fewshot
import fewshot.errors
from fewshot.plumbing.files import PACKAGE, packaged
from fewshot.tables.papers import paper_tables

ROOT = Path(__file__).parents[2]


def test_ci_judges_the_installed_package():
    if os.environ.get("CI") == "true":
        assert "site-packages" in Path(fewshot.__file__).parts


def test_every_exported_name_can_be_loaded():
    for name in fewshot.__all__:
        assert getattr(fewshot, name).__name__ == name


def test_index_is_sorted_and_equals_its_typed_twin():
    twin = ast.parse((PACKAGE / "__init__.pyi").read_text())
    typed = {
        alias.asname: node.module for node in twin.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert typed == fewshot._INDEX
    assert list(fewshot._INDEX) == sorted(fewshot._INDEX)
    assert set(fewshot.__all__) <= set(dir(fewshot))


def test_unknown_attribute():
    with pytest.raises(AttributeError, match="has no attribute 'protonett'"):
        fewshot.protonett  # noqa: B018


def test_import_is_light():
    code = "import sys, fewshot, fewshot.records.record; print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version_is_that_of_the_distribution():
    assert fewshot.__version__ == version("fewshot")


def test_recipes_and_data_are_found_from_the_package():
    assert packaged("recipes", "omniglot-protonet-quick.yaml").is_file()
    assert packaged("data", "README.md").is_file()
    assert packaged("results", "omniglot-hausdorff-20w1s.json").is_file()


def test_a_wheel_carries_the_records_that_published_tables_cite_and_no_others():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = [line for line in setup["options.package_data"]["fewshot"].split() if line.startswith("_results")]
    carried = [path.stem for pattern in patterns for path in (ROOT / "fewshot").glob(pattern)]
    named = {name for _, _, table in paper_tables() for cell in table.cells for name in cell.records}
    cited = [path.stem for path in (ROOT / "benchmarks" / "results").rglob("*.json") if path.stem in named]
    assert len(cited) > 50
    assert sorted(carried) == sorted(cited)
    assert set(cited) <= {path.stem for path in packaged("results").rglob("*.json")}


def test_error_tree_in_the_docstring_is_the_tree():
    drawn = set(re.findall(r"[├└]── (\w+)", fewshot.errors.__doc__))
    classes = {
        n
        for n, c in vars(fewshot.errors).items()
        if isinstance(c, type) and c not in (fewshot.errors.FewShotError, fewshot.errors.FewShotWarning)
    }
    assert drawn == classes
    assert all(issubclass(getattr(fewshot.errors, name), ValueError) for name in classes)
