"""Documents hold what the committed records say."""

import runpy
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def blocks(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return runpy.run_path(str(SCRIPTS / "blocks.py"))["replaced"]


def test_published_tables_are_those_of_the_records(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tables", "--check"])
    monkeypatch.syspath_prepend(str(SCRIPTS))
    runpy.run_path(str(SCRIPTS / "tables"), run_name="__main__")


def test_a_block_is_replaced_and_nothing_else(tmp_path, blocks):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter <!-- b --><!-- /b -->\n")
    assert blocks(page, "a", r"new \1") == "before\n<!-- a -->\n\nnew \\1\n\n<!-- /a -->\nafter <!-- b --><!-- /b -->\n"


@pytest.mark.parametrize("text", ["nothing", "<!-- a --><!-- /a --> <!-- a --><!-- /a -->"])
def test_a_document_without_the_block_or_with_two_is_refused(tmp_path, blocks, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(SystemExit, match=r"page.md must have one block 'a', got \d"):
        blocks(page, "a", "x")
