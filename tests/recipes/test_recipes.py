import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from cli import refused

from fewshot.datasets.index import load_dataset
from fewshot.episodes import EpisodeSpec
from fewshot.errors import RecipeError, UnknownNameError
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.gradient.fine_tune import FineTune
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.recipes.build import checkpoint_path, with_options
from fewshot.recipes.load import load_recipe, recipe_names
from fewshot.recipes.rebuild import rebuild_learner
from fewshot.recipes.run import run_recipe
from fewshot.recipes.trained import trained
from fewshot.records.record import Record

TEXT = """\
name: small
data: DATA
learner: protonet
backbone: conv4
backbone_options: {width: 8}
training:
  way: 3
  shot: 1
  query: 2
  episodes: 6
  validate_every: 3
  save_every: 2
validation: {way: 2, query: 3, episodes: 10}
evaluation:
  episodes: 20
  query: 3
  rows:
    - {way: 2, shot: 1}
    - {way: 3, shot: 2}
"""


@pytest.fixture
def recipe(tmp_path, own_cache):
    """A recipe over folders of images that split into train, val and test."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, classes in (("train", 5), ("val", 4), ("test", 4)):
        for k in range(classes):
            folder = tmp_path / "data" / split / f"{split}-{k}"
            folder.mkdir(parents=True)
            look = rng.integers(0, 256, (4, 4, 3))
            for i in range(6):
                pixels = (look + rng.integers(0, 60, (4, 4, 3))).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).resize((32, 32)).save(folder / f"{i}.png")
    text = TEXT.replace("DATA", str(tmp_path / "data")).replace("{width: 8}", "{width: 8, in_channels: 3, size: 84}")
    path = tmp_path / "small.yaml"
    path.write_text(text)
    return path


def broken(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    return str(path)


def test_packaged_recipes_are_valid_and_named_as_their_files():
    names = recipe_names()
    assert {"omniglot-protonet", "omniglot-protonet-quick", "omniglot-hausdorff"} <= set(names)
    assert all(load_recipe(name).name == name and about for name, about in names.items())


def test_quick_recipe_stays_within_its_budget():
    assert load_recipe("omniglot-protonet-quick").training.episodes <= 2000
    assert load_recipe("omniglot-protonet").training.episodes >= 10_000


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("name: small", "nam: small", 1, "has no key 'nam'; did you mean 'name'"),
        ("  shot: 1\n", "  shots: 1\n", 8, "has no key 'training.shots'; did you mean 'shot'"),
        (
            "name: small",
            "name: ../small",
            1,
            r"'name': a name must be a part of a file name, .* got '\.\./small'; rename it",
        ),
        ("name: small", "name: ''", 1, "'name': a name must be a part of a file name, .* got ''; rename it"),
        ("name: small", r"name: 'a\b'", 1, "'name': a name must be a part of a file name"),
        ("name: small", "name: " + "ä" * 61, 1, "'name': a name must have at most 120 bytes, got 122; shorten it"),
        ("name: small", "name: small\nrun: ../other", 2, "'run': a name must be a part of a file name"),
        ("name: small", "name: small\nlabel: /tmp/x", 2, "'label': a name must be a part of a file name"),
        ("  way: 3", "  way: 1", 7, "'training.way'.*got 1"),
        ("- {way: 3, shot: 2}", "- {way: 3, schot: 2}", 19, "no key 'evaluation.rows.1.schot'; did you mean 'shot'"),
        ("{way: 2, query: 3, episodes: 10}", "{split: test}", 13, "'validation.split'"),
        ("episodes: 6", "episodes: [6", 11, "a recipe must be YAML"),
        ("  episodes: 6", "  episodes: 7\n  tasks: 2", 6, "multiple of tasks, got 7 and 2"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path, old, new, line, message):
    assert old in TEXT
    with pytest.raises(RecipeError, match=rf"broken\.yaml', line {line}: .*{message}"):
        load_recipe(broken(tmp_path, TEXT.replace(old, new, 1)))


def test_files_that_are_no_recipes(tmp_path):
    with pytest.raises(RecipeError, match="must be a mapping of keys, got list"):
        load_recipe(broken(tmp_path, "- a\n"))
    with pytest.raises(RecipeError, match="got nothing there"):
        load_recipe("./absent.yaml")
    with pytest.raises(UnknownNameError, match="did you mean 'omniglot-protonet'"):
        load_recipe("omniglot-protonett")


def test_overrides(tmp_path):
    path = broken(tmp_path, TEXT)
    assert load_recipe(path, {"training.episodes": "9"}).training.episodes == 9
    with pytest.raises(RecipeError, match=r"no key 'training\.episode'"):
        load_recipe(path, {"training.episode": "9"})
    with pytest.raises(RecipeError, match="'name' holds no keys"):
        load_recipe(path, {"name.first": "9"})
    with pytest.raises(RecipeError, match="a value in YAML"):
        load_recipe(path, {"training.episodes": "[9"})


def test_run_trains_evaluates_and_is_read_again(recipe, tmp_path):
    out, told = tmp_path / "out", []
    records = run_recipe(str(recipe), out, announce=told.append)
    assert [r.episodes.way for r in records] == [2, 3]
    assert records[0].training.split == "data/train"
    assert records[0].selection.startswith("best of 2 validations: 2-way 1-shot on split 'val'")
    assert records[0].pretraining_classes.count == 5 and records[0].pretraining_classes.overlap == 0
    assert Record.load(out / "small-2w1s.json").as_json() == records[0].as_json()
    again = run_recipe(str(recipe), out, announce=told.append)
    assert told[-1].startswith("already done") and [r.correct for r in again] == [r.correct for r in records]


def test_a_network_for_grey_images_is_told_of_colour_before_anything_runs(recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("in_channels: 3", "in_channels: 1"))
    told = refused("run", recipe, "--out", tmp_path / "out")
    assert re.search(
        r"the backbone 'conv4' must take items \(3, 84, 84\) of '.*', got an error: .*; set its backbone_opt", told
    )
    assert not list(tmp_path.glob("out/*.json"))


def test_a_name_that_leads_elsewhere_is_refused_before_anything_is_written(recipe, tmp_path):
    recipe.write_text(recipe.read_text().replace("name: small", "name: ../../elsewhere"))
    told = refused("run", recipe, "--out", tmp_path / "out" / "deep")
    assert (
        "'name': a name must be a part of a file name, without / or a dot at its start, got '../../elsewhere'" in told
    )
    assert not list(tmp_path.rglob("*elsewhere*"))


def test_other_settings_have_another_checkpoint_and_other_records(recipe, tmp_path):
    first = run_recipe(str(recipe), tmp_path / "out")
    other = run_recipe(str(recipe), tmp_path / "other", {"training.seed": "1"})
    assert first[0].settings != other[0].settings
    assert len(list((tmp_path / "cache" / "checkpoints").glob("*.safetensors"))) == 2
    assert checkpoint_path(load_recipe(str(recipe))) != checkpoint_path(
        load_recipe(str(recipe), {"training.seed": "1"})
    )


def test_stopped_run_goes_on_to_the_same_records(recipe, tmp_path, monkeypatch):
    whole = run_recipe(str(recipe), tmp_path / "whole")

    def stop(progress):
        if progress.state.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setenv("FEWSHOT_CACHE", str(tmp_path / "other-cache"))
    with pytest.raises(KeyboardInterrupt):
        run_recipe(str(recipe), tmp_path / "stopped", report=stop)
    assert not (tmp_path / "stopped").exists()
    stopped = run_recipe(str(recipe), tmp_path / "stopped")
    for a, b in zip(whole, stopped, strict=True):
        assert a.correct == b.correct
        assert a.backbone.fingerprint == b.backbone.fingerprint
    assert json.loads(Path(tmp_path / "stopped" / "small-3w2s.json").read_text())["recipe"] == "small"


def test_other_data_are_asked_than_those_of_the_training(recipe, tmp_path):
    other = tmp_path / "data" / "val"
    text = recipe.read_text().replace("evaluation:", f"evaluation:\n  data: {other}\n  split: null")
    recipe.write_text(text.replace("way: 3, shot: 2", "way: 4, shot: 2"))
    records = run_recipe(str(recipe), tmp_path / "out")
    assert [(r.data.name, r.data.split, r.data.classes) for r in records] == [(str(other), None, 4)] * 2
    assert records[0].training.split.endswith("/train")
    assert (tmp_path / "out" / "training.csv").read_text().count("\n") == 7  # a head, and six episodes


MANY = """\
name: many
data: DATA
backbone: pixels
base: train
reference: nearest-mean
learners:
  - {learner: nearest-mean}
  - {label: cosine, learner: nearest-mean, learner_options: {metric: cosine}}
  - {learner: simpleshot}
evaluation:
  episodes: 20
  query: 3
  rows:
    - {way: 2, shot: 1}
    - {way: 2, shot: 1, query: 2, dirichlet: 2.0}
"""


@pytest.fixture
def many(recipe, tmp_path):
    path = tmp_path / "many.yaml"
    path.write_text(MANY.replace("DATA", str(tmp_path / "data")))
    return str(path)


def test_many_learners_answer_the_same_episodes(many, tmp_path):
    records = run_recipe(many, tmp_path / "out")
    assert [r.learner.name for r in records] == ["nearest-mean"] * 4 + ["simpleshot"] * 2
    assert [r.settings["label"] for r in records[::2]] == ["nearest-mean", "cosine", "simpleshot"]
    assert len({r.episodes.manifest for r in records}) == 2 and len({r.data.hash for r in records}) == 1
    assert [r.episodes.query_distribution for r in records[:2]] == ["balanced", records[1].episodes.query_distribution]
    assert (tmp_path / "out" / "many-cosine-2w1s-dirichlet-2.0.json").exists()


def test_two_processes_make_the_same_records(many, tmp_path):
    one = run_recipe(many, tmp_path / "one")
    told = []
    two = run_recipe(many, tmp_path / "two", jobs=2, announce=told.append)
    assert [r.correct for r in one] == [r.correct for r in two]
    assert told[0] == "3 learners by 2 processes" and told[-1].startswith("3 of 3 learners after")


def test_only_some_learners_are_run_and_a_mistyped_one_gets_the_nearest(many, tmp_path):
    records = run_recipe(many, tmp_path / "out", only=["cosine"])
    assert [r.settings["label"] for r in records] == ["cosine"] * 2
    assert len(list((tmp_path / "out").glob("*.json"))) == 2
    with pytest.raises(
        UnknownNameError, match="learner of the recipe must be a known name, got 'cosin'; did you mean 'cosine'"
    ):
        run_recipe(many, tmp_path / "out", only=["cosin"])


def test_what_is_done_is_not_done_again(many, tmp_path):
    out, told = tmp_path / "out", []
    first = run_recipe(many, out)
    (out / "many-simpleshot-2w1s.json").unlink()
    again = run_recipe(many, out, announce=told.append)
    assert told == ["evaluating many-simpleshot-2w1s"]
    assert [r.correct for r in first] == [r.correct for r in again]


def test_a_record_of_many_gives_its_own_learner_back(many, tmp_path):
    records = run_recipe(many, tmp_path / "out")
    learner = rebuild_learner(Record.load(tmp_path / "out" / "many-cosine-2w1s.json"))
    assert learner.head == NearestMean("cosine")
    assert type(rebuild_learner(records[-1]).head).__name__ == "SimpleShot"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("learners:", "learner: nearest-mean\nlearners:", "either 'learner' or 'learners'"),
        ("reference: nearest-mean", "reference: nearest", "the label of one of the learners, got 'nearest'"),
        ("{learner: simpleshot}", "{learner: simpleshot, choose: {a: [1]}}", "on validation classes, got no 'valid"),
    ],
)
def test_recipes_of_many_that_make_no_sense(tmp_path, old, new, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(broken(tmp_path, MANY.replace(old, new)))


def test_options_are_chosen_on_validation_classes(recipe, tmp_path):
    path = tmp_path / "chosen.yaml"
    choose = "{learner: nearest-mean, label: chosen, choose: {metric: [cosine, squared-euclidean]}}"
    text = MANY.replace("DATA", str(tmp_path / "data")).replace("{learner: simpleshot}", choose)
    path.write_text(
        text.replace("evaluation:", "validation: {split: val, way: 2, query: 3, episodes: 10}\nevaluation:")
    )
    *_, record, _ = run_recipe(str(path), tmp_path / "out")
    assert "best of 2 on split 'val'" in record.selection or "best of 2 on" in record.selection
    assert record.learner.options["metric"] in record.selection
    assert rebuild_learner(record).head.metric == record.learner.options["metric"]


PRETRAINED = """\
pretraining: {steps: 4, batch_size: 10, validate_every: 2, save_every: 2}
"""


def pretrained(recipe, text):
    """The small recipe with a backbone that is pre-trained, and then trained on episodes or not."""
    head, rest = recipe.read_text().split("training:\n", 1)
    episodic, rest = rest.split("validation:", 1)
    path = recipe.with_name("pretrained.yaml")
    path.write_text(
        head + PRETRAINED + ("training:\n" + episodic if text == "and trained" else "") + "validation:" + rest
    )
    return str(path)


def test_a_backbone_is_pre_trained_and_the_records_tell_of_it(recipe, tmp_path):
    path, told = pretrained(recipe, "only"), []
    first = run_recipe(path, tmp_path / "out", announce=told.append)
    assert told[0].startswith("pretraining on data/train: 5 classes")
    assert first[0].training.budget["steps"] == 4 and first[0].training.split == "data/train"
    assert first[0].selection.startswith("best of 2 validations")
    assert first[0].pretraining_classes.count == 5
    learner = rebuild_learner(first[0])
    novel = load_dataset(load_recipe(path).data).split("test")
    spec = EpisodeSpec(2, 1, 3)
    assert evaluate(learner, novel, spec, 20).correct == first[0].correct
    untrained = run_recipe(path, tmp_path / "out2", {"pretraining.learning_rate": "1.0e-12"})
    assert untrained[0].settings != first[0].settings
    again = run_recipe(path, tmp_path / "out3", announce=told.append)  # from its checkpoint
    assert any(line.startswith("resuming") for line in told) and again[0].correct == first[0].correct


def test_terms_of_a_loss_by_name(recipe, tmp_path):
    path = pretrained(recipe, "only")
    plain = load_recipe(path)
    assert "terms" not in plain.model_dump()["pretraining"]  # settings of records from before there were terms
    short = run_recipe(path, tmp_path / "out", {"pretraining.rotation": "0.5"})
    listed = run_recipe(path, tmp_path / "out2", {"pretraining.terms": "[cross-entropy, {rotation: 0.5}]"})
    assert short[0].correct == listed[0].correct
    assert listed[0].training.budget["terms"] == ["cross-entropy", {"rotation": 0.5}]
    assert "terms" not in short[0].training.budget and short[0].training.budget["rotation"] == 0.5
    weights = [rebuild_learner(record).state_dict() for record in (short[0], listed[0])]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    first = load_recipe(path, {"pretraining.terms": "[{cross-entropy: 1}]"})
    assert checkpoint_path(first, "pretraining") != checkpoint_path(plain, "pretraining")
    with pytest.raises(RecipeError, match="the term must be a known name, got 'rotatio'; did you mean 'rotation'"):
        load_recipe(path, {"pretraining.terms": "[rotatio]"})
    with pytest.raises(RecipeError, match="got both 'rotation' and 'terms'"):
        load_recipe(path, {"pretraining.terms": "[cross-entropy]", "pretraining.rotation": "0.5"})


def test_pre_training_comes_before_episodes(recipe, tmp_path):
    both = run_recipe(pretrained(recipe, "and trained"), tmp_path / "out")
    assert both[0].training.budget["pretraining"]["steps"] == 4 and both[0].training.budget["episodes"] == 6
    files = sorted(p.name for p in (tmp_path / "cache" / "checkpoints").glob("*.safetensors"))
    assert len(files) == 2 and any("pretraining" in name for name in files)


def test_other_options_of_a_trained_learner_keep_its_weights(recipe, tmp_path):
    loaded = load_recipe(str(recipe))
    learner, _ = trained(loaded, lambda progress: None, lambda text: None)
    other = with_options(loaded, {"metric": "cosine"}, learner)
    assert other.head.metric == "cosine" and other.classes_seen == tuple(learner.classes_seen)
    for name, value in learner.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)


def test_learners_share_a_run_and_differ_in_what_holds_after_it(recipe, tmp_path):
    text = recipe.read_text().replace("learner: protonet\n", "run: shared\nreference: plain\n")
    episodic = text[text.index("training:") : text.index("validation:")]
    inline = "{way: 3, shot: 1, query: 2, episodes: 6, validate_every: 3, save_every: 2}"
    learners = (
        f"learners:\n  - {{label: plain, learner: protonet, training: {inline}}}\n"
        f"  - {{label: warm, learner: protonet, test_options: {{temperature: 5.0}}, training: {inline}}}\n"
    )
    path, told = recipe.with_name("shared.yaml"), []
    path.write_text(text.replace(episodic, learners))
    records = run_recipe(str(path), tmp_path / "out", announce=told.append)
    assert [line.split()[0] for line in told if "checkpoint" in line] == ["training", "resuming"]
    assert [r.learner.options for r in records[::2]] == [{}, {"temperature": 5.0}]
    assert records[0].correct == records[2].correct  # the temperature changes no answer
    assert records[0].training == records[2].training


def test_another_learner_is_judged_with_the_trained_backbone(recipe, tmp_path):
    text = recipe.read_text().replace(
        "validation:", "test_learner: fine-tune\ntest_options: {steps: 0, head: zero}\nvalidation:"
    )
    recipe.write_text(text)
    record = run_recipe(str(recipe), tmp_path / "out")[0]
    assert (record.learner.name, record.learner.options) == ("fine-tune", {"steps": 0, "head": "zero"})
    learner = rebuild_learner(record)
    trained_before = trained(load_recipe(str(recipe)), lambda progress: None, lambda text: None)[0]
    assert isinstance(learner, FineTune) and learner.classes_seen == tuple(trained_before.classes_seen)
    for name, value in trained_before.backbone.state_dict().items():
        assert torch.equal(learner.backbone.state_dict()[name], value)


def test_options_of_a_judged_learner_are_chosen_with_the_trained_backbone(recipe, tmp_path):
    text = recipe.read_text().replace(
        "validation:",
        "test_learner: fine-tune\ntest_options: {head: prototypes}\nchoose: {steps: [0, 10]}\nvalidation:",
    )
    recipe.write_text(text)
    record = run_recipe(str(recipe), tmp_path / "out")[0]
    loaded = load_recipe(str(recipe))
    learner, _ = trained(loaded, lambda progress: None, lambda text: None)
    data = load_dataset(loaded.data, **loaded.data_options).split("val")
    spec = loaded.evaluation.spec(loaded.evaluation.rows[0])
    found = {}
    for steps in (0, 10):
        judged = FineTune(learner.backbone, head="prototypes", steps=steps)
        judged.classes_seen = learner.classes_seen
        found[steps] = evaluate(judged, data, spec, loaded.validation.episodes).accuracy
    assert record.learner.options["steps"] == max(found, key=lambda steps: (found[steps], -steps))
    weights, _, options = record.selection.partition("; ")
    assert "validations" in weights and f"{100 * max(found.values()):.2f} %" in options
