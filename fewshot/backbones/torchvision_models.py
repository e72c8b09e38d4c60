"""Classifiers of torchvision, cut before their last layer."""

from pathlib import Path

import torch
from torch import nn

from fewshot.backbones.images import ImageNetwork, Preprocessing
from fewshot.backbones.pretraining import trained_on
from fewshot.backbones.weights import is_offline, load_weights, missing_weights
from fewshot.errors import FewShotError
from fewshot.plumbing.names import unknown

# With weights torchvision builds these two like this; their further classifiers are for training only.
BUILT = {
    name: {"aux_logits": False, "init_weights": False, "transform_input": True}
    for name in ("googlenet", "inception_v3")
}
FURTHER = ("aux1.", "aux2.", "AuxLogits.")


def from_torchvision(model: str, weights: Path | str | None = None) -> ImageNetwork:
    """A classifier without its last linear layer, with the preprocessing of torchvision's default weights.

    Args:
        model: A name that ``torchvision.models.get_model`` knows: ``"resnet18"``.
        weights: A file of weights, with or without the last layer; else torch's hub cache, else a download.

    Raises:
        UnknownNameError: If torchvision has no such classifier.
        MissingDataError: If there are no weights on this machine, and none can be fetched.
        DataError: If the file's tensors are not those of the network.
        FewShotError: If the network has no linear layer to cut off.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if model not in known:
        raise unknown("torchvision model", model, known)
    network = models.get_model(model, weights=None, **BUILT.get(model, {}))
    head, dim = _cut(model, network)
    default = models.get_model_weights(model).DEFAULT
    load_weights(weights or _from_hub(model, default.url), network, (f"{head}.", *FURTHER))
    pretraining = trained_on(default.name) if weights is None else None
    return ImageNetwork(network, _preprocessing(default.transforms()), dim, f"torchvision:{model}", pretraining)


def _cut(model: str, network: nn.Module) -> tuple[str, int]:
    """Replace the last linear layer by nothing; its name, and the number of its inputs."""
    linear = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise FewShotError(
            f"a network must end in a linear layer to be cut off, got '{model}' without any; take another"
        )
    name, layer = linear[-1]
    network.set_submodule(name, nn.Identity())
    return name, layer.in_features


def _preprocessing(seen: object) -> Preprocessing:
    read = {name: tuple(getattr(seen, name)) for name in ("crop_size", "resize_size", "mean", "std")}
    height, width = (read["crop_size"] * 2)[:2]
    return Preprocessing((height, width), read["resize_size"], read["mean"], read["std"], seen.interpolation.value)  # type: ignore[attr-defined]


def _from_hub(model: str, url: str) -> Path:
    """The file in torch's hub cache, fetched first where that is allowed."""
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if file.is_file():
        return file
    try:
        if is_offline():
            raise OSError("HF_HUB_OFFLINE is set")
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(file), file.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError) as error:
        raise missing_weights(f"torchvision:{model}", "FILE") from error
    return file
