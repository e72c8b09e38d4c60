"""Every formula of the documentation becomes MathML without a rest of TeX, since the site has nothing else to draw it."""

import re
from pathlib import Path

import pytest
from latex2mathml.converter import convert

DOCS = Path(__file__).parents[2] / "docs"
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", re.DOTALL)
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if not {"_build", "generated"} & set(page.parts)]


def formulas(text):
    return [display or inline for display, inline in FORMULA.findall(CODE.sub("", text))]


def rest(formula):
    """Commands of TeX that are left in the text of the MathML."""
    return re.findall(r"\\\w*", re.sub(r"<[^>]*>", "", convert(formula)))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_no_command_is_left(page):
    assert not {f: rest(f) for f in formulas(page.read_text("utf-8")) if rest(f)}


def test_there_are_formulas_and_an_unknown_command_is_seen():
    assert sum(len(formulas(page.read_text("utf-8"))) for page in PAGES) > 500
    assert formulas("`$x$` and $y$, $$z$$") == ["y", "z"]
    assert rest(r"\arg\min_{P} x")
