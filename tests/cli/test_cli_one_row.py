"""``evaluate`` is a recipe of one row: its settings run as a recipe, and its options are keys of one."""

import numpy as np
import pytest
import yaml
from cli import as_json, call, refused

from fewshot import EpisodeSpec, NearestMean, evaluate, load_dataset
from fewshot.recipes.run import run_recipe

FEW = ("--learner", "nearest-mean", "--way", 3, "--query", 4, "--episodes", 30)


@pytest.fixture
def unequal(tmp_path, monkeypatch, own_cache):
    """Rows of six classes of 4, 6, 8, 10, 12 and 14 items."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), np.arange(4, 16, 2))
    x = (2 * rng.normal(size=(6, 5))[y] + rng.normal(size=(len(y), 5))).astype(np.float32)
    np.savez("rows.npz", x=x, y=np.array(list("abcdef"))[y])
    np.savez("other.npz", x=x + 0.1, y=np.array(list("abcdef"))[y])
    return "rows.npz"


def test_the_settings_of_a_record_are_a_recipe_that_makes_it_again(unequal, tmp_path):
    made = as_json("evaluate", "--data", unequal, *FEW, "--min-items", 6, "--out", "out")
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(made["settings"]))
    (again,) = run_recipe("./own.yaml", tmp_path / "again")
    assert again.correct == made["correct"] and again.episodes.manifest == made["episodes"]["manifest"]
    assert again.recipe == "one-row" and again.settings == made["settings"]


def test_small_classes_are_left_out_and_counted(unequal, tmp_path):
    made = as_json("evaluate", "--data", unequal, *FEW, "--min-items", 8, "--out", "out")
    assert made["data"]["classes"] == 4 and made["data"]["items"] == 8 + 10 + 12 + 14
    assert "left out: 2 of 6 classes with fewer than 8 items (a, b)" in made["notes"]
    assert as_json("verify", "out")[0]["outcome"] == "holds"
    kept = load_dataset(unequal).with_classes(list("cdef"))
    assert made["correct"] == evaluate(NearestMean(), kept, EpisodeSpec(3, 1, 4), 30).correct
    everything = as_json("evaluate", "--data", unequal, *FEW[:-4], "--query", 3, "--episodes", 30, "--out", "all")
    assert everything["data"]["classes"] == 6 and "min_items" not in everything["settings"]["evaluation"]


def test_small_classes_of_a_second_collection_are_left_out_of_both(unequal, tmp_path):
    few = load_dataset("other.npz")
    rows = np.flatnonzero(few.labels != 5)[:-8]
    np.savez("fewer.npz", x=few.items[rows], y=np.array(few.class_names)[few.labels[rows]])
    asked = ("evaluate", "--data", unequal, "--queries", "fewer.npz", *FEW)
    made = as_json(*asked, "--min-items", 6, "--out", "two")
    assert made["data"]["classes"] == 3 and "3 of 6 classes with fewer than 6 items (a, e, f)" in made["notes"][-1]
    assert as_json("verify", "two")[0]["outcome"] == "holds"


def test_nothing_is_left_where_all_classes_are_small(unequal):
    told = refused("evaluate", "--data", unequal, *FEW, "--min-items", 20)
    assert "must have 20 items or more, got none; lower min_items" in told
    assert "leave small classes out with --min-items" in refused("evaluate", "--data", unequal, *FEW)


def test_queries_may_be_shared_out_unequally(unequal):
    asked = ("evaluate", "--data", unequal, *FEW[:-4], "--query", 2, "--episodes", 30)
    made = as_json(*asked, "--query-distribution", "dirichlet:2", "--out", "unequal")
    assert made["episodes"]["query_distribution"] == "dirichlet(2)" and made["queries"] == 6
    own = evaluate(NearestMean(), load_dataset(unequal), EpisodeSpec(3, 1, 2, dirichlet=2.0), 30)
    assert made["correct"] == own.correct and as_json("verify", "unequal")[0]["outcome"] == "holds"
    equal = as_json(*asked, "--query-distribution", "balanced")
    assert equal["settings"] == as_json(*asked)["settings"]


@pytest.mark.parametrize("wrong", ["dirichlet", "dirichlet:many", "poisson:2", "dirichlet:-1"])
def test_a_distribution_is_named_in_full(unequal, wrong):
    assert "dirichlet" in refused("evaluate", "--data", unequal, *FEW, "--query-distribution", wrong)


def test_options_of_a_backbone_are_in_the_record_and_verify(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    asked = ("evaluate", "--data", "digits-strokes", "--backbone", "conv4", *FEW, "--backbone-option", "size=28")
    made = as_json(*asked, "--backbone-option", "width=4", "--out", "out")
    assert made["settings"]["backbone_options"] == {"size": 28, "width": 4}
    assert as_json("verify", "out")[0]["outcome"] == "holds"
    assert "nosuch" in refused(*asked, "--backbone-option", "nosuch=1")


def test_a_recipe_may_say_how_narrow_its_interval_shall_be(unequal, tmp_path):
    row = {"way": 3, "shot": 1}
    section = {"split": None, "query": 3, "open_interval": False, "half_width": 0.01, "rows": [row]}
    whole = {"name": "narrow", "data": unequal, "learner": "nearest-mean", "evaluation": section}
    (tmp_path / "narrow.yaml").write_text(yaml.safe_dump(whole))
    told = []
    (record,) = run_recipe("./narrow.yaml", tmp_path / "out", announce=told.append)
    assert any("a half width of 0.01 needs" in line for line in told)
    assert 0.008 < (record.summary.high - record.summary.low) / 2 < 0.012
    call("verify", tmp_path / "out" / "narrow-3w1s.json")


@pytest.mark.parametrize("key", ["half_width: 0.01", "min_items: 5"])
def test_a_list_of_episodes_is_not_cut(tmp_path, key):
    from fewshot.errors import RecipeError
    from fewshot.recipes.load import load_recipe

    path = tmp_path / "fixed.yaml"
    path.write_text(
        f"name: fixed\ndata: digits\nlearner: nearest-mean\nevaluation: {{episodes: fixed, {key}, rows: [{{way: 5}}]}}\n"
    )
    with pytest.raises(RecipeError, match="is for episodes that are drawn"):
        load_recipe(str(path))
