"""Every gradient learner on networks with a preprocessing of their own, from pixels; all weights are random."""

import json
import logging

import numpy as np
import pytest
import torch
import yaml
from cli import as_json, call

from fewshot import Collection, EpisodeSpec, evaluate, load_backbone, load_learner
from fewshot.errors import FewShotError
from fewshot.learners.index import LEARNERS
from fewshot.recipes.run import run_recipe
from fewshot.training.episodic import EpisodicTraining, train

GRADIENT = sorted(name for name, entry in LEARNERS.items() if entry.family == "gradient")
OPTIONS = {
    "fine-tune": {"steps": 1},
    "proto-maml": {"steps": 1},
    "maml-pp": {"steps": 1},
    "reptile": {"steps": 1, "test_steps": 1},
}
SMALL = "torchvision:mobilenet_v3_small"
CLIP = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}


def pictures():
    """Bytes, of another size than any of the networks reads."""
    rng = np.random.default_rng(0)
    y = np.arange(3).repeat(4)
    x = rng.uniform(40, 210, (3, 3, 1, 1))[y] + rng.normal(0, 8, (12, 3, 16, 20))
    return x.clip(0, 255).astype(np.uint8), y


def options_of(name, way=2):
    learner = {**OPTIONS.get(name, {})}
    return learner if name in ("fine-tune", "proto-maml") else {"way": way, **learner}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Files of weights by the name of the network."""
    import open_clip
    import timm
    import torchvision

    folder = tmp_path_factory.mktemp("weights")
    (folder / "least-clip.json").write_text(json.dumps(CLIP))
    open_clip.add_model_config(folder)
    logging.disable(logging.WARNING)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = {
            SMALL: torchvision.models.mobilenet_v3_small(weights=None),
            "timm:test_resnet": timm.create_model("test_resnet", pretrained=False, num_classes=0),
            "open-clip:least-clip": open_clip.create_model("least-clip"),
        }
    logging.disable(logging.NOTSET)
    for name, network in made.items():
        torch.save(network.state_dict(), folder / f"{name.partition(':')[2]}.pth")
    return {name: folder / f"{name.partition(':')[2]}.pth" for name in made}


@pytest.mark.parametrize("network", [SMALL, "timm:test_resnet", "open-clip:least-clip"])
@pytest.mark.parametrize("name", GRADIENT)
def test_in_python(name, network, weights):
    backbone = load_backbone(network, weights=weights[network])
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    learner = load_learner(name, backbone=backbone, **options_of(name))
    record = evaluate(learner, Collection.from_arrays(*pictures()), EpisodeSpec(2, 1, 1), 2, cache=False)
    assert record.data.items == 12 and record.queries == 2
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_by_command(weights, tmp_path, own_cache, monkeypatch):
    """The file of weights lies where torch's hub would have put it."""
    import torchvision

    url = torchvision.models.get_model_weights("mobilenet_v3_small").DEFAULT.url
    target = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    target.parent.mkdir(parents=True)
    target.write_bytes(weights[SMALL].read_bytes())
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    np.savez("pictures.npz", **dict(zip("xy", pictures(), strict=True)))
    for name in ("fine-tune", "maml"):
        flags = [f"{key}={value}" for key, value in options_of(name).items()]
        record = as_json("evaluate", "--data", "pictures.npz", "--learner", name, "--backbone", SMALL, "--way", 2, "--query", 1,
                         "--episodes", 2, *(word for flag in flags for word in ("--option", flag)))  # fmt: skip
        assert record["learner"]["name"] == name and len(record["correct"]) == 2
    call("verify", *tmp_path.glob("fewshot-results/*/*.json"))


@pytest.mark.parametrize("network", [SMALL, "timm:test_resnet", "open-clip:least-clip"])
def test_by_recipe_with_training(network, weights, tmp_path, own_cache, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x, y = pictures()
    splits = np.repeat(["train", "test"], len(y))
    np.savez("both.npz", x=np.concatenate([x, 255 - x]), y=np.concatenate([y, y + 3]), split=splits)
    training = {"way": 2, "shot": 1, "query": 1, "episodes": 2, "learning_rate": 0.001}
    recipe = {
        "name": "own", "data": "both.npz", "backbone": network, "backbone_options": {"weights": str(weights[network])},
        "learners": [
            {"learner": "maml", "learner_options": {"way": 2, "lr": 0.01, "first_order": network == SMALL}, "training": training},
            {"learner": "reptile", "learner_options": options_of("reptile"), "training": training},
            {"learner": "fine-tune", "learner_options": {"steps": 1}},
        ],
        "evaluation": {"episodes": 2, "query": 1, "rows": [{"way": 2, "shot": 1}]},
    }  # fmt: skip
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(recipe))
    records = run_recipe("./own.yaml")
    assert [record.learner.name for record in records] == ["maml", "reptile", "fine-tune"]
    assert [record.training is None for record in records] == [False, False, True]


def test_a_layer_without_a_second_derivative_is_named(weights):
    learner = load_learner("maml", backbone=load_backbone(SMALL, weights=weights[SMALL]), way=2)
    with pytest.raises(
        FewShotError, match=r"second derivatives, got \S*hardsigmoid\S* without one; train with first_order=True"
    ):
        train(learner, Collection.from_arrays(*pictures()), EpisodicTraining(EpisodeSpec(2, 1, 1), steps=1))
