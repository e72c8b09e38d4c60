"""The parts of a report, each against an oracle of its own; the page in a browser is in ``test_report_page``."""

import base64
import csv
import hashlib
import io
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from records import record

from fewshot.errors import DataError, RecordError, UnknownNameError
from fewshot.records.compare import compare
from fewshot.records.record import DataInfo, LearnerInfo
from fewshot.report.build import Beside, build_page
from fewshot.report.cells import Cell, Column, count, make_table, share, words
from fewshot.report.contents import Contents
from fewshot.report.differences import ALONE, differences
from fewshot.report.episodes import Drawn, choose_episodes, class_rows
from fewshot.report.few_shot import few_shot_table
from fewshot.report.forest import Bar, forest, hidden_bars
from fewshot.report.hardest import hardest_classes
from fewshot.report.images import data_uri, show
from fewshot.report.learning_curve import curves_in, read_curve, thinned
from fewshot.report.page import render, script_hash
from fewshot.report.provenance import command_of
from fewshot.report.results import Group, Result, check_reference, group_results, name_results
from fewshot.report.shots import shots_plots
from fewshot.report.svg import inline_svg
from fewshot.statistics.interval import DRAWS


def named(**records):
    return name_results(records)


def test_a_cell_of_an_accuracy_has_its_half_width_or_both_ends():
    assert share(0.5, 0.4, 0.6) == Cell("50.00", 0.5, "± 10.00")
    assert share(0.99, 0.97, 0.995).spread == "[97.00, 99.50]"
    assert share(-0.02, -0.05, 0.02, signed=True) == Cell("−2.00", -0.02, "[−5.00, 2.00]")
    assert share(None).key < share(0.0).key


@pytest.mark.parametrize(("text", "key"), [("5", 5.0), ("5-20", 5.0), ("1/2/5", 1.0), ("10,000", 1e4), ("–", -1.0)])
def test_counts_are_sorted_by_their_first_number(text, key):
    assert count(text).key == key


def test_columns_that_say_the_same_everywhere_are_told_once_and_empty_ones_left_out():
    columns = [
        Column("name", "", lambda r: words(r[0]), shown=True),
        Column("way", "", lambda r: count(r[1])),
        Column("none", "", lambda r: words("")),
    ]
    table = make_table(columns, [("a", "5"), ("b", "5")])
    assert [c.name for c in table.columns] == ["name"] and table.shared == (("way", "5"),)
    assert [c.name for c in make_table(columns, [("a", "5"), ("b", "6")]).columns] == ["name", "way"]


def test_every_fact_of_a_row_is_in_the_table_or_told_once():
    table = few_shot_table(named(a=record(learner="a"), b=record((1, 2, 3, 4), learner="b")))
    told = {name for name, _ in table.shared} | {column.name for column in table.columns}
    for fact in (
        "way", "shot", "queries", "episodes", "accuracy %", "interval for", "data", "learner", "selection", "batch norm",
        "looks at queries",
    ):  # fmt: skip
        assert fact in told


def test_methods_have_the_shortest_name_that_differs_in_their_group():
    def with_option(value):
        return record(learner="maml", manifest="m1").model_copy(
            update={"learner": LearnerInfo(name="maml", options={"lr": 1, "bn": value})}
        )

    assert [r.method for r in named(a=record(learner="x"), b=record(learner="y"))] == ["x", "y"]
    assert [r.method for r in named(a=with_option("s"), b=with_option("q"))] == ["maml, bn=s", "maml, bn=q"]
    assert [r.method for r in named(a=record(), b=record())] == ["a", "b"]
    twice = name_results({"x/a.json": record(), "y/a.json": record()})
    assert [r.method for r in twice] == ["x/a.json", "y/a.json"]
    apart = named(a=record(manifest="m1"), b=record(manifest="m2"))
    assert [r.method for r in apart] == ["nearest-mean"] * 2 and len(group_results(apart)) == 2


def test_an_unknown_reference_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'first'"):
        check_reference("frist", named(a=record(learner="first"), b=record(learner="second")))
    check_reference("eszsl", [], ["eszsl"])


def test_differences_are_those_of_the_comparison():
    records = {"a": record((3, 5, 4, 4), learner="a"), "b": record((2, 5, 3, 4), learner="b")}
    (group,) = group_results(named(**records))
    found = differences(group, "b", None)
    (own,) = compare(records, "b")
    (bar,) = found.bars
    assert (bar.value, bar.low, bar.high) == (own.difference.estimate, own.difference.low, own.difference.high)
    assert bar.value > 0 and found.reference == "b"  # a is better; the planted slip would turn the sign round
    assert "No p-value" in found.sentences[1] and "neither from answers" in found.sentences[1]


def test_over_classes_there_are_p_values_with_holm():
    rng = np.random.default_rng(0)
    classes = np.stack([rng.permutation(12)[:3] for _ in range(60)])
    made = {k: record(tuple(rng.integers(low, 7, 60)), learner=k) for k, low in (("a", 1), ("b", 2), ("c", 3))}
    (group,) = group_results(named(**made))
    found = differences(group, "a", classes)
    assert all(bar.wide is not None for bar in found.bars) and "Holm for the 2 comparisons" in found.sentences[1]
    assert [c.name for c in found.table.columns][-1] == "p (Holm)"
    assert all(cell.key <= 1 for row in found.table.rows for cell in row[-1:])


def test_what_a_difference_speaks_of_follows_the_record():
    def draws(learner):
        made = record((3, 5, 4, 4), learner=learner)
        return made.model_copy(update={"summary": made.summary.model_copy(update={"estimand": DRAWS})})

    (group,) = group_results(named(a=draws("a"), b=draws("b")))
    assert DRAWS in differences(group, None, None).bars_are


def test_sentences_stand_where_nothing_is_paired():
    alone, other = group_results(named(a=record(manifest="m1"), b=record(manifest="m2")))
    assert differences(alone, None, None).sentences == (ALONE,)
    (pair,) = group_results(named(a=record(learner="a"), b=record(learner="b")))
    assert "No record of the reference 'z'" in differences(pair, "z", None).sentences[0]
    page = build_page(Contents([*alone.results, *other.results]), Beside({}))
    assert "different lists of episodes" in page.apart and "different lists of episodes" in render(page)


def test_chosen_episodes_are_the_hardest_the_median_and_the_easiest():
    accuracies = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    assert choose_episodes(accuracies, 3) == [(1, "hardest"), (0, "median"), (2, "easiest")]
    assert [i for i, _ in choose_episodes(accuracies, 99)] == np.argsort(accuracies).tolist()
    assert choose_episodes(np.array([0.5]), 3) == [(0, "hardest")]
    assert choose_episodes(np.ones(4), 1) == [(0, "hardest")]


def test_rows_of_an_episode_put_wrong_answers_first_and_count_what_is_left_out():
    y = np.repeat([0, 1], 12)
    predicted = y.copy()
    predicted[[13, 20]] = 0
    drawn = Drawn(0, ["a", "b"], ["text"] * 14, np.repeat([0, 1], 7), ["q"] * 24, y, predicted)
    (first, second), more = class_rows(drawn)
    assert (first.name, first.right, first.asked, more) == ("b", 10, 12, 0)
    assert [q.right for q in first.queries] == [False] * 2 + [True] * 8 and first.queries[0].answer == "a"
    assert (first.more_queries, first.more_examples, second.right) == (2, 2, 12)


def test_queries_of_open_classes_have_a_row_and_unknown_answers_no_mark():
    drawn = Drawn(0, ["a"], ["t"], np.array([0]), ["q", "r"], np.array([0, 1]))
    rows, _ = class_rows(drawn)
    assert [row.name for row in rows] == ["a", "other classes"]
    assert {q.right for row in rows for q in row.queries} == {None} and rows[0].right is None


def test_hardest_classes_count_every_query():
    rng = np.random.default_rng(1)
    true, predicted = rng.integers(0, 30, 3000), rng.integers(0, 30, 3000)
    predicted[true % 3 == 0] = true[true % 3 == 0]
    found = hardest_classes("t", "m", true, predicted, [f"c{k}" for k in range(30)])
    for row in found.rows:
        k = int(row.name[1:])
        assert (
            row.asked == sum(row.answers) == (true == k).sum() and row.right == ((true == k) & (predicted == k)).sum()
        )
        place = found.columns.index(row.name)
        assert row.answers[place] == row.right
        own = found.columns[0]
        assert row.answers[0] == ((true == k) & (predicted == int(own[1:]))).sum()
    worst = min(float((predicted[true == k] == k).mean()) for k in range(30))
    assert found.rows[0].accuracy == worst and found.columns[-1] == "all others"


def test_pictures_hold_the_pixels():
    image = np.random.default_rng(0).integers(0, 256, (1, 8, 8), dtype=np.uint8)
    head, data = data_uri(image).split(",")
    assert head == "data:image/png;base64"
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), image[0])
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(base64.b64decode(data_uri(image / 255).split(",")[1])))), image[0]
    )
    big = data_uri(np.zeros((3, 300, 200), np.uint8))
    assert Image.open(io.BytesIO(base64.b64decode(big.split(",")[1]))).size == (43, 64)
    assert show(np.zeros(8)).picture == "" and len(show("x" * 999).text) == 180


def test_a_learning_curve_is_read_and_thinned(tmp_path):
    path = tmp_path / "run" / "training.csv"
    path.parent.mkdir()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "loss", "learning_rate", "validation_accuracy"])
        writer.writerows([k, 1 / k, 0.1, 0.5 if k % 100 == 0 else ""] for k in range(1, 1001))
    curve = read_curve(path)
    assert (curve.title, len(curve.steps), curve.validated.tolist()[:2]) == ("run", 1000, [100, 200])
    assert len(thinned(curve.losses)) == 300 and thinned(np.arange(6.0), 3).tolist() == [0.5, 2.5, 4.5]


@pytest.mark.parametrize(
    ("name", "title"),
    [("training", "run"), ("pretraining", "run, pretraining"), ("training-a-b", "run, training of a-b"),
     ("pretraining-c", "run, pretraining of c"), ("mine", "run")],
)  # fmt: skip
def test_a_learning_curve_is_called_by_its_folder_and_learner(tmp_path, name, title):
    path = tmp_path / "run" / f"{name}.csv"
    path.parent.mkdir()
    path.write_text("step,loss,validation_accuracy\n1,2.0,\n")
    assert read_curve(path).title == title
    assert curves_in(path.parent) == ([] if name == "mine" else [path])


@pytest.mark.parametrize(
    ("text", "message"),
    [("step,loss\n1,2\n", "validation_accuracy"), ("step,loss,validation_accuracy\n", "got none"),
     ("step,loss,validation_accuracy\n1,x,\n", "could not convert")],
)  # fmt: skip
def test_what_is_no_learning_curve_is_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_curve(tmp_path / "t.csv")


def test_figures_take_the_colours_of_the_page_and_have_ids_of_their_own():
    figure = forest([Bar("<b>", 0.5, 0.4, 0.6, (0.1, 0.9)), Bar("c", 0.7, 0.6, 0.8, None, True)], "x", 0.5)
    one, two = (inline_svg(figure, name, 'say "hi"') for name in ("f1", "f2"))
    assert "var(--blue)" in one and "var(--vermilion)" in one and "#0072b2" not in one and "&lt;b&gt;" in one
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, two)]
    assert ids[0] and not ids[0] & ids[1]
    for text, own in zip((one, two), ids, strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= own
    assert "&quot;hi&quot;" in one and "<metadata" not in one and one == inline_svg(figure, "f1", 'say "hi"')


def test_a_bar_behind_its_mark_is_told_of():
    wide, narrow = Bar("a", 0.5, 0.4, 0.6), Bar("b", 0.9, 0.8999, 0.9001)
    assert "narrower than the mark" in hidden_bars([wide, narrow])
    assert hidden_bars([wide, wide]) == hidden_bars([narrow]) == ""


def test_names_in_scripts_that_matplotlib_cannot_draw_are_text_on_the_page():
    assert "漢字 🦉" in inline_svg(forest([Bar("漢字 🦉", 0.5, 0.4, 0.6)], "x"), "f", "alt of it")


def test_accuracy_against_shots_needs_two_numbers_of_shots():
    results = named(a=record(manifest="m1"), b=record((4, 5, 5, 6), shot=5, manifest="m5"))
    (plot,) = shots_plots(results, None)
    assert "At most shots: nearest-mean 83.33 %" in plot.alt
    other = DataInfo(name="other", hash="1" * 64, split="test", classes=5, items=50)
    assert shots_plots(named(a=record(), b=record(shot=5, manifest="m5", data=other)), None) == []


def test_a_name_of_several_results_is_no_reference():
    both = (Result("a.json", "m, k=1", record()), Result("b.json", "m", record()))
    assert Group("t", both).find("m") is both[1]
    alike = tuple(replace(r, method=f"{r.method}, k=2") for r in both)
    with pytest.raises(
        RecordError, match="the reference must name one result, got 'nearest-mean', which is m, k=1, k=2, m, k=2"
    ):
        Group("t", alike).find("nearest-mean")
    assert Group("t", alike).find("other") is None


def test_the_command_is_the_recipes_or_that_of_evaluate():
    made = record(recipe="omniglot-pixels", settings={"label": "two words"})
    assert shlex.split(command_of(made)) == ["fewshot-bench", "run", "omniglot-pixels", "--only", "two words"]
    assert command_of(record(recipe="own-file", settings={})) == ""
    own = shlex.split(command_of(record()))
    assert own[:2] == ["fewshot-bench", "evaluate"] and own[own.index("--option") + 1] == "temperature=2.0"
    odd = record()
    odd = odd.model_copy(update={"episodes": odd.episodes.model_copy(update={"spec": {"dirichlet": 2}})})
    assert command_of(odd) == ""


def test_the_policy_names_the_script_that_is_on_the_page():
    html = render(build_page(Contents(named(a=record())), Beside({})))
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.S)
    wanted = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{wanted}'" in html.replace("&#39;", "'") and script_hash(script) == f"sha256-{wanted}"
    assert "default-src" in html and not re.search(r'(src|href)="(?!data:|#)', html)
