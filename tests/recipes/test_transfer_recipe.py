"""A recipe of transfer: from two folders of numbers to records, a table, and answers that verify."""

import numpy as np
import pytest
from cli import as_json, call, refused

from fewshot.errors import RecipeError, RecordError, UnknownNameError
from fewshot.recipes.load import load_recipe
from fewshot.recipes.run import run_recipe
from fewshot.recipes.transfer import name_of, verify_transfer
from fewshot.recipes.transfer_schema import TransferRecipe
from fewshot.records.record import Record

RECIPE = """
name: two-tables
about: Rows and the same rows, moved
reference: source-only
transfer:
  domains:
    a: {{data: {folder}/a.npz}}
    b: {{data: {folder}/b.npz}}
  tasks: [a>b, b>a]
learners:
  - {{learner: source-only}}
  - {{label: coral with less, learner: coral, learner_options: {{ridge: 0.5}}, options_by_task: {{"b>a": {{ridge: 2.0}}}}}}
"""


@pytest.fixture
def recipe_file(tmp_path):
    rng = np.random.default_rng(0)
    points = 2 * rng.normal(size=(3, 5))
    y = np.arange(90) % 3
    for name, move in (("a", 0.0), ("b", 1.5)):
        x = (points[y] + rng.normal(size=(90, 5)) + move).astype(np.float32)
        np.savez(tmp_path / f"{name}.npz", x=x, y=np.array(["red", "green", "blue"])[y])
    path = tmp_path / "two-tables.yaml"
    path.write_text(RECIPE.format(folder=tmp_path))
    return path


def test_from_a_file_to_records_and_back(recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file))
    records = run_recipe(recipe, tmp_path / "out")
    assert len(records) == 4 and len({record.episodes.manifest for record in records}) == 2
    assert [record.learner.options.get("ridge") for record in records] == [None, 0.5, None, 2.0]
    assert all(verify_transfer(record) == [] for record in records)
    assert name_of(recipe, "a>b", recipe.learners[1]) == "two-tables-a-b-coral-with-less"
    told = []
    run_recipe(recipe, tmp_path / "out", announce=told.append)
    assert told == [f"already done: records in '{tmp_path / 'out'}'"]


def test_a_record_that_is_changed_does_not_hold(recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file))
    record = run_recipe(recipe, tmp_path / "out")[0]
    wrong = record.model_copy(update={"correct": [1 - record.correct[0], *record.correct[1:]]})
    assert verify_transfer(wrong) == ["1 of 45 items of the target have another answer, the first is 0"]
    other = record.model_copy(update={"data": record.data.model_copy(update={"hash": "0" * 64})})
    with pytest.raises(RecordError, match="very items of the record"):
        verify_transfer(other)
    with pytest.raises(RecordError, match="without settings"):
        verify_transfer(record.model_copy(update={"settings": None}))


def test_by_command(recipe_file, tmp_path):
    out = tmp_path / "out"
    assert "Difference to source-only" in call("run", recipe_file, "--out", out).stdout
    assert (out / "table.md").read_text().count("coral with less") == 2
    files = sorted(map(str, out.glob("*.json")))
    assert {one["outcome"] for one in as_json("verify", *files)} == {"holds"}
    pair = [str(path) for path in sorted(out.glob("*a-b*.json"))]
    assert "sign flip" in call("compare", *pair, "--reference", "two-tables-a-b-source-only").stdout
    call("show", files[0])
    document = as_json("run", recipe_file, "--out", out)
    assert [one["episodes"]["spec"]["task"] for one in document] == ["transfer"] * 4


def test_other_settings_replace_nothing(recipe_file, tmp_path):
    out = tmp_path / "out"
    call("run", recipe_file, "--out", out)
    assert "--again" in refused("run", recipe_file, "--out", out, "--set", "transfer.seed=5")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a>b, b>a", "a>c", "SOURCE>TARGET with two of"),
        ("reference: source-only", "reference: nobody", "reference must be the label"),
        ('b>a": {ridge', 'a>a": {ridge', "options_by_task must name tasks"),
        ("label: coral with less", "label: source-only", "labels that differ"),
    ],
)
def test_what_a_recipe_must_say(recipe_file, old, new, message):
    text = recipe_file.read_text()
    assert old in text
    recipe_file.write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(recipe_file))


def test_one_learner_of_many(recipe_file, tmp_path):
    made = run_recipe(str(recipe_file), tmp_path / "out", only=["source-only"])
    assert [record.learner.name for record in made] == ["source-only"] * 2
    assert not (tmp_path / "out/table.md").exists()
    with pytest.raises(UnknownNameError, match="did you mean 'source-only'"):
        run_recipe(str(recipe_file), tmp_path / "out", only=["source only"])


def test_two_processes_make_the_same_records(recipe_file, tmp_path):
    told = []
    both = run_recipe(str(recipe_file), tmp_path / "both", jobs=2, announce=told.append)
    assert [r.correct for r in both] == [r.correct for r in run_recipe(str(recipe_file), tmp_path / "one")]
    assert told[0] == "4 learners by 2 processes" and told[-1].startswith("4 of 4 learners after")


def test_a_draw_for_each_source(recipe_file, tmp_path):
    recipe = load_recipe(str(recipe_file), {"transfer.per_class": "{a: 3, b: 4}", "transfer.draws": "5"})
    assert isinstance(recipe, TransferRecipe)
    records = run_recipe(recipe, tmp_path / "draws")
    assert [(record.episodes.shot, record.episodes.count) for record in records] == [(3, 5), (3, 5), (4, 5), (4, 5)]
    assert verify_transfer(Record.load(tmp_path / "draws" / f"{name_of(recipe, 'a>b', recipe.learners[0])}.json")) == []
