"""The examples in docstrings run as they stand."""

import doctest
import importlib.util
from pathlib import Path

import pytest

PACKAGE = Path(importlib.util.find_spec("fewshot").origin).parent
EXAMPLES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): count
    for path in sorted(PACKAGE.rglob("*.py"))
    if (count := path.read_text("utf-8").count(">>> "))
}


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_run(module):
    found = doctest.testmod(importlib.import_module(module))
    assert found == (0, EXAMPLES[module])
