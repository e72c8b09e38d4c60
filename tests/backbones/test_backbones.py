"""Names of backbones: what comes back, and what is said of wrong ones."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

import fewshot
from fewshot import load_backbone
from fewshot.backbones import packaged
from fewshot.backbones.conv4 import Conv4
from fewshot.backbones.index import BACKBONES, FAMILIES
from fewshot.backbones.weights import save_weights, weights_hash
from fewshot.contract import Backbone, prepare
from fewshot.datasets.collection import Collection
from fewshot.errors import FewShotError, LeakageError, MissingDataError, UnknownNameError

UNTRAINED = {"conv4": (1, 28, 64), "resnet12": (3, 84, 512), "resnet12-wide": (3, 84, 640)}


@pytest.mark.parametrize(("name", "expected"), UNTRAINED.items())
def test_untrained_networks(name, expected):
    channels, size, dim = expected
    backbone = load_backbone(name)
    assert isinstance(backbone, Backbone)
    assert (backbone.name, backbone.dim, backbone.training) == (name, dim, False)
    assert all(p.requires_grad for p in backbone.parameters())
    pixels = torch.randint(0, 256, (2, channels, size, size), dtype=torch.uint8)
    assert backbone(prepare(backbone, pixels)).shape == (2, dim)


def test_seeds_name_the_weights_and_leave_the_global_generator_alone():
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, same, other = (weights_hash(load_backbone("conv4", seed=seed)) for seed in (3, 3, 4))
    assert first == same != other
    assert torch.rand(1) == expected


def test_options_reach_the_network():
    assert load_backbone("conv4", in_channels=3, size=84, width=32).dim == 800
    assert load_backbone("resnet12-wide", flatten=True).dim == 16_000


def test_raw_pixels():
    backbone = load_backbone("pixels")
    pixels = torch.tensor([[[0, 255], [51, 102]]], dtype=torch.uint8)
    torch.testing.assert_close(backbone(prepare(backbone, pixels)), torch.tensor([[0.0, 1.0, 0.2, 0.4]]))
    assert backbone.dim is None
    assert load_backbone("pixels", dim=784).dim == 784


def test_weights_of_a_file(tmp_path):
    trained = load_backbone("conv4", seed=5, width=8)
    path = save_weights(tmp_path / "a.safetensors", trained, {"classes_seen": ["digits:7"]})
    loaded = load_backbone("conv4", weights=path, width=8)
    assert loaded.fingerprint() == trained.fingerprint()
    assert loaded.classes_seen == ("digits:7",)


class TestPackagedWeights:
    def test_a_made_file(self, tmp_path, monkeypatch):
        made = load_backbone("conv4", seed=9)
        path = save_weights(
            tmp_path / "a.safetensors", made, {"classes_seen": ["omniglot:Greek/character01/rotated90"]}
        )
        asked = []
        monkeypatch.setattr(packaged, "packaged", lambda *parts: asked.append(parts) or path)
        backbone = load_backbone("conv4-omniglot")
        assert asked == [("data", "weights", "conv4-omniglot.safetensors")]
        assert (backbone.name, backbone.dim, backbone.training) == ("conv4-omniglot", 64, False)
        assert backbone.classes_seen == ("omniglot:Greek/character01/rotated90",)
        ink = (torch.rand(4, 1, 28, 28) > 0.8).float()
        assert backbone(ink).equal(made(ink))

    def test_an_installation_without_them(self, tmp_path, monkeypatch):
        monkeypatch.setattr(packaged, "packaged", lambda *parts: tmp_path.joinpath(*parts))
        with pytest.raises(MissingDataError, match=r"conv4-omniglot.safetensors' must be a file of weights, got none"):
            load_backbone("conv4-omniglot")

    def test_the_real_file_knows_new_characters(self, data_root):
        """5-way 1-shot on 39 of Vinyals' test characters: 0.98 (raw pixels: 0.35); it refuses its training characters."""
        data_root("omniglot")
        omniglot = fewshot.load_dataset("omniglot", rotations="none")
        learner = fewshot.Embedded(load_backbone("conv4-omniglot"), fewshot.NearestMean())
        test, train = (omniglot.split(name) for name in ("test", "train"))
        some = test.with_classes(test.class_names[::11])
        assert fewshot.evaluate(learner, some, fewshot.EpisodeSpec(5, 1, 5), 100).accuracy > 0.94
        assert set(train.qualified_names()) <= set(learner.backbone.classes_seen)
        with pytest.raises(LeakageError, match="test classes must be new to the learner"):
            fewshot.evaluate(learner, train, fewshot.EpisodeSpec(5, 1, 5), 100)


class TestFeatureCache:
    def test_features_are_those_of_the_weights(self, own_cache):
        rng = np.random.default_rng(0)
        x = rng.integers(0, 256, (12, 1, 28, 28), dtype=np.uint8)
        data = Collection.from_arrays(x, np.arange(12) % 3)
        first, other = load_backbone("conv4", seed=0), load_backbone("conv4", seed=1)
        features = data.embed(first).items
        assert len(list(own_cache.rglob("*.safetensors"))) == 1
        assert data.embed(load_backbone("conv4", seed=0)).items.equal(features)
        assert not data.embed(other).items.equal(features)
        assert len(list(own_cache.rglob("*.safetensors"))) == 2


class TestAnyObject:
    def test_modules_and_functions_come_back_as_they_are(self):
        module = nn.Linear(3, 2)
        assert load_backbone(module) is module
        assert module.training
        assert load_backbone(torch.flatten) is torch.flatten

    def test_what_cannot_be_called(self, no_shape_hook):
        with pytest.raises(FewShotError, match="must be a name, a module or a function, got int"):
            load_backbone(3)

    def test_options_belong_to_names(self):
        with pytest.raises(FewShotError, match="weights and options belong to a name, got a module or a function"):
            load_backbone(nn.Linear(3, 2), width=3)


class TestWrongNames:
    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("conv5", r"the backbone must be a known name, got 'conv5'; did you mean 'conv4'\?"),
            ("torchvison:resnet18", r"got 'torchvison'; did you mean 'torchvision'\?"),
            (
                "torchvision:resnt18",
                r"the torchvision model must be a known name, got 'resnt18'; did you mean 'resnet18'",
            ),
            ("torchvision:", "the torchvision model must be a known name, got ''"),
            ("timm", r"got 'timm'; known: conv4"),
        ],
    )
    def test_the_nearest_is_offered(self, name, message):
        with pytest.raises(UnknownNameError, match=message):
            load_backbone(name)

    def test_unknown_options(self):
        with pytest.raises(
            FewShotError, match=r"options of backbone 'conv4' must be among 'in_channels', .*got 'widht'"
        ):
            load_backbone("conv4", widht=32)
        with pytest.raises(
            FewShotError, match=r"options of backbone 'torchvision:resnet18' must be among .*got 'widht'"
        ):
            load_backbone("torchvision:resnet18", widht=32)


PLUG_IN = """
import torch
def mine(scale=1.0):
    return lambda x: x.flatten(1) * scale
def family(model, weights=None):
    return torch.nn.Linear(int(model), 2)
"""


def test_backbones_of_other_packages(tmp_path, monkeypatch):
    (tmp_path / "backbone_plug_in.py").write_text(PLUG_IN)
    metadata = tmp_path / "backbone_plug_in-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: backbone-plug-in\nVersion: 1.0\n")
    entries = "[fewshot.backbones]\nmine = backbone_plug_in:mine\nlinear = backbone_plug_in:family\n"
    (metadata / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(tmp_path)
    assert load_backbone("mine", scale=3.0)(torch.ones(2, 1, 2)).tolist() == [[3.0, 3.0]] * 2
    linear = load_backbone("linear:7")
    assert (linear.in_features, linear.name, linear.training) == (7, "linear:7", False)
    with pytest.raises(UnknownNameError, match=r"got 'mime'; did you mean 'mine'\?"):
        load_backbone("mime")
    sys.modules.pop("backbone_plug_in")


def test_the_index_is_sorted_and_every_entry_exists():
    from importlib import import_module

    for index in (BACKBONES, FAMILIES):
        assert list(index) == sorted(index)
        for target in index.values():
            module, attribute = target.split(":")
            assert callable(getattr(import_module(module), attribute))


def test_naming_a_network_imports_no_other_library():
    import subprocess

    code = "import sys, fewshot; fewshot.load_backbone('conv4'); print(sorted({'timm', 'sentence_transformers', 'torchvision'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_name():
    assert fewshot.load_backbone is load_backbone
    assert isinstance(load_backbone("conv4"), Conv4)
