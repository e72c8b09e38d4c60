import json
from pathlib import Path

import numpy as np
import pytest

from fewshot.errors import RecipeError, UnknownNameError
from fewshot.recipes.load import load_recipe, recipe_names
from fewshot.recipes.run import checkpoint_path, run_recipe
from fewshot.results.record import Record

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


def test_other_settings_have_another_checkpoint_and_other_records(recipe, tmp_path):
    first = run_recipe(str(recipe), tmp_path / "out")
    other = run_recipe(str(recipe), tmp_path / "out", {"training.seed": "1"})
    assert first[0].settings != other[0].settings
    assert len(list((tmp_path / "cache" / "checkpoints").iterdir())) == 2
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
