"""Published tables: the files that come along, bad files, and the command beside committed records."""

from pathlib import Path

import pytest
from cli import as_json, call, refused

from fewshot.errors import DataError
from fewshot.recipes.load import recipe_names
from fewshot.results.paper_table import paper_table
from fewshot.results.papers import find_table, load_paper, paper_tables
from fewshot.results.record import Record

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
CELL = "{method: m, way: 5, shot: 1, value: 50.0, episodes: 600, queries: 15, delta: 1, recipe: r, record: a}"
PAPER = f"title: t\nauthors: a\nvenue: v\nsource: s\ntables:\n  one:\n    about: x\n    cells:\n      - {CELL}\n"


def test_every_table_names_recipes_that_are_there():
    known = recipe_names()
    tables = list(paper_tables())
    assert "snell2017/omniglot" in [name for name, _, _ in tables]
    assert all(cell.recipe in known for _, _, table in tables for cell in table.cells)


def test_published_numbers_of_snell_are_those_of_its_table():
    cells = find_table("snell2017/omniglot")[1].cells
    assert [(c.way, c.shot, c.value) for c in cells] == [(5, 1, 98.8), (5, 5, 99.7), (20, 1, 96.0), (20, 5, 98.9)]


def test_four_cells_stand_beside_committed_records():
    found = as_json("table", "snell2017/omniglot", "--records", RESULTS)
    assert [c["verdict"] for c in found["cells"]] == ["under-trained"] * 4
    for cell in found["cells"]:
        record = Record.load(RESULTS / f"{cell['record']}.json")
        assert cell["ours"] == record.accuracy
        assert cell["difference"] == pytest.approx(record.accuracy - cell["published"])
        assert cell["interval_90"][0] < cell["difference"] < cell["interval_90"][1]
    shown = call("table", "snell2017/omniglot", "--records", RESULTS).stdout
    assert "98.8" in shown and "98.27 to 98.5" in shown and "fewshot-bench run omniglot-protonet" in shown


def test_without_records_cells_say_so(tmp_path):
    found = as_json("table", "snell2017/omniglot", "--records", tmp_path)
    assert [c["verdict"] for c in found["cells"]] == ["no record"] * 4


def test_names_are_listed_and_mistyped_ones_get_the_nearest(tmp_path):
    assert "snell2017/omniglot" in [row["name"] for row in as_json("table")]
    assert "snell2017/omniglot" in call("table").stdout
    assert "'snell2017/omniglot'" in refused("table", "snell2017/omnigot")


def test_a_cell_with_one_finished_run_is_undecided(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(PAPER.replace("value: 50.0", "value: 50.0, half_width: 0.1"))
    paper = load_paper(path)
    record = Record.load(RESULTS / "omniglot-protonet-5w1s.json")
    table = paper_table(paper, paper.tables["one"], {"a": record})
    assert table.rows[0][8] == "undecided"
    assert table.rows[0][3] == "50.0 (± 0.1)"  # no interval over 600 episodes of 75 queries is that short
    assert any("one training run" in note for note in table.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("value: 50.0", "value: 500.0"),
            "got at 'tables.one.cells.0.value': Input should be less than or equal to 100",
        ),
        (("delta: 1", "dleta: 1"), "got at 'tables.one.cells.0"),
        (("title: t", "title: [t"), "must be a readable paper in YAML"),
        (("venue: v\n", ""), "got at 'venue': Field required"),
    ],
)
def test_bad_files_are_named_with_their_place(tmp_path, change, message):
    path = tmp_path / "bad.yaml"
    path.write_text(PAPER.replace(*change))
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        load_paper(path)
