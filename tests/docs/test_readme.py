"""What README and the first page say runs, and what they name is there."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from fewshot import Embedded, evaluate, load_backbone, load_dataset
from fewshot.cli.digits_benchmark import METHODS
from fewshot.cli.main import app
from fewshot.errors import LeakageError
from fewshot.testing import check_learner

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "start.md"]
ALL = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_runs(page, tmp_path, monkeypatch, own_cache, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FEWSHOT_DATA", raising=False)
    found = [
        code for code in blocks(page, "python") if "photos" not in code
    ]  # tests/docs/test_own_data_page.py has photos
    names = {"__name__": "page"}
    assert len(found) >= 2
    for code in found:
        exec(compile(code, page.name, "exec"), names)
    assert re.search(r"\d+\.\d+ ?%.* ± ", capsys.readouterr().out)


def commands(page):
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    text = [line.removeprefix("$ ") for line in lines if line.startswith("$ fewshot-bench")]
    return [*text, *re.findall(r"`(fewshot-bench [^`]+)`", page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_and_their_options_exist(page):
    known, found = get_command(app).commands, commands(page)
    assert len(found) >= 3
    for line in found:
        name, *rest = shlex.split(line)[1:]
        assert name in known, line
        options = {option for parameter in known[name].params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, line


@pytest.mark.parametrize("page", ALL, ids=lambda p: p.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def absent(text):
    """Files of this repository that a text names, NAME and FAMILY standing for any name, and that are not there."""
    named = re.findall(r"`((?:docs|fewshot|scripts|tests|data)/[\w./]+)`", text)
    return [path for path in named if not list(ROOT.glob(re.sub("NAME|FAMILY", "*", path).rstrip("/")))]


def test_files_that_contributors_are_sent_to_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "docs/learners/NAME.md" in text and not absent(text)
    assert absent(text.replace("docs/learners/NAME.md", "docs/learners.md")) == ["docs/learners.md"]


@pytest.mark.parametrize(
    ("without", "message"),
    [
        ("    @per_episode\n", "an episode must score the same alone as in a batch, .* with @per_episode"),
        ("        require_every_class(support.y, support.n_way)\n", "class 0 has no support example, and IndexError"),
    ],
)
def test_no_line_of_the_learner_can_be_left_out(without, message, own_cache):
    source = next(code for code in blocks(PAGES[0], "python") if "class NearestMedian" in code)
    assert without in source
    names = {"__name__": "page"}
    exec(source.replace(without, "").partition("digits, pixels")[0], names)
    with pytest.raises((AssertionError, LeakageError), match=message):
        evaluate(Embedded(load_backbone("pixels"), names["NearestMedian"]()), load_dataset("digits"), episodes=4)
        check_learner(names["NearestMedian"]())


def test_output_of_the_quickstart_is_that_of_a_run():
    [output] = re.findall(
        r"<!-- quickstart -->\n\n```text\n(.*?)```\n\n<!-- /quickstart -->",
        PAGES[0].read_text(encoding="utf-8"),
        re.DOTALL,
    )
    rows = {name: re.findall(r"(\d+\.\d+) ± \d+\.\d+", output.partition(name)[2].splitlines()[0]) for name in METHODS}
    assert [len(cells) for cells in rows.values()] == [2, 4, 4, 4]  # the reference has no differences
    assert "0 of the 10 digits" in output and "fewshot-results/quickstart" in output
    seconds = re.search(r"\((\d+) s\)", output)
    assert seconds and int(seconds[1]) < 60


@pytest.mark.parametrize("word", ["protonett", "--ways", "docs/nowhere.md"])
def test_the_checks_see_a_mistake(word, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    line = {"protonett": "protonett", "--ways": "evaluate --ways 5"}.get(word, "list learners")
    page.write_text(f"```console\n$ fewshot-bench {line}\n```\n" * 3 + f"[x]({word})\n")
    with pytest.raises(AssertionError):
        test_links_lead_to_files(page) if "." in word else test_commands_and_their_options_exist(page)
