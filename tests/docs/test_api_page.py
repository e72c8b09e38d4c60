"""The API reference lists every public name, and nothing that cannot be loaded."""

import importlib
import re
from pathlib import Path

import fewshot

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def listed():
    return re.findall(r"^   (fewshot[\w.]+)$", PAGE.read_text("utf-8"), re.MULTILINE)


def load(name):
    """A module, or an attribute of one."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)


def test_every_public_name_is_listed_once():
    names = listed()
    assert len(names) == len(set(names))
    assert {f"fewshot.{name}" for name in fewshot.__all__} - set(names) == {"fewshot.FewShotError"}  # among the errors
    assert "fewshot.errors" in names


def test_what_is_listed_is_there():
    for name in listed():
        assert load(name).__doc__, name
