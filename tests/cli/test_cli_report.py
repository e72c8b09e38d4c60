"""``fewshot-bench report``: one file, with and without answers and data, and the command that a page names works."""

import json
import re
import shlex
import shutil

import numpy as np
import pytest
from cli import as_json, call, refused

from fewshot.records.record import Record
from fewshot.report.provenance import command_of

ASKED = ("--data", "marks.npz", "--way", 3, "--shot", 1, "--query", 5, "--episodes", 20, "--out", "out")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with small pictures and the records of two learners, made once; each test gets a copy."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 12)
    x = rng.integers(0, 256, (6, 1, 6, 6))[y] * 0.5 + rng.integers(0, 128, (72, 1, 6, 6))
    np.savez(folder / "marks.npz", x=x.astype(np.uint8), y=y)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FEWSHOT_CACHE", str(folder / "cache"))
        for options in ((), ("--option", "metric=cosine")):
            call("evaluate", "--learner", "nearest-mean", *options, *ASKED)
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch, own_cache):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_page_has_pictures_answers_and_figures(folder):
    found = as_json("report", "out", "--figures", "figs", "--reference", "nearest-mean, metric=cosine")
    html = (folder / "report.html").read_text("utf-8")
    assert (found["report"], found["records"], found["episodes"]) == ("report.html", 2, 3)
    assert sorted({p.suffix for p in (folder / "figs").iterdir()}) == [".pdf", ".png", ".svg"]
    assert len(found["figures"]) == len(list((folder / "figs").iterdir())) == 6
    shown = re.findall(r"<img src=\"data:image/png;base64,[^\"]+\" alt=\"(\w+) of", html)
    assert len(shown) == 3 * (3 + 15) and shown.count("query") == 45
    right = html.count('class="item right"')
    assert right + html.count('class="item wrong"') == 45
    told = [int(n) for n in re.findall(r"episode, number \d+: (\d+) of 15 right", html)]
    assert sum(told) == right and told == sorted(told)
    assert "Hardest classes" in html and "p (Holm)" in html


def test_without_answers_the_page_says_so_and_recompute_finds_the_same(folder):
    call("report", "out", "--out", "with.html")
    for path in (folder / "out").glob("*.npz"):
        path.unlink()
    call("report", "out", "--out", "without.html")
    call("report", "out", "--out", "anew.html", "--recompute")
    pages = {name: (folder / f"{name}.html").read_text("utf-8") for name in ("with", "without", "anew")}
    assert "Which queries were answered rightly is not known" in pages["without"]
    assert 'class="item right"' not in pages["without"] and "<img" in pages["without"]
    marks = {name: re.findall(r'class="item (right|wrong)"', page) for name, page in pages.items()}
    assert marks["anew"] == marks["with"] and "Which queries" not in pages["anew"]
    assert "Which classes are hardest is not known" in pages["anew"]


def test_without_data_classes_go_by_number_and_no_path_is_told(folder):
    (folder / "marks.npz").unlink()
    result = call("report", "out")
    html = (folder / "report.html").read_text("utf-8")
    assert "classes go by number" in html and "class 3" in html and "<img" not in html
    assert "nothing there" in result.stderr and str(folder) not in html
    for path in (folder / "out").glob("*.npz"):
        path.unlink()
    call("report", "out", "--recompute")
    assert "the very data" in (folder / "report.html").read_text("utf-8")


def test_episodes_other_than_the_records_are_not_shown(folder):
    path = sorted((folder / "out").glob("*.json"))[0]
    content = json.loads(path.read_text())
    content["episodes"]["manifest"] = content["episodes"]["manifest"].replace("seed=0", "seed=7")
    path.write_text(json.dumps(content))
    assert "its episodes must be those of" in call("report", path).stderr
    assert "<img" not in (folder / "report.html").read_text("utf-8")


def test_answers_that_disagree_with_the_record_are_told_of(folder):
    path = sorted((folder / "out").glob("*.json"))[0]
    content = json.loads(path.read_text())
    content["correct"][3] = 0  # forged: it becomes the hardest
    path.write_text(json.dumps(content))
    told = call("report", path).stderr
    assert re.search(r"must have the right ones that the record counts, got \d+ where it has \d+; run it again", told)
    unknown = "the record&#39;s own answers"
    assert unknown in (folder / "report.html").read_text("utf-8")
    assert unknown not in render_of(sorted((folder / "out").glob("*.json"))[1], folder)


def render_of(path, folder):
    call("report", path, "--out", "other.html")
    return (folder / "other.html").read_text("utf-8")


def test_the_command_on_the_page_makes_the_record_again(folder):
    for path in sorted((folder / "out").glob("*.json")):
        first = Record.load(path)
        words = shlex.split(command_of(first))
        again = as_json(*words[1:], "--out", "again")
        assert again["correct"] == first.correct and again["data"]["hash"] == first.data.hash


def test_zero_shot_records_have_a_page_of_their_own(folder, request):
    records = request.config.rootpath / "benchmarks" / "results" / "awa1-gzsl"
    files = [records / f"awa1-gzsl-proposed-{name}.json" for name in ("eszsl", "ale", "dap")]
    assert as_json("report", *files, "--reference", "eszsl")["records"] == 3
    html = (folder / "report.html").read_text("utf-8")
    for part in ("harmonic %", "for new classes %", "dolphin", "paired bootstrap", "AUSUC"):
        assert part in html
    assert "episodes&#39; images" not in html and "episodes' images" not in html


def test_the_reference_is_that_of_the_recipe_where_it_is_among_the_records(folder, request):
    records = request.config.rootpath / "benchmarks" / "results" / "omniglot-pixels"
    call("report", records, "--episodes", "0")
    assert "The line is nearest" in (folder / "report.html").read_text("utf-8")
    call(
        "report", *sorted(records.glob("*-attention-*.json")), *sorted(records.glob("*-mean-*.json")), "--episodes", "0"
    )
    assert "The line is attention" in (folder / "report.html").read_text("utf-8")


def test_training_curves_come_from_beside_and_by_name(folder):
    rows = "step,loss,learning_rate,validation_accuracy\n1,2.0,0.1,\n2,1.0,0.1,0.5\n"
    (folder / "out" / "training.csv").write_text(rows)
    (folder / "mine.csv").write_text(rows)
    call("report", "out", "--training", "mine.csv")
    assert (folder / "report.html").read_text("utf-8").count("Training loss over 2 steps") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("out", "--reference", "mean"), "reference must be a known name"),
        (("nowhere",), "nothing there"),
        (("out", "--training", "no.csv"), "must be a table with columns"),
        (("out", "--out", "marks.npz/x.html"), "must be writable"),
    ],
)
def test_what_cannot_be_reported_is_refused(folder, arguments, message):
    assert message in refused("report", *arguments)
    assert not (folder / "report.html").exists()
