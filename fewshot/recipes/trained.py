"""The learner of a recipe after its training, and what its records tell of that."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fewshot.contract import backbone_of
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.plumbing.device import Device, device_named, device_of, on_device
from fewshot.recipes.build import build_learner, checkpoint_path, require_takes
from fewshot.recipes.schema import Recipe
from fewshot.recipes.units import Announce
from fewshot.records.record import LAST_WEIGHTS, TrainingInfo
from fewshot.training.augment.crop_flip import crop_flip
from fewshot.training.episodic import EpisodicTraining, train
from fewshot.training.progress import Progress, TrainingState
from fewshot.training.supervised import ClassHead, SupervisedTraining, pretrain
from fewshot.training.terms.index import make_term


def trained(
    recipe: Recipe, report: Callable[[Progress], None], announce: Announce, device: Device | None = None
) -> tuple[Any, dict[str, Any]]:
    """The learner, trained where the recipe says so, and fields of its records.

    Args:
        recipe: Of one learner.
        report: Called after every step.
        announce: Called with a line before each run.
        device: Where to train and to embed; training goes to a card where there is one, when left out.
    """
    learner, data = build_learner(recipe), load_dataset(recipe.data, **recipe.data_options)
    learner = learner if device is None else on_device(learner, device_named(device))
    require_takes(learner, data)
    known: dict[str, Any] = {"recipe": recipe.name}
    if recipe.pretraining is not None:
        state = _pretrained(learner, recipe, data, report, announce, device)
        known |= _facts(recipe, recipe.pretraining, data, state)
    if recipe.training is not None:
        state = _episodic(learner, recipe, data, report, announce, device)
        before = known["training"].budget if "training" in known else None
        known |= _facts(recipe, recipe.training, data, state, {} if before is None else {"pretraining": before})
    return _together(learner, recipe), known


def _together(learner: Any, recipe: Recipe) -> Any:
    """The learner with all parts where training left the part that it trained."""
    if recipe.training is not None:
        return on_device(learner, device_of(trained_part(learner, recipe)))
    return learner if recipe.pretraining is None else on_device(learner, device_of(backbone_of(learner)))


def _pretrained(
    learner: Any, recipe: Recipe, data: Collection, report: Any, announce: Announce, device: Device | None
) -> TrainingState:
    """Train the learner's backbone to tell the base classes apart."""
    section, backbone = recipe.pretraining, backbone_of(learner)
    assert section is not None
    base = data.split(section.split)
    path = _announced(recipe, base, announce, "pretraining")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(section.seed)
        network = ClassHead(backbone, len(base.class_names), cosine=section.cosine)
        sizes = network.head.in_features, network.head.out_features
        terms = [make_term(term, *sizes) for term in section.whole_loss()]
    settings = SupervisedTraining(**section.model_dump(exclude={"split", "augment", "rotation", "terms"}))
    augment = None if section.augment is None else crop_flip
    judge = _validate(Embedded(backbone, NearestMean("cosine", 0.1)), recipe, data)
    judged = None if judge is None else lambda b: judge(Embedded(b, NearestMean("cosine", 0.1)))
    state = pretrain(network, base, settings, terms=terms, augment=augment, validate=judged, checkpoint=path,
                     report=report, device=device)  # fmt: skip
    backbone.classes_seen = network.classes_seen
    return state


def _episodic(
    learner: Any, recipe: Recipe, data: Collection, report: Any, announce: Announce, device: Device | None
) -> TrainingState:
    """Train the learner on episodes of the base classes."""
    assert recipe.training is not None
    base = data.split(recipe.training.split)
    return train(
        trained_part(learner, recipe),
        features(learner, recipe, base),
        _settings(recipe),
        validate=_validate(learner, recipe, data),
        checkpoint=_announced(recipe, base, announce, "training"),
        report=report,
        device=device,
    )


def _announced(recipe: Recipe, base: Collection, announce: Announce, of: str) -> Path:
    path = checkpoint_path(recipe, of)
    verb = "resuming" if path.exists() else of
    announce(f"{verb} on {base.name}: {len(base.class_names)} classes; checkpoint '{path}'")
    return path


def _facts(recipe: Recipe, section: Any, data: Collection, state: TrainingState, more: Any = None) -> dict[str, Any]:
    """What the records tell of a run."""
    base = data.split(section.split)
    budget = json.loads(section.model_dump_json()) | {"seconds": round(state.seconds, 1)} | (more or {})
    info = TrainingInfo(split=base.name, budget=budget, seed=section.seed, classes_hash=base.hash)
    return {"training": info, "selection": _selection(recipe, state.validations)}


def trained_part(learner: Any, recipe: Recipe) -> Any:
    """What is trained: the learner, or its head alone where the backbone is frozen."""
    return learner.head if recipe.freeze_backbone and isinstance(learner, Embedded) else learner


def features(learner: Any, recipe: Recipe, collection: Collection) -> Collection:
    """What `trained_part` takes: the collection, or its features where the backbone is frozen."""
    if trained_part(learner, recipe) is learner:
        return collection
    embedded = collection.embed(learner.backbone)
    return replace(embedded, origin=collection.origin or collection.name)


def _settings(recipe: Recipe) -> EpisodicTraining:
    section = recipe.training
    assert section is not None
    same = section.model_dump(exclude={"split", "way", "shot", "query", "episodes"})
    spec = EpisodeSpec(section.way, section.shot, section.query)
    return EpisodicTraining(spec, steps=section.episodes // section.tasks, **same)


def _validate(learner: Any, recipe: Recipe, data: Collection) -> Callable[[Any], float] | None:
    """Accuracy on validation classes, features not cached: every validation has other weights."""
    section = recipe.validation
    if section is None:
        return None
    novel = features(learner, recipe, data.split(section.split))
    spec = EpisodeSpec(section.way, section.shot, section.query)
    return lambda part: evaluate(part, novel, spec, section.episodes, section.seed, cache=False).accuracy


def _selection(recipe: Recipe, validations: list[tuple[int, float]]) -> str:
    finite = [v for v in validations if math.isfinite(v[1])]
    if recipe.validation is None or not finite:
        return LAST_WEIGHTS
    step, accuracy = max(finite, key=lambda v: (v[1], -v[0]))
    section = recipe.validation
    return (
        f"best of {len(validations)} validations: {section.way}-way {section.shot}-shot on split "
        f"'{section.split}', {100 * accuracy:.2f} % at step {step}"
    )
