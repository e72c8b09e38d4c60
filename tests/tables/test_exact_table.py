"""Tables of deterministic results: which cells are the same to the printed digit, by counting items by hand."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from cli import as_json, call

from fewshot.errors import DataError
from fewshot.tables.exact_table import FITTED, MISSING, SAME, ExactCell, count_exact, exact_cells, exact_table_of
from fewshot.tables.papers import ExactRow, ExactTable, Paper, exact_tables, find_table, load_paper

pytestmark = pytest.mark.usefixtures("no_shape_hook")  # stand-ins for records
RESULTS = Path(__file__).parents[2] / "benchmarks/results"


def cell(value, right, items, digits=2, **row):
    record = SimpleNamespace(accuracy=right / items, correct=[1] * right + [0] * (items - right))
    return ExactCell(ExactRow(method="m", label="l", values=[value], digits=digits, **row), "a>b", value, record)


@pytest.mark.parametrize(
    ("value", "right", "items", "digits", "apart"),
    [
        (23.70, 227, 958, 2, 0),  # 23.695
        (23.70, 228, 958, 2, 1),
        (41.69, 123, 295, 2, 0),  # 41.6949
        (33.0, 370, 1123, 1, 1),  # 32.948 is printed 32.9; 371 of 1123 are 33.0
        (33.0, 371, 1123, 1, 0),
        (100.0, 157, 157, 1, 0),
        (50.0, 1, 2, 2, 0),
        (33.33, 1, 4, 2, 1),  # no count of 4 gives 33.33; the nearest is a third of an item away
    ],
)
def test_items_apart(value, right, items, digits, apart):
    found = cell(value, right, items, digits)
    by_hand = [abs(k - right) for k in range(items + 1) if f"{100 * k / items:.{digits}f}" == f"{value:.{digits}f}"]
    assert found.items_apart == apart and (not by_hand or min(by_hand) == apart)


def test_words():
    assert cell(50, 1, 2).word == SAME and cell(50, 1, 2, fitted=True).word == FITTED
    assert cell(50, 1, 2, fitted_tasks=["a>b"]).word == FITTED and cell(50, 2, 2).word == "differs by 1 item"
    assert cell(50, 3, 10).word == "differs by 2 items"
    assert ExactCell(cell(50, 1, 2).row, "a>b", 50, None).word == MISSING
    assert count_exact([cell(50, 1, 2), cell(50, 2, 2), cell(50, 3, 10)]) == f"{SAME} 1, differs 2"


def test_a_table_says_what_differs():
    row = ExactRow(method="one", label="l", values=[50.0, 25.0], digits=1, note="odd")
    table = ExactTable(about="title", recipe="r", tasks=["a>b", "b>a"], rows=[row])
    paper = Paper(title="t", authors="a", venue="v", source="s", exact_tables={"x": table})
    record = cell(50, 1, 2).record
    shown = exact_table_of(paper, table, exact_cells(table, {"r-a-b-l": record, "r-b-a-l": record}))
    assert shown.rows == (("one", "50.0", "25.0 | 50.0 (1)", "1 of 2"),)
    assert "one: odd" in shown.notes and "made by: fewshot-bench run r" in shown.notes


def test_rows_have_a_value_a_task(tmp_path):
    text = """
title: t
authors: a
venue: v
source: s
exact_tables:
  x: {about: y, recipe: r, tasks: [a>b, b>a], rows: [{method: m, label: l, values: [1.0]}]}
"""
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(DataError, match="must have 2 values, one a task, got 1"):
        load_paper(tmp_path / "own.yaml")


def test_the_committed_tables_hold():
    """At least so many cells are the same by one stated setting a row, and so many with an option fitted to the number."""
    from fewshot.recipes.exact_tables import records_of

    words = []
    for name, _, table in exact_tables():
        assert find_table(name)[1] == table
        words += [one.word for one in exact_cells(table, records_of(table, RESULTS))]
    assert MISSING not in words
    assert words.count(SAME) >= SAME_CELLS and words.count(FITTED) >= FITTED_CELLS


SAME_CELLS, FITTED_CELLS = 122, 25


def test_by_command():
    assert "12 of 12" in call("table", "long2013/surf", "--records", RESULTS).stdout
    document = as_json("table", "long2013/surf", "--records", RESULTS)
    assert {one["items_apart"] for one in document["cells"] if one["method"] == "NN"} == {0}
    call("table", "long2013/surf", "--records", RESULTS, "--format", "latex")
