"""Backbones by name: own networks, families of other libraries, then entry points of other packages."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewshot.backbones.weights import load_weights
from fewshot.errors import FewShotError
from fewshot.plumbing.names import look_up
from fewshot.plumbing.number_checks import plain, seed_number
from fewshot.records.seen import NOTHING

BACKBONES = {
    "conv4": "fewshot.backbones.conv4:Conv4",
    "conv4-omniglot": "fewshot.backbones.packaged:conv4_omniglot",
    "efficientnet-lite0": "fewshot.backbones.timm_models:efficientnet_lite0",
    "efficientnet-lite1": "fewshot.backbones.timm_models:efficientnet_lite1",
    "efficientnet-lite2": "fewshot.backbones.timm_models:efficientnet_lite2",
    "pixels": "fewshot.backbones.pixels:Pixels",
    "resnet12": "fewshot.backbones.resnet12:ResNet12",
    "resnet12-wide": "fewshot.backbones.resnet12:resnet12_wide",
}
FAMILIES = {  # "family:model"
    "open-clip": "fewshot.backbones.open_clip_models:from_open_clip",
    "sentence-transformers": "fewshot.backbones.texts:from_sentence_transformers",
    "timm": "fewshot.backbones.timm_models:from_timm",
    "torchvision": "fewshot.backbones.torchvision_models:from_torchvision",
}


def load_backbone(
    name: str | Callable[..., Any], weights: Path | str | None = None, seed: int = 0, **options: Any
) -> Any:
    """A backbone from its name, in eval mode; its parameters can be trained, as they were made.

    A module or a function comes back as it is, in the mode that it has.

    Args:
        name: A key of ``BACKBONES``, ``"family:model"`` with a key of ``FAMILIES``, or an entry point in the
            group ``fewshot.backbones``: a function that makes a backbone, for a family from the model's name.
        weights: A file of weights (a folder for ``sentence-transformers``). Without one, ``conv4`` and
            ``resnet12`` are untrained, and families look on this machine first.
        seed: Of the weights of untrained networks; the global generator is untouched.
        options: Of the network: ``width=32``.

    Returns:
        A `fewshot.contract.Backbone`. Those named here have ``dim``, the number of features, ``preprocess``,
        which takes uint8 pixels or texts, ``fingerprint()``, which names weights and preprocessing, and
        ``pretraining``: the data that the weights were trained on, ``"nothing"``, or None where that is not known.

    Raises:
        UnknownNameError: If nobody knows the name; names the nearest match.
        MissingExtraError: If a package is absent that the network needs.
        MissingDataError: If its weights are not on this machine, and cannot be fetched.
        DataError: If a file does not hold the weights of this network.
        FewShotError: If the network has no such option, or the name is no name.

    Example:
        >>> load_backbone("conv4", in_channels=3, size=84).dim
        1600
    """
    if not isinstance(name, str):
        return _as_it_is(name, weights, options)
    family, colon, model = name.partition(":")
    make = look_up("backbone", family, FAMILIES if colon else BACKBONES, "fewshot.backbones")
    if colon and weights is not None:
        options["weights"] = weights
    _check_options(name, make, options)
    options = {option: plain(value) for option, value in options.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_number(seed))
        backbone = make(*([model] if colon else []), **options)
    if not colon and weights is not None:
        load_weights(weights, backbone)
        backbone.pretraining = None
    elif name in BACKBONES and not hasattr(backbone, "pretraining"):
        backbone.pretraining = NOTHING
    if isinstance(backbone, nn.Module):
        backbone.name = name  # type: ignore[assignment]
        backbone.eval()
    return backbone


def _as_it_is(backbone: Any, weights: Any, options: dict[str, Any]) -> Any:
    if not callable(backbone):
        raise FewShotError(f"a backbone must be a name, a module or a function, got {type(backbone).__name__}")
    if weights is not None or options:
        raise FewShotError("weights and options belong to a name, got a module or a function; set them on it directly")
    return backbone


def _check_options(name: str, make: Callable[..., Any], options: dict[str, Any]) -> None:
    try:
        known = inspect.signature(make).parameters
    except ValueError:  # some functions written in C have no signature
        return
    kinds = {parameter.kind for parameter in known.values()}
    wrong = [] if inspect.Parameter.VAR_KEYWORD in kinds else sorted(set(options) - set(known))
    if wrong:
        listed = ", ".join(f"'{option}'" for option in known) or "none"
        raise FewShotError(f"options of backbone '{name}' must be among {listed}, got '{wrong[0]}'")
