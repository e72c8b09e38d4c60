"""What the weights of named backbones were trained on."""

import pytest
import torch
from hub_cache import hub_cache  # noqa: F401  a fixture
from safetensors.torch import save_file

from fewshot import load_backbone
from fewshot.backbones.pretraining import DATA, trained_on
from fewshot.backbones.weights import save_weights


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("in1k", "ImageNet-1k"),
        ("mae_in1k_ft_in1k", "ImageNet-1k"),  # each once
        ("clip_laion2b_augreg_ft_in12k_in1k_384", "LAION-2B, ImageNet-12k, ImageNet-1k"),
        ("augreg_in21k", "ImageNet-22k"),
        ("lvd142m", "LVD-142M"),
        ("dinov3_lvd1689m", "LVD-1689M"),
        ("v2_webli", "WebLI"),
        ("openai", "WebImageText"),
        ("IMAGENET1K_V1", "ImageNet-1k"),
        ("IMAGENET1K_SWAG_E2E_V1", "ImageNet-1k, Instagram-3.6B"),
        ("pt", None),  # whole words only
        ("", None),
        (None, None),
    ],
)
def test_tags_name_their_data(tag, expected):
    assert trained_on(tag) == expected


def test_most_tags_of_timm_are_known():
    import timm

    tags = [name.partition(".")[2] for name in timm.list_pretrained()]
    assert sum(trained_on(tag) is not None for tag in tags) > 0.9 * len(tags)
    words = {word for tag in tags for word in tag.split("_")} | {"imagenet1k"}
    assert set(DATA) <= words  # none is made up


@pytest.mark.parametrize("name", ["conv4", "resnet12", "resnet12-wide", "pixels"])
def test_untrained_is_said(name):
    assert load_backbone(name).pretraining == "nothing"


def test_the_packaged_ones_say_what_they_saw():
    assert load_backbone("conv4-omniglot").pretraining == "Omniglot's training characters"
    assert load_backbone("timm:tf_efficientnet_lite0").pretraining == "ImageNet-1k"
    name = "sentence-transformers:all-MiniLM-L6-v2"
    assert load_backbone(name).pretraining == "1.17 billion pairs of sentences"


def test_torchvision_says_it_of_its_own_weights_only(tmp_path, hub_cache):  # noqa: F811
    from torchvision.models import get_model, get_model_weights

    network = get_model("mobilenet_v3_small", weights=None)
    name = get_model_weights("mobilenet_v3_small").DEFAULT.url.rpartition("/")[2]
    file = tmp_path / "torch" / "hub" / "checkpoints" / name
    file.parent.mkdir(parents=True)
    torch.save(network.state_dict(), file)
    assert load_backbone("torchvision:mobilenet_v3_small").pretraining == "ImageNet-1k"
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "own.safetensors")
    assert load_backbone("torchvision:mobilenet_v3_small", weights=tmp_path / "own.safetensors").pretraining is None


def test_weights_of_a_file_say_nothing(tmp_path):
    path = save_weights(tmp_path / "a.safetensors", load_backbone("conv4"), {})
    assert load_backbone("conv4", weights=path).pretraining is None
