"""The learner of a recipe after its training, and what its records tell of that."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fewshot.contract import Embedded
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.episodes import EpisodeSpec
from fewshot.evaluation.evaluate import evaluate
from fewshot.recipes.build import build_learner, checkpoint_path
from fewshot.recipes.schema import Recipe
from fewshot.results.record import TrainingInfo
from fewshot.training.episodic import EpisodicTraining, train
from fewshot.training.progress import Progress

Announce = Callable[[str], None]


def trained(recipe: Recipe, report: Callable[[Progress], None], announce: Announce) -> tuple[Any, dict[str, Any]]:
    """The learner, trained where the recipe says so, and fields of its records."""
    learner = build_learner(recipe)
    if recipe.training is None:
        return learner, {"recipe": recipe.name}
    data = load_dataset(recipe.data, **recipe.data_options)
    base, path = data.split(recipe.training.split), checkpoint_path(recipe)
    verb = "resuming" if path.exists() else "training"
    announce(f"{verb} on {base.name}: {len(base.class_names)} classes; checkpoint '{path}'")
    state = train(
        trained_part(learner, recipe),
        features(learner, recipe, base),
        _settings(recipe),
        validate=_validate(learner, recipe, data),
        checkpoint=path,
        report=report,
    )
    info = TrainingInfo(
        split=base.name,
        budget=json.loads(recipe.training.model_dump_json()) | {"seconds": round(state.seconds, 1)},
        seed=recipe.training.seed,
        classes_hash=base.hash,
    )
    return learner, {"recipe": recipe.name, "training": info, "selection": _selection(recipe, state.validations)}


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
    if recipe.validation is None or not validations:
        return "last weights"
    step, accuracy = max(validations, key=lambda v: (v[1], -v[0]))
    section = recipe.validation
    return (
        f"best of {len(validations)} validations: {section.way}-way {section.shot}-shot on split "
        f"'{section.split}', {100 * accuracy:.2f} % at step {step}"
    )
