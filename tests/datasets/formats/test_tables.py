"""Tables: exact small examples, alignment, and what a table must never hide."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import record

from fewshot.records.compare import compare
from fewshot.records.record import EpisodesInfo, IntervalInfo, LearnerInfo
from fewshot.statistics.paired import compare_all
from fewshot.tables.class_tables import class_counts, class_table, confusion_table
from fewshot.tables.facts import facts_table, interval_table
from fewshot.tables.record_tables import (
    Table,
    comparison_table,
    markdown,
    percent,
    plain,
    results_table,
    shot_cell,
    with_interval,
)

SMALL = Table(("name", "accuracy %"), (("a", "9.50"), ("longer", "48.21 ± 0.77")), "Title", ("a note",))


def test_plain_text_is_aligned_with_numbers_flush_right():
    assert plain(SMALL).split("\n") == [
        "Title",
        "name      accuracy %",
        "------  ------------",
        "a               9.50",
        "longer  48.21 ± 0.77",
        "a note",
    ]


def test_markdown_has_a_rule_and_escapes_bars():
    table = Table(("a|b", "n"), (("x|y", "1"),), notes=("note",))
    assert markdown(table).split("\n") == ["| a\\|b | n |", "|---|---:|", "| x\\|y | 1 |", "", "note  "]


def test_a_table_without_rows_or_headings():
    assert plain(Table(("name", "n"), ())) == "name  n\n----  -"
    assert plain(Table(("", ""), (("learner", "x"),))) == "learner  x"


@given(st.lists(st.tuples(st.text("abc ±", max_size=9), st.text("0123456789.", min_size=1, max_size=9)), min_size=1))
def test_every_line_of_a_table_has_its_columns_in_the_same_place(rows):
    table = Table(("left", "right"), tuple((a.strip() or "x", b) for a, b in rows))
    lines = plain(table).split("\n")
    second = [line.rstrip() for line in lines[1:]]
    if all(b[0].isdigit() for _, b in table.rows):
        assert len({len(line) for line in second}) == 1  # numbers end in one column
    else:
        width = max(len(a) for a, _ in [("left", ""), *table.rows])
        assert [line[width : width + 2] for line in lines[2:]] == ["  "] * len(rows)


@pytest.mark.parametrize(
    ("estimate", "low", "high", "signed", "text"),
    [
        (0.4821, 0.4744, 0.4898, False, "48.21 ± 0.77"),
        (0.994, 0.9871, 0.9972, False, "99.40 [98.71, 99.72]"),
        (1.0, 0.99, 1.0, False, "100.00 [99.00, 100.00]"),
        (0.012, 0.002, 0.022, True, "+1.20 ± 1.00"),
        (-0.012, -0.022, -0.002, True, "-1.20 ± 1.00"),
        (0.0, 0.0, 0.0, True, "+0.00 ± 0.00"),
    ],
)
def test_an_interval_is_printed_symmetric_only_where_it_is(estimate, low, high, signed, text):
    assert with_interval(estimate, low, high, signed) == text


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5))
def test_the_printed_ends_are_the_ends(mean, below, above):
    low, high = mean - below, mean + above
    text = with_interval(mean, low, high)
    numbers = [float(n) for n in re.findall(r"-?\d+\.\d+", text)]
    ends = (numbers[0] - numbers[1], numbers[0] + numbers[1]) if "±" in text else tuple(numbers[1:])
    assert ends == pytest.approx((100 * low, 100 * high), abs=0.0101)  # three roundings of 0.005


def test_percent_is_of_fractions():
    assert percent(0.5) == "50.00"


def test_a_row_of_results_has_data_shots_and_fifth_percentile():
    table = results_table({"mine": record()})
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["data"] == "shapes/test" and row["way"] == "3" and row["episodes"] == "4" and row["backbone"] == "pixels"
    assert row["accuracy %"].startswith("66.67") and row["5th percentile %"] == "52.50"
    assert table.notes == ("accuracy: mean over episodes, 95% interval for these episodes' images",)


def test_ranges_and_unequal_shots_are_told():
    told = EpisodesInfo(way=[5, 20], shot=1, query=2, query_distribution="balanced", count=2, seed=0, manifest="m")
    assert shot_cell(told.model_copy(update={"shot": [1, 5]})) == "1-5"
    assert shot_cell(told.model_copy(update={"spec": {"shots": [1, 2, 5]}})) == "1/2/5"


def test_a_comparison_names_reference_difference_and_why_there_is_no_p_value():
    records = {"b": record((4, 6, 5, 4)), "a": record()}
    table = comparison_table(records, "a", compare(records, "a"))
    assert [row[0] for row in table.rows] == ["a", "b"]
    assert table.rows[0][3:] == ("reference",)  # without p-values there is no column for them
    # differences 1, 1, 1, 0 of 6: mean 1/8, half width t(3) * 1/12 / 2 = 3.1824 / 24
    assert table.rows[1][3:] == ("+12.50 ± 13.26",)
    assert "no p-value: the episodes may share images" in table.notes
    said = "with its 95% interval for these episodes' images; above 0 is better"
    assert any("minus that of a" in note and said in note for note in table.notes)


def test_a_comparison_tells_which_learner_looks_at_all_queries():
    records = {"a": record(), "b": record().model_copy(update={"learner": LearnerInfo(name="t", transductive=True)})}
    table = comparison_table(records, "a", compare(records, "a"))
    place = table.columns.index("looks at queries")
    assert [row[place] for row in table.rows] == ["one by one", "all at once"]


def test_p_values_are_printed_where_they_are_given_and_small_ones_as_bounds():
    reference = np.linspace(0.4, 0.6, 40)
    others = {"b": reference + 0.1, "c": reference + np.linspace(-0.1, 0.1, 40)}
    found = compare_all(reference, others, "new images of these classes", rng=np.random.default_rng(0))
    records = {name: record() for name in ("a", "b", "c")}
    table = comparison_table(records, "a", found)
    rows = table.rows
    assert table.columns[4:] == ("p", "p (Holm)") and any("interval for new images" in note for note in table.notes)
    assert rows[1][4] == "< 0.0001" or float(rows[1][4]) < 0.001
    assert float(rows[2][5]) == pytest.approx(found[1].adjusted, abs=5e-5)
    assert "p-value: sign flip" in comparison_table(records, "a", found).notes


def test_every_interval_is_listed_with_what_it_speaks_of():
    more = IntervalInfo(low=0.5, high=0.8, level=0.9, interval="t", estimand="new images of these classes", count=31)
    table = interval_table(record(intervals=[more]))
    assert table.rows[0][0] == "these episodes' images"
    assert table.rows[1] == ("new images of these classes", "[50.00, 80.00]", "15.00", "90%", "t", "31")


def test_facts_hold_all_that_made_the_record_and_skip_what_is_not_there():
    facts = dict(facts_table(record(selection="last weights")).rows)
    assert facts["learner"] == "nearest-mean (temperature=2.0)"
    assert facts["data"] == "shapes/test: 5 classes, 50 items"
    assert facts["calibration"] == "not given: the scores only rank"
    assert facts["selection"] == "last weights" and facts["manifest"] == "m1" and facts["seconds"] == "1.2"
    assert "training" not in facts and "recipe" not in facts


TRUE = np.array([0, 0, 0, 2, 2, 2, 2, -1])
PREDICTED = np.array([0, 2, 2, 2, 2, 2, 0, 0])


def test_classes_come_worst_first_with_their_rival_and_open_ones_left_out():
    table = class_table(TRUE, PREDICTED, ["cat", "cow", "dog"])
    assert table.rows == (("cat", "33.33", "3", "dog (2)"), ("dog", "75.00", "4", "cat (1)"))
    assert class_table(TRUE, PREDICTED).rows[0][0] == "0"
    ids, counts = class_counts(TRUE, PREDICTED)
    assert ids.tolist() == [0, 2] and counts.tolist() == [[1, 2], [1, 3]]


def test_a_class_that_was_only_answered_has_no_accuracy():
    assert class_table(np.array([0, 0]), np.array([0, 1])).rows[0] == ("1", "–", "0", "–")


def test_confusion_has_a_row_a_true_class():
    table = confusion_table(TRUE, PREDICTED, ["cat", "cow", "dog"])
    assert table.columns[1:] == ("cat", "dog")
    assert table.rows == (("cat", "1", "2"), ("dog", "1", "3"))


def test_the_query_distribution_stands_beside_transductive_rows():
    plain_one = record()
    looking = plain_one.model_copy(update={"learner": plain_one.learner.model_copy(update={"transductive": True})})
    uneven = plain_one.model_copy(
        update={"episodes": plain_one.episodes.model_copy(update={"query_distribution": "dirichlet(2.0)"})}
    )
    assert "queries" not in results_table({"a": plain_one}).columns
    assert results_table({"a": looking}).rows[0][-1] == "balanced"
    table = results_table({"a": plain_one, "b": uneven})
    assert table.columns[-1] == "queries" and [row[-1] for row in table.rows] == ["balanced", "dirichlet(2.0)"]
    compared = {"a": looking, "b": looking}
    assert comparison_table(compared, "a", compare(compared, "a")).columns[-1] == "queries"
