"""The package as installed: what is exported, what importing it costs, what a wheel carries."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import fewshot
import fewshot.errors
from fewshot.files import PACKAGE, packaged


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
    code = "import sys, fewshot, fewshot.results.record; print(sorted({'torch', 'transformers', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version_is_that_of_the_distribution():
    assert fewshot.__version__ == version("fewshot")


def test_recipes_and_data_are_found_from_the_package():
    assert packaged("recipes", "omniglot-protonet-quick.yaml").is_file()
    assert packaged("data", "README.md").is_file()


def test_error_tree_in_the_docstring_is_the_tree():
    drawn = set(re.findall(r"[├└]── (\w+)", fewshot.errors.__doc__))
    classes = {
        n for n, c in vars(fewshot.errors).items() if isinstance(c, type) and c is not fewshot.errors.FewShotError
    }
    assert drawn == classes
    assert all(issubclass(getattr(fewshot.errors, name), ValueError) for name in classes)
