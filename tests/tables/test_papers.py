"""Published tables: the files that come along, bad files, and the command beside committed records."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from cli import as_json, call, refused
from scipy import stats

from fewshot.errors import DataError, StatisticsError, UnknownNameError
from fewshot.plumbing.files import packaged
from fewshot.recipes.papers import commands, judged_cells, known_records, makers, run_missing
from fewshot.recipes.rows import row_name
from fewshot.records.record import Record
from fewshot.tables.formats import FORMATS
from fewshot.tables.paper_table import judge_cell, paper_tables_of
from fewshot.tables.papers import PaperCell, find_table, load_paper, paper_tables

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
CELL = "{method: m, way: 5, shot: 1, value: 50.0, episodes: 600, queries: 15, delta: 1, recipe: r, records: [a]}"
PAPER = f"title: t\nauthors: a\nvenue: v\nsource: s\ntables:\n  one:\n    about: x\n    cells:\n      - {CELL}\n"
PROTONET = "omniglot-protonet-5w1s"


def cell(**changes):
    """A cell beside the records of `omniglot-protonet`."""
    known = {"method": "m", "way": 5, "shot": 1, "value": 98.8, "episodes": 1000, "queries": 15, "delta": 0.5}
    return PaperCell(**known | {"recipe": "omniglot-protonet", "records": [PROTONET]} | changes)


@pytest.fixture
def folder(tmp_path):
    """A folder with one record of `omniglot-protonet`, in a folder of it."""
    (tmp_path / "deep").mkdir()
    shutil.copy(RESULTS / f"{PROTONET}.json", tmp_path / "deep")
    return tmp_path


def test_every_record_of_every_cell_is_made_by_its_recipe_at_the_ways_and_shots_of_the_cell():
    seen = set()
    for name, _, table in paper_tables():
        for published in table.cells:
            for (recipe, row), record in zip(makers(published), published.records, strict=True):
                assert row_name(recipe, row) == record
                assert (row.way, row.shot) == (published.way, published.shot), (name, record)
        seen.add(name)
    assert {"snell2017/omniglot", "snell2017/omniglot-ways", "vinyals2016/omniglot", "lake2015/one-shot"} <= seen


def test_published_numbers_of_snell_are_those_of_its_tables():
    cells = find_table("snell2017/omniglot")[1].cells
    assert [(c.way, c.shot, c.value) for c in cells] == [(5, 1, 98.8), (5, 5, 99.7), (20, 1, 96.0), (20, 5, 98.9)]
    ways = find_table("snell2017/omniglot-ways")[1].cells
    assert [c.value for c in ways] == [
        97.4, 99.3, 92.0, 97.8, 98.7, 99.6, 95.4, 98.8, 98.8, 99.7, 96.0, 99.0,
        96.9, 99.3, 90.7, 97.8, 98.1, 99.6, 94.1, 98.7, 98.5, 99.7, 94.7, 98.9,
    ]  # fmt: skip


def test_a_cell_that_its_recipe_does_not_make_is_named():
    with pytest.raises(
        UnknownNameError, match=r"record of recipe 'omniglot-protonet' must be .*; did you mean 'omniglot-p"
    ):
        makers(cell(records=["omniglot-protnet-5w1s"]))


def test_a_record_of_other_ways_or_shots_is_refused():
    for other in ({"way": 20}, {"shot": 5}):
        with pytest.raises(
            DataError, match="must have records of them, got 'omniglot-protonet-5w1s', which has 5 and 1"
        ):
            makers(cell(**other))


def test_commands_name_the_learners_of_a_recipe():
    pixels = find_table("vinyals2016/omniglot")[1].cells[0]
    assert commands(pixels) == ["fewshot-bench run omniglot-pixels --only nearest"]
    assert commands(cell()) == ["fewshot-bench run omniglot-protonet"]


@pytest.mark.parametrize("name", [name for name, _, _ in paper_tables()])
def test_cells_stand_beside_committed_records(name):
    found = as_json("table", name, "--records", RESULTS)
    shown = call("table", name, "--records", RESULTS).stdout
    for number in found["cells"]:
        records = [Record.load(path) for key in number["records"] for path in RESULTS.rglob(f"{key}.json")]
        assert all(command in shown for command in number["made_by"])
        if not records:
            assert number["verdict"] == "no record"
            continue
        assert number["stale"] is None, (name, number["records"], number["stale"])
        assert number["runs"] == [r.accuracy for r in records]
        assert number["difference"] == pytest.approx(sum(number["runs"]) / len(records) - number["published"])
        assert number["interval_90"][0] < number["difference"] < number["interval_90"][1]


def test_without_records_cells_say_so(tmp_path):
    found = as_json("table", "snell2017/omniglot", "--records", tmp_path)
    assert [c["verdict"] for c in found["cells"]] == ["no record"] * 4


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    assert "--records must be a folder, got nothing at" in refused(
        "table", "lake2015/one-shot", "--records", tmp_path / "x"
    )


def test_a_changed_recipe_and_changed_data_are_stale(folder):
    table = find_table("snell2017/omniglot")[1].model_copy(update={"cells": [cell()]})
    assert judged_cells(table, known_records(folder, table.cells))[0].stale is None
    path = folder / "deep" / f"{PROTONET}.json"
    text = path.read_text()
    path.write_text(text.replace('"halve_every": 2000', '"halve_every": 500'))
    assert judged_cells(table, known_records(folder, table.cells))[0].word == "stale"
    path.write_text(text.replace(Record.load(RESULTS / f"{PROTONET}.json").data.hash, "0" * 64))
    assert judged_cells(table, known_records(folder, table.cells))[0].stale == "stale, its data have changed"


def test_missing_records_are_made_and_present_ones_kept(tmp_path):
    found = as_json("table", "lake2015/one-shot", "--records", tmp_path, "--run-missing")
    assert [c["verdict"] for c in found["cells"]] == ["reproduced"]
    made = tmp_path / "omniglot-hausdorff" / "omniglot-hausdorff-20w1s.json"
    before = made.stat().st_mtime_ns
    call("table", "lake2015/one-shot", "--records", tmp_path, "--run-missing")
    assert made.stat().st_mtime_ns == before


def test_stale_records_are_made_anew_where_they_lie(tmp_path):
    call("table", "lake2015/one-shot", "--records", tmp_path, "--run-missing")
    (tmp_path / "omniglot-hausdorff").rename(tmp_path / "mine")
    path = tmp_path / "mine" / "omniglot-hausdorff-20w1s.json"
    fresh = path.read_text()
    path.write_text(fresh.replace('"open_interval": false', '"open_interval": true'))
    stale = as_json("table", "lake2015/one-shot", "--records", tmp_path)["cells"][0]
    assert stale["verdict"] == "stale"
    again = as_json("table", "lake2015/one-shot", "--records", tmp_path, "--run-missing")["cells"][0]
    assert again["verdict"] == "reproduced" and Record.load(path).settings == json.loads(fresh)["settings"]
    assert [p.parent.name for p in tmp_path.rglob("omniglot-hausdorff-20w1s.json")] == ["mine"]


def test_a_record_that_is_there_twice_is_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(RESULTS / "omniglot-hausdorff-20w1s.json", tmp_path / name)
    assert "a record must be there once, got" in refused("table", "lake2015/one-shot", "--records", tmp_path)


def test_ours_is_the_mean_over_runs_with_the_interval_of_their_mean_in_each_episode():
    table = find_table("snell2017/omniglot-ways")[1]
    judged = judged_cells(table, known_records(RESULTS, table.cells))
    paper = find_table("snell2017/omniglot-ways")[0]
    rows = paper_tables_of(paper, table, judged)[0].rows
    each = np.mean([run.accuracies for run in judged[2].runs], axis=0)  # 20-way 1-shot, between 10 and 90 % and beyond
    logit = np.log(each.mean() / (1 - each.mean()))
    error = stats.sem(each) / (each.mean() * (1 - each.mean())) * stats.t.ppf(0.975, len(each) - 1)
    low, high = (1 / (1 + np.exp(-(logit + s * error))) for s in (-1, 1))
    arm = f"{100 * (each.mean() - low):.2f}"
    assert len(judged[2].runs) == 3 and each.mean() > 0.9
    assert rows[2][6] in (
        f"{100 * each.mean():.2f} ± {arm}",
        f"{100 * each.mean():.2f} [{100 * low:.2f}, {100 * high:.2f}]",
    )


@pytest.mark.parametrize(
    ("records", "told"),
    [
        (["omniglot-pixels-nearest-5w1s-rotations-none"], "43.7"),
        (["omniglot-pixels-nearest-20w1s-rotations-none"], "24.1"),
        (["omniglot-pixels-attention-5w5s"], "63.7"),
        (["omniglot-pixels-attention-20w5s"], "41.4"),
        (["omniglot-pixels-mean-5w5s"], "65.2"),
        (["omniglot-pixels-mean-20w5s"], "44.0"),
        (["omniglot-vinyals-baselines-classifier-cosine-400-steps-5w1s"], "55.7"),
        (["omniglot-vinyals-baselines-classifier-cosine-400-steps-20w1s"], "29.7"),
        ([f"omniglot-vinyals-baselines-classifier-cosine{s}-5w1s" for s in ("", "-seed-1", "-seed-2")], "95.9"),
        ([f"omniglot-vinyals-baselines-classifier-cosine{s}-20w1s" for s in ("", "-seed-1", "-seed-2")], "88.1"),
    ],
)
def test_numbers_in_reasons_are_those_of_records(records, told):
    found = [Record.load(next(RESULTS.rglob(f"{name}.json"))).accuracy for name in records]
    assert f"{100 * np.mean(found):.1f}" == told
    assert any(told in (c.reason or "") for c in find_table("vinyals2016/omniglot")[1].cells)


@pytest.fixture
def own(tmp_path):
    """An own paper with two tables, one of them of a recipe that lies beside it."""
    recipe = (packaged("recipes") / "omniglot-hausdorff.yaml").read_text().replace("omniglot-hausdorff", "mine")
    (tmp_path / "recipe.yaml").write_text(recipe)
    cells = [
        CELL.replace("way: 5", "way: 20").replace("recipe: r, records: [a]", told)
        for told in (
            "recipe: recipe.yaml, records: [mine-20w1s]",
            "recipe: omniglot-hausdorff, records: [omniglot-hausdorff-20w1s]",
        )
    ]
    tables = "".join(f"  {name}: {{about: x, cells: [{c}]}}\n" for name, c in zip(("own", "known"), cells, strict=True))
    path = tmp_path / "kim2026.yaml"
    path.write_text(PAPER.partition("  one:")[0] + tables)
    return path


def test_an_own_paper_is_a_file_and_its_recipe_may_lie_beside_it(own, tmp_path):
    records = tmp_path / "records"
    listed = as_json("table", own, "--records", RESULTS)
    assert [(row["name"], row["verdicts"]) for row in listed] == [
        (f"{own}/own", "no record 1"),
        (f"{own}/known", "different 1"),
    ]
    assert as_json("table", f"{own}/known", "--records", RESULTS)["cells"][0]["verdict"] == "different"
    made = as_json("table", f"{own}/own", "--records", records, "--run-missing")["cells"][0]
    assert made["verdict"] == "different" and made["made_by"] == [f"fewshot-bench run {own.parent / 'recipe.yaml'}"]
    assert (records / "mine" / "mine-20w1s.json").is_file()


def test_the_example_of_the_documentation_is_a_paper(tmp_path):
    page = (RESULTS.parents[1] / "docs" / "paper-tables.md").read_text()
    path = tmp_path / "kim2026.yaml"
    path.write_text(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    (tmp_path / "kim-digits.yaml").write_text(
        "name: kim-digits\nabout: x\ndata: digits\nbackbone: pixels\nlearner: nearest-mean\n"
        "evaluation: {split: null, episodes: 50, rows: [{way: 5, shot: 1}]}\n"
    )
    made = as_json("table", f"{path}/digits", "--records", tmp_path, "--run-missing")
    assert made["cells"][0]["verdict"] in ("reproduced", "different", "undecided")
    keys = set(
        re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| `")))
    )
    assert set(PaperCell.model_fields) <= keys


def test_an_own_paper_that_is_not_there_and_a_table_that_is_not_in_it_are_named(own):
    assert "must be a paper file, got nothing there; check the path" in refused("table", own.with_name("no.yaml"))
    assert f"'{own}/known'" in refused("table", f"{own}/knwn")


def test_names_are_listed_and_mistyped_ones_get_the_nearest():
    listed = {row["name"]: row for row in as_json("table", "--records", RESULTS)}
    assert listed["lake2015/one-shot"]["verdicts"] == "reproduced 1"
    assert "snell2017/omniglot" in call("table").stdout
    assert "'snell2017/omniglot'" in refused("table", "snell2017/omnigot")


HAUSDORFF = "omniglot-hausdorff-20w1s"


def test_outside_of_a_checkout_the_records_that_come_along_are_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    away = call("table", "lake2015/one-shot")
    assert away.stdout == call("table", "lake2015/one-shot", "--records", RESULTS).stdout
    assert "the records that come with the package, and those of 'fewshot-results'" in away.stderr
    monkeypatch.chdir(RESULTS.parents[1])
    home = call("table", "lake2015/one-shot")
    assert home.stdout == away.stdout and "records of 'benchmarks/results'" in home.stderr
    (tmp_path / "none").mkdir()
    alone = as_json("table", "lake2015/one-shot", "--records", tmp_path / "none")
    assert [c["verdict"] for c in alone["cells"]] == ["no record"]


def test_an_own_record_stands_for_the_one_that_comes_along(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = json.loads((RESULTS / f"{HAUSDORFF}.json").read_text())
    content["correct"] = [0] * len(content["correct"])
    content["summary"]["accuracy"] = 0.0
    (tmp_path / "fewshot-results" / "mine").mkdir(parents=True)
    (tmp_path / "fewshot-results" / "mine" / f"{HAUSDORFF}.json").write_text(json.dumps(content))
    assert as_json("table", "lake2015/one-shot")["cells"][0]["ours"] == 0


def test_what_comes_along_is_not_made_again_and_nothing_is_written_beside_it(tmp_path, monkeypatch):
    along = tmp_path / "along"
    along.mkdir()
    table = find_table("lake2015/one-shot")[1]
    asked = []
    monkeypatch.setattr("fewshot.recipes.papers.run_recipe", lambda recipe, out, **_: asked.append((recipe, out)))
    shutil.copy(RESULTS / f"{HAUSDORFF}.json", along)
    here, path = tmp_path / "here", along / f"{HAUSDORFF}.json"
    run_missing(table, here, print, print, along)
    assert asked == []
    content = json.loads(path.read_text())
    content["data"]["hash"] = "0" * 64  # stale
    path.write_text(json.dumps(content))
    run_missing(table, here, print, print, along)
    assert asked == [("omniglot-hausdorff", here / "omniglot-hausdorff")]


def test_every_form_holds_every_cell():
    numbers = as_json("table", "lake2015/one-shot", "--records", RESULTS)["cells"][0]
    forms = {
        f: call("table", "lake2015/one-shot", "--records", RESULTS, "--format", f).stdout
        for f in ("md", "latex", "csv", "html")
    }
    rows = list(csv.reader(io.StringIO(forms["csv"])))
    assert rows[1][1] == numbers["method"] and rows[1][-1] == "reproduced" and {len(r) for r in rows} == {12}
    assert forms["latex"].count("\\\\") == 2 and r"published \%" in forms["latex"] and r"$\pm$" in forms["latex"]
    assert forms["html"].count("<td") == 12 and "</table>" in forms["html"]
    assert "| modified Hausdorff distance |" in forms["md"]


def test_runs_on_other_episodes_are_refused():
    one = Record.load(RESULTS / f"{PROTONET}.json")
    other = one.model_copy(update={"episodes": one.episodes.model_copy(update={"manifest": "m"})})
    with pytest.raises(StatisticsError, match="must be judged on the same episodes, got others among"):
        judge_cell(cell(), [one, other], {}, None, [])


def test_runs_of_a_cell_differ_in_their_seed_alone():
    names = [
        f"omniglot-protonet-ways-{label}-5w1s" for label in ("5-way-1-shot", "5-way-1-shot-seed-1", "5-way-5-shot")
    ]
    one, two, other = [Record.load(RESULTS / "omniglot-protonet-ways" / f"{name}.json") for name in names]
    assert judge_cell(cell(), [one, two], {}, None, []).word == "undecided"
    for wrong in ([one, one], [one, other]):
        with pytest.raises(
            StatisticsError, match="must differ in their training seed alone, got other settings or one seed"
        ):
            judge_cell(cell(), wrong, {}, None, [])


def test_other_test_classes_and_missing_runs_are_told():
    table = find_table("snell2017/omniglot-ways")[1]
    known = known_records(RESULTS)
    published = table.cells[1]
    runs = [known.records[name] for name in published.records]
    assert judge_cell(published, runs, known.spreads, None, []).word == "reproduced"
    others = published.model_copy(update={"other_classes": True})
    two = judge_cell(published, runs[:2], known.spreads, None, ["a", "b", "c"])
    assert judge_cell(others, runs, known.spreads, None, []).word == "undecided"
    paper = find_table("snell2017/omniglot-ways")[0]
    numbers, _ = paper_tables_of(paper, table, [two])
    assert numbers.rows[0][7] == "2 of 3"
    assert "1: the spread between training runs is that of other cells (2 degrees of freedom)" in numbers.notes


def test_stale_runs_say_nothing_of_the_spread(tmp_path):
    for path in (RESULTS / "omniglot-protonet-ways").glob("*5-way-*.json"):
        shutil.copy(path, tmp_path)
    assert known_records(tmp_path).spreads
    for path in tmp_path.glob("*-seed-1-*.json"):
        path.write_text(path.read_text().replace('"halve_every": 2000', '"halve_every": 500'))
    assert not known_records(tmp_path).spreads


def test_a_record_of_another_row_is_stale_and_other_words_about_it_are_not(folder):
    table = find_table("snell2017/omniglot")[1].model_copy(update={"cells": [cell()]})
    path = folder / "deep" / f"{PROTONET}.json"
    about = Record.load(path).settings["about"]
    path.write_text(path.read_text().replace(about, "another sentence"))
    assert judged_cells(table, known_records(folder, table.cells))[0].stale is None
    shutil.copy(RESULTS / "omniglot-protonet-5w5s.json", path)
    assert judged_cells(table, known_records(folder, table.cells))[0].word == "stale"


def test_changed_data_are_asked_again(tmp_path):
    call("table", "lake2015/one-shot", "--records", tmp_path, "--run-missing")
    path = tmp_path / "omniglot-hausdorff" / "omniglot-hausdorff-20w1s.json"
    fresh = Record.load(path).data.hash
    path.write_text(path.read_text().replace(fresh, "0" * 64))
    assert as_json("table", "lake2015/one-shot", "--records", tmp_path)["cells"][0]["verdict"] == "stale"
    call("table", "lake2015/one-shot", "--records", tmp_path, "--run-missing")
    assert Record.load(path).data.hash == fresh


def test_an_own_recipe_has_a_name_of_its_own(own):
    recipe = own.with_name("recipe.yaml")
    recipe.write_text(recipe.read_text().replace("mine", "omniglot-hausdorff"))
    assert "must have a name of its own, got 'omniglot-hausdorff'" in refused("table", f"{own}/own")


def test_options_of_one_table_need_its_name(own):
    for name in ((), (own,)):
        for option in (("--run-missing",), ("--format", "csv")):
            assert "--run-missing and --format need one table, got" in refused("table", *name, *option)


def test_a_note_of_several_lines_stays_a_comment_in_latex():
    table = find_table("lake2015/one-shot")[1].model_copy(update={"note": "first\n50 % & more"})
    text = FORMATS["latex"](paper_tables_of(find_table("lake2015/one-shot")[0], table, [])[0])
    assert all(line.startswith("%") for line in text.partition("\\begin")[0].splitlines())
    assert "% 50 % & more" in text


def test_a_cell_with_one_run_of_a_training_is_undecided(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(PAPER.replace("value: 50.0", "value: 50.0, half_width: 0.1"))
    paper = load_paper(path)
    table, record = paper.tables["one"], Record.load(RESULTS / f"{PROTONET}.json")
    numbers, _ = paper_tables_of(paper, table, [judge_cell(table.cells[0], [record], {}, None, ["c"])])
    assert numbers.rows[0][-1] == "undecided"
    assert numbers.rows[0][4] == "50.0 (± 0.1)"  # no interval over 600 episodes of 75 queries is that short
    assert any("undecided at best" in note for note in numbers.notes)


def test_an_interval_over_runs_is_not_used():
    assert cell(half_width=0.4).published.half_width == 0.004
    assert cell(half_width=0.4, half_width_of="runs").published.half_width is None
    assert cell(half_width=0.01).published.half_width is None


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (
            "value: 50.0",
            "value: 500.0",
            9,
            "'tables.one.cells.0.value': Input should be less than or equal to 100, got 500.0",
        ),
        ("value: 50.0", "value: 0.5", 9, "value must be in per cent, got 0.5; write 50"),
        ("value: 50.0", "value: 50.12", 9, "value must have at most digits = 1 decimals, got 50.12; set digits"),
        ("delta: 1", "dleta: 1", 9, "a paper has no key 'tables.one.cells.0.dleta'; did you mean 'delta'?"),
        ("about: x", "abuot: x", 7, "a paper has no key 'tables.one.abuot'; did you mean 'about'?"),
        ("title: t", "title: [t", 2, "a paper must be YAML, got"),
        ("venue: v\n", "", 1, "'venue': Field required"),
        ("[a]", "[a, a]", 9, "records must be different runs, got ['a', 'a']; name each once"),
        ("delta: 1", "delta: 1, delta: 2", 9, "a key must occur once, got 'delta' again; remove one"),
        ("[a]", "[]", 9, "'tables.one.cells.0.records': List should have at least 1 item"),
    ],
)
def test_bad_files_are_named_with_their_line(tmp_path, old, new, line, message):
    path = tmp_path / "bad.yaml"
    path.write_text(PAPER.replace(old, new))
    with pytest.raises(DataError, match=re.escape(f"bad.yaml', line {line}: ") + ".*" + re.escape(message)):
        load_paper(path)
