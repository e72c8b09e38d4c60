"""Recipes of texts: draws of a training set, where examples overtake names, names alone; records that verify."""

import json

import pytest
from cli import as_json, call, refused

from fewshot.errors import RecipeError
from fewshot.figures.shots import crossings, curves
from fewshot.recipes.load import load_recipe
from fewshot.recipes.run import run_recipe
from fewshot.recipes.zero_shot import verify_zero_shot
from fewshot.records.record import Record

ROWS = {
    "card": ["I lost my card", "my card was stolen", "where is my bank card", "the card is gone", "block my card now"],
    "money": [
        "show my balance",
        "how much money do I have",
        "what is on my account",
        "my account balance",
        "money left",
    ],
    "bug": [
        "the app crashes",
        "an error on the start page",
        "it shows an error",
        "the app closes",
        "login fails again",
    ],
}
FEW = """
name: few
data: DATA/questions.csv
data_options: {descriptors: DATA/intents.csv}
backbone: sentence-transformers:all-MiniLM-L6-v2
freeze_backbone: true
prompts: ["{}", "a question about {}"]
reference: names
overtakes: names
learners:
  - {label: names, learner: nearest-descriptor}
  - {learner: nearest-mean, learner_options: {metric: cosine, temperature: 0.1}}
  - {label: mix, learner: descriptor-mix}
evaluation:
  split: train
  ask: test
  episodes: 4
  open_interval: false
  rows:
    - {way: 3, shot: 1}
    - {way: 3, shot: 2}
"""
NONE = """
name: none
data: DATA/questions.csv
data_options: {descriptors: DATA/intents.csv}
backbone: sentence-transformers:all-MiniLM-L6-v2
learners:
  - {label: names, learner: nearest-descriptor}
  - {label: prompts, learner: nearest-descriptor, prompts: ["a question about {}"]}
zero_shot:
  rows:
    - {label: every intent, open: other}
"""


@pytest.fixture
def folder(tmp_path, own_cache):
    lines = ["label,split,text"]
    for label, texts in ROWS.items():
        lines += [f"{label},{'test' if k > 2 else 'train'},{text}" for k, text in enumerate(texts)]
    lines += ["none,other,what a lovely day", "none,other,I like to swim"]
    (tmp_path / "questions.csv").write_text("\n".join(lines))
    described = {"card": "a bank card", "money": "an account balance", "bug": "an error of the app", "none": "else"}
    (tmp_path / "intents.csv").write_text("label,text\n" + "\n".join(f"{k},{v}" for k, v in described.items()))
    for name, recipe in (("few", FEW), ("none", NONE)):
        (tmp_path / f"{name}.yaml").write_text(recipe.replace("DATA", str(tmp_path)))
    return tmp_path


def test_draws_become_records_a_table_and_a_figure(folder):
    out = folder / "out"
    call("run", str(folder / "few.yaml"), "--out", str(out))
    records = [Record.load(path) for path in sorted(out.glob("*.json"))]
    assert len(records) == 6 and all(r.queries == 6 and len(r.correct) == 4 for r in records)
    assert {r.episodes.manifest for r in records if r.episodes.shot == 1} == {records[0].episodes.manifest}
    assert {r.summary.estimand for r in records} == {"new draws of the examples, these test items"}
    by_label = curves(records)
    assert list(by_label["names"]) == [1, 2]
    assert set(crossings(records, "names")) == {"nearest-mean", "mix"}
    table = (out / "table.md").read_text()
    assert "mix overtakes names at" in table and "examples of each class" in table
    assert (out / "figure.png").stat().st_size > 5000
    verdicts = as_json("verify", out)
    assert [v["outcome"] for v in verdicts] == ["holds"] * 6


def test_a_row_must_have_the_way_of_the_data(folder):
    with pytest.raises(RecipeError, match="way must be the 3 classes of 'train' where a split is queried, got 2"):
        run_recipe(str(folder / "few.yaml"), folder / "out", {"evaluation.rows": "[{way: 2, shot: 1}]"})
    with pytest.raises(RecipeError, match="overtakes must be the label of one of the learners, got 'words'"):
        load_recipe(str(folder / "few.yaml"), {"overtakes": "words"})


def test_names_alone_and_what_is_none_of_them(folder):
    records = run_recipe(load_recipe(str(folder / "none.yaml")), folder / "out")
    assert [r.unseen.classes for r in records] == [["bug", "card", "money"]] * 2
    assert all(r.accuracy > 0.6 and r.open_set[0].auroc.mean > 0.6 for r in records)
    assert records[0].backbone.name == "sentence-transformers:all-MiniLM-L6-v2"
    assert verify_zero_shot(records[0]) == []
    path = folder / "out" / "none-every-intent-names.json"
    assert as_json("verify", path)[0]["outcome"] == "holds"
    shown = call("show", str(path)).stdout
    assert "AUROC" in shown and "largest score" in shown


def test_zero_shot_records_are_compared_item_by_item(folder):
    run_recipe(load_recipe(str(folder / "none.yaml")), folder / "out")
    found = as_json("compare", folder / "out", "--reference", "names")
    assert [(c["setting"], c["learner"]) for c in found["comparisons"]] == [("every intent", "prompts")]
    one = found["comparisons"][0]["zero-shot"]
    assert one["low"] <= one["estimate"] <= one["high"] and "harmonic" not in found["comparisons"][0]
    assert "zero-shot difference %" in call("compare", folder / "out").stdout
    assert "'name'" in refused("compare", folder / "out", "--reference", "name")


def test_a_changed_count_does_not_verify(folder):
    run_recipe(load_recipe(str(folder / "none.yaml")), folder / "out")
    path = folder / "out" / "none-every-intent-names.json"
    content = json.loads(path.read_text())
    content["unseen"]["correct"][0] -= 1
    path.write_text(json.dumps(content))
    assert "answers must add up to the counts of each class" in call("verify", str(path), code=2).stdout
