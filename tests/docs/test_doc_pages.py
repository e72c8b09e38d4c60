"""Code on the pages about the contract runs as it stands."""

import re
from pathlib import Path

import pytest

from fewshot.learners.index import LEARNERS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    "index.md",
    "contract.md",
    "your-own-learner.md",
    "transforms.md",
    "training.md",
    "devices.md",
    "zero-shot.md",
    "text.md",
    "few-or-none.md",
    "transfer.md",
    "transferability.md",
    "report.md",
]
LEARNER_PAGES = [f"learners/{name}.md" for name in LEARNERS]
SECTIONS = ("Formula", "Variants and differences", "Options", "Example")


def blocks(page):
    """Python blocks, each behind as many blank lines as precede it, so that errors name the page's line."""
    text = (DOCS / page).read_text("utf-8")
    found = re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return ["\n" * text[: match.start(1)].count("\n") + match.group(1) for match in found]


@pytest.mark.parametrize("page", PAGES)
def test_the_page_has_code(page):
    assert blocks(page)


@pytest.mark.parametrize("page", PAGES + LEARNER_PAGES)
def test_every_block_runs(page):
    names = {"__name__": "page"}
    for block in blocks(page):
        exec(compile(block, str(DOCS / page), "exec"), names)


@pytest.mark.parametrize("page", PAGES)
def test_no_other_block_hides_python(page):
    languages = re.findall(r"^```(\w+)$", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    assert set(languages) <= {"python", "toml", "yaml", "console"}


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_has_a_page(name):
    text = (DOCS / "learners" / f"{name}.md").read_text("utf-8")
    assert text.startswith(f"# `{name}`: ")
    assert [line[3:] for line in text.splitlines() if line.startswith("## ")][:4] == list(SECTIONS)
    assert blocks(f"learners/{name}.md")
