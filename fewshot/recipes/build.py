"""From a recipe to its learner, and to the file in which its training is saved."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot.backbones.index import load_backbone
from fewshot.contract import backbone_of, features_of
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.errors import FewShotError, ShapeError
from fewshot.evaluation.answers import eval_mode
from fewshot.evaluation.assemble import assemble, sees_base, taught
from fewshot.plumbing.device import device_of
from fewshot.plumbing.files import cache_folder
from fewshot.recipes.schema import PretrainingSection, Recipe

TRAINED_BY = (
    "name",
    "data",
    "data_options",
    "learner",
    "learner_options",
    "backbone",
    "backbone_options",
    "training",
    "validation",
)
"""What decides the weights of a training run; a frozen backbone is added where it is one."""


def checkpoint_path(recipe: Recipe, of: str = "training") -> Path:
    """Where a recipe's run is saved, named by recipe and settings: its ``"training"`` or its ``"pretraining"``."""
    settings = recipe.model_dump(
        mode="json", include={*TRAINED_BY, *(["freeze_backbone"] if recipe.freeze_backbone else [])}
    )
    settings["name"] = recipe.run or recipe.name
    if of == "training" and recipe.pretraining is not None:
        settings["pretraining"] = _dumped(recipe.pretraining)
    if of == "pretraining":
        keys = ("data", "data_options", "backbone", "backbone_options", "validation")
        settings = {key: settings[key] for key in keys}
        settings["pretraining"] = None if recipe.pretraining is None else _dumped(recipe.pretraining)
    label = [recipe.label] if recipe.label and of == "training" and not recipe.run else []
    name = "-".join([recipe.run or recipe.name, *label, *(["pretraining"] if of == "pretraining" else [])])
    named = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return cache_folder() / "checkpoints" / f"{name}-{named}.safetensors"


def _dumped(section: PretrainingSection) -> dict[str, Any]:
    """Settings that name a run; without ``augment``, which came later, where it is not used: older checkpoints keep their names."""
    return section.model_dump(mode="json", exclude={"augment"} if section.augment is None else None)


def build_learner(
    recipe: Recipe, options: dict[str, Any] | None = None, *, data: Collection | None = None, backbone: Any = None
) -> Any:
    """The learner with its initial weights, which the training seed decides.

    Args:
        recipe: Of one learner.
        options: Other values of the learner's options.
        data: All of the recipe's data, where they are loaded.
        backbone: The recipe's backbone, where it is loaded.
    """
    backbone = load_backbone_of(recipe) if backbone is None else backbone
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_seed(recipe))
        options = recipe.learner_options | (options or {})
        learner = assemble(recipe.learner, options, backbone, prompts=recipe.prompts)
        if recipe.base is None or not sees_base(learner):
            return learner
        data = load_dataset(recipe.data, **recipe.data_options) if data is None else data
        return taught(learner, data.split(recipe.base))


def load_backbone_of(recipe: Recipe) -> Any:
    """The backbone that a recipe names, or nothing where it names none."""
    if recipe.backbone is None:
        return None
    return load_backbone(recipe.backbone, seed=_seed(recipe), **recipe.backbone_options)


def _seed(recipe: Recipe) -> int:
    first = recipe.pretraining or recipe.training
    return first.seed if first else 0


def with_options(recipe: Recipe, options: dict[str, Any], learner: Any) -> Any:
    """What is judged: the learner with other options, or another one with its backbone, and the trained weights."""
    if recipe.test_learner:
        other = assemble(recipe.test_learner, options, backbone_of(learner), prompts=recipe.prompts)
        other.classes_seen = tuple(getattr(learner, "classes_seen", ()))
        return other
    if not options:
        return learner
    other = build_learner(recipe, options)
    if recipe.training is not None or recipe.pretraining is not None:
        other.load_state_dict(learner.state_dict())
        other.classes_seen = tuple(getattr(learner, "classes_seen", ()))
    return other


def require_takes(learner: Any, data: Collection) -> None:
    """Let a backbone pass that takes items of the data, before it is trained or judged for hours.

    Args:
        learner: With a backbone, or without.
        data: Items.

    Raises:
        ShapeError: If it does not, such as a network for grey images that gets colour.
    """
    backbone = getattr(learner, "backbone", None) or getattr(getattr(learner, "network", None), "backbone", None)
    one = data.on(device_of(backbone)).take(np.zeros(1, np.int64))
    if backbone is None or (isinstance(one, torch.Tensor) and one.ndim == 2):  # features already
        return
    try:
        with torch.no_grad(), eval_mode(backbone):
            features_of(backbone, one)
    except FewShotError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        name = getattr(backbone, "name", type(backbone).__name__)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ShapeError(
            f"the backbone '{name}' must take items {tuple(one.shape[1:])} of '{data.name}', got an error: {reason}; set its "
            "backbone_options, such as in_channels and size, by the data"
        ) from error
