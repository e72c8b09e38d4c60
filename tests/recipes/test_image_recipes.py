"""Recipes of image benchmarks, each shortened to a step or two on made images: all load, train, judge and are read again."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from fewshot.backbones.index import load_backbone
from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.collection import Collection
from fewshot.datasets.named import cifar100, mini_imagenet
from fewshot.plumbing.files import packaged
from fewshot.recipes.build import checkpoint_path
from fewshot.recipes.load import load_recipe
from fewshot.recipes.run import run_recipe
from fewshot.recipes.trained import trained

EACH = 8  # images of a class: 5 shots and 2 queries
MINI = [
    "mini-imagenet-protonet",
    "mini-imagenet-protonet-resnet12",
    "mini-imagenet-maml",
    "mini-imagenet-matching",
    "mini-imagenet-baseline",
    "mini-imagenet-baseline-resnet12",
    "mini-imagenet-simpleshot",
    "mini-imagenet-simpleshot-resnet12",
]
OTHERS = ["cifar-fs-protonet", "fc100-protonet", "cub-protonet"]


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """Noise of 84 x 84 pixels in the form and with the classes of miniImageNet, another brightness for every class."""
    root = tmp_path_factory.mktemp("data")
    (root / "mini-imagenet").mkdir()
    rng = np.random.default_rng(0)
    for part, labels in load_class_split("mini-imagenet").parts.items():
        bright = np.arange(len(labels)).repeat(EACH) * (200 // len(labels))
        images = bright[:, None, None, None] + rng.integers(0, 56, (len(bright), 84, 84, 3))
        rows = {label: list(range(EACH * c, EACH * c + EACH)) for c, label in enumerate(labels)}
        content = {"image_data": images.astype(np.uint8), "class_dict": rows}
        (root / "mini-imagenet" / f"mini-imagenet-cache-{part}.pkl").write_bytes(pickle.dumps(content, 4))
    return root


@pytest.fixture
def mini_here(mini, monkeypatch, tmp_path_factory):
    monkeypatch.setattr(mini_imagenet, "IMAGES", EACH)
    monkeypatch.setenv("FEWSHOT_DATA", str(mini))
    monkeypatch.setenv("FEWSHOT_CACHE", str(mini / "cache"))  # pixels once for all recipes


def short(section):
    """A step or two of what a recipe trains."""
    if section is None:
        return None
    steps = (
        {"steps": 2, "batch_size": 4}
        if "steps" in section
        else {"way": 3, "shot": 1, "query": 2, "tasks": 1, "episodes": 2}
    )
    if "way" in section and section["way"] == 5:
        steps["way"] = 5  # MAML's head has as many classes as its option says
    return section | steps | {"validate_every": 1, "save_every": 1}


def shortened(name):
    """Overrides as of ``--set`` that leave everything but the budget and the width of the network."""
    whole = load_recipe(name).model_dump(mode="json", exclude_unset=True)
    changed = {key: short(whole[key]) for key in ("training", "pretraining") if key in whole}
    if "learners" in whole:
        changed["learners"] = [
            one | {key: short(one[key]) for key in ("training", "pretraining") if key in one}
            for one in whole["learners"]
        ]
    if "validation" in whole:
        changed["validation"] = whole["validation"] | {"query": 2, "episodes": 2}
    rows = [row | ({"query": 1} if "query" in row else {}) for row in whole["evaluation"]["rows"]]
    changed["evaluation"] = whole["evaluation"] | {"episodes": 2, "query": 2, "open_interval": False, "rows": rows}
    narrow = {"width": 8} if whole["backbone"] == "conv4" else {"widths": [8, 8, 16, 16]}
    changed |= {"backbone_options": whole["backbone_options"] | narrow}
    if whole["backbone"] == "resnet12-wide":
        changed["backbone"] = "resnet12"
    return {key: json.dumps(value) for key, value in changed.items()}


def check(name, records, rows):
    recipe = load_recipe(name)
    assert len(records) == rows
    assert {record.recipe for record in records} == {name}
    for record in records:
        assert record.training is not None and record.training.split.endswith("/train")
        assert record.training.budget.get("episodes", record.training.budget.get("steps")) == 2
        assert 0 <= record.accuracy <= 1 and len(record.correct) == 2
        assert record.pretraining_classes.overlap == 0
        assert (record.data.name, record.data.options, record.data.split) == (recipe.data, recipe.data_options, "test")
    assert [r.episodes.shot for r in records[: len(recipe.evaluation.rows)]] == [r.shot for r in recipe.evaluation.rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", MINI)
def test_recipes_of_mini_imagenet_train_and_judge(name, mini_here, tmp_path):
    recipe, told = load_recipe(name), []
    rows = len(recipe.evaluation.rows) * len(recipe.singles())
    records = run_recipe(name, tmp_path / "out", shortened(name), announce=told.append)
    check(name, records, rows)
    again = run_recipe(name, tmp_path / "out", shortened(name), announce=told.append)
    assert told[-1].startswith("already done") and [r.correct for r in again] == [r.correct for r in records]
    assert (records[0].data.classes, records[0].data.items) == (20, 20 * EACH)


def few(names, side, name):
    """A collection with these parts, for loaders of other data sets."""
    labels = sorted(sum(names.values(), ()))
    y = np.arange(len(labels)).repeat(EACH)
    x = np.random.default_rng(0).integers(0, 256, (len(y), 3, side, side), np.uint8)
    rows = {part: np.flatnonzero(np.isin(np.array(labels)[y], classes)) for part, classes in names.items()}
    return Collection(x, y, tuple(labels), name, splits=rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_recipes_train_and_judge(name, own_cache, tmp_path, monkeypatch):
    of = {"cifar-fs-protonet": ("cifar-fs", 32), "fc100-protonet": ("fc100", 32), "cub-protonet": ("cub-chen2019", 84)}
    split, side = of[name]
    data, asked = few(load_class_split(split).parts, side, split), []

    def load_cub(split="chen2019", resize="direct", boxes=False, size=84):
        asked.append((split, resize, boxes, size))
        return data

    monkeypatch.setattr("fewshot.datasets.named.cub.load_cub", load_cub)
    monkeypatch.setattr(cifar100, "_split", lambda wanted: asked.append(wanted) or data)
    recipe = load_recipe(name)
    records = run_recipe(name, tmp_path / "out", shortened(name))
    check(name, records, len(recipe.evaluation.rows) * len(recipe.singles()))
    assert set(asked) == {("chen2019", "crop", False, 84) if name == "cub-protonet" else split}


@pytest.mark.parametrize("name", MINI + OTHERS)
def test_networks_take_the_images_of_the_data(name):
    recipe = load_recipe(name)
    side = 32 if "32 x 32" in packaged("recipes", f"{name}.yaml").read_text("utf-8") else 84
    backbone = load_backbone(recipe.backbone, **recipe.backbone_options)
    images = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    with torch.no_grad():
        features = backbone(backbone.preprocess(images))
    dims = {"conv4": 256 if side == 32 else 800 if "maml" in name else 1600, "resnet12": 512, "resnet12-wide": 16000}
    assert features.shape == (2, backbone.dim) == (2, dims[recipe.backbone])


@pytest.mark.parametrize("name", MINI + OTHERS)
def test_headers_say_what_was_published_and_that_nothing_is_claimed(name):
    text = packaged("recipes", f"{name}.yaml").read_text("utf-8")
    header = " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))
    assert "Published" in header and "No result of this recipe is claimed here" in header
    assert not packaged("recipes").resolve().parent.joinpath("results", name).exists()


@pytest.mark.parametrize("name", [name for name in MINI if "baseline" in name or "simpleshot" in name])
def test_augmentation_is_part_of_what_names_a_run(name):
    one = load_recipe(name).singles()[0]
    plain = one.model_copy(update={"pretraining": one.pretraining.model_copy(update={"augment": None})})
    assert one.pretraining.augment == "crop-flip"
    assert checkpoint_path(one, "pretraining") != checkpoint_path(plain, "pretraining")


def test_runs_from_before_augmentation_keep_their_names():
    """The name that this recipe's checkpoint had when the schema knew no augmentation."""
    one = load_recipe("omniglot-baseline").singles()[0]
    assert checkpoint_path(one, "pretraining").name == "omniglot-baseline-pretraining-e98cdbfb5538.safetensors"


def test_the_page_runs_and_names_every_recipe(mini_here):
    text = (Path(__file__).parents[2] / "docs" / "image-benchmarks.md").read_text("utf-8")
    names = {"__name__": "page"}
    found = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for block in found:
        exec(compile(block, "image-benchmarks.md", "exec"), names)
    assert len(names["train"].class_names) == 64 and names["collection"].name == "digits-strokes" and len(found) == 2
    assert all(f"`{name}`" in text for name in MINI + OTHERS)


def test_images_are_augmented_in_pre_training(mini_here, own_cache):
    weights = {}
    for augment in ('"crop-flip"', "null"):
        changed = shortened("mini-imagenet-simpleshot")
        assert '"augment": "crop-flip"' in changed["learners"]
        changed["learners"] = changed["learners"].replace('"crop-flip"', augment)
        learner, _ = trained(
            load_recipe("mini-imagenet-simpleshot", changed).singles()[0], lambda progress: None, lambda text: None
        )
        weights[augment] = next(iter(learner.backbone.parameters())).detach().clone()
    assert not torch.equal(*weights.values())
