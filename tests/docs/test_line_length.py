"""Lines of the documents are short enough to read in a terminal; tables and what scripts write may be longer."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = {"_build", "generated"}
FOUND = [*ROOT.glob("*.md"), *(ROOT / "data").rglob("*.md"), *(ROOT / "docs").rglob("*.md")]
PAGES = [page for page in FOUND if not BUILT & set(page.parts)]
MOST = 120
WRITTEN = re.compile(
    r"<!-- (?P<name>[\w -]+) -->.*?<!-- /(?P=name) -->"  # a block of a script
    r"|<!-- own-data: .*?<!-- end -->"
    r"|<!-- What follows is written by scripts/numbers.*",
    re.DOTALL,
)


def too_long(text):
    """Lines over the limit, without rows of tables, and without blocks that scripts write."""
    lines = WRITTEN.sub("", text).splitlines()
    return [line for line in lines if len(line) > MOST and not line.startswith("|")]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_lines_are_short(page):
    assert not too_long(page.read_text("utf-8"))


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) < 200


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("x" * 121, 1),
        ("x" * 120, 0),
        ("| " + "x" * 121, 0),
        (f"<!-- a -->\n{'x' * 121}\n<!-- /a -->\n", 0),
        (f"<!-- a -->\n{'x' * 121}\n<!-- /b -->\n", 1),
        (f"<!-- a -->\n<!-- /a -->\n{'x' * 121}\n", 1),
    ],
)
def test_what_counts_as_long(text, count):
    assert len(too_long(text)) == count
