"""From the record of a recipe back to its learner, with the weights that were trained then."""

import shlex
from pathlib import Path
from typing import Any

from fewshot.backbones.index import BACKBONES, load_backbone
from fewshot.contract import backbone_of
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.errors import MissingDataError, RecordError
from fewshot.recipes.build import build_learner, checkpoint_path, with_options
from fewshot.recipes.schema import Recipe
from fewshot.recipes.trained import trained_part
from fewshot.records.record import Record
from fewshot.training.checkpoint import part, read_checkpoint


def recipe_of(record: Record) -> Recipe:
    """The recipe that made a record; of one that was made without, such as from Python, what its fields tell.

    Raises:
        RecordError: If a recipe made it, and its settings are not in the record.
    """
    if record.recipe and record.settings is None:
        raise RecordError(
            f"a record of recipe '{record.recipe}' must hold its settings, got none; run the recipe again"
        )
    if record.settings is not None and "evaluation" in record.settings:
        recipe: Recipe = Recipe.model_validate(record.settings)
        return recipe
    return _recipe_of_fields(record)


def _recipe_of_fields(record: Record) -> Recipe:
    data, queries = record.data, record.target
    section: dict[str, Any] = {"split": data.split, "rows": [{}]}
    if queries is not None:
        section |= {"queries": queries.name, "queries_options": queries.options}
    recipe: Recipe = Recipe.model_validate(
        {
            "name": "record",
            "data": data.name,
            "data_options": data.options,
            "learner": record.learner.name,
            "learner_options": record.learner.options,
            "backbone": record.backbone_name,
            "base": record.training.split if record.training else None,
            "evaluation": section,
        }
    )
    return recipe


def rebuild_learner(record: Record, data: Collection | None = None) -> Any:
    """The learner of a record.

    Trained weights come from the run's checkpoint in the cache folder, or else from a
    backbone of this package with the fingerprint that the record names.

    Args:
        record: Of a recipe, or of one learner by its name.
        data: All of its data, where they are loaded.

    Raises:
        RecordError: If the record does not hold the settings of its recipe.
        MissingDataError: If its trained weights are not on this machine.
    """
    recipe = recipe_of(record)
    if not (recipe.training or recipe.pretraining or recipe.test_learner):
        recipe = recipe.model_copy(update={"learner_options": record.learner.options})  # what the record claims
    learner = build_learner(recipe, data=data if recipe.evaluation.data is None else None)
    if recipe.training is not None or recipe.pretraining is not None:
        _restore(learner, recipe, record)
    trained_with = {} if recipe.test_learner else recipe.learner_options
    chosen = {k: v for k, v in record.learner.options.items() if trained_with.get(k) != v}
    return with_options(recipe, chosen, learner)


def _restore(learner: Any, recipe: Recipe, record: Record) -> None:
    """Give a learner its trained weights, in place."""
    runs: list[tuple[Any, Path, int, str | None]] = []  # what is loaded, from which file, if so many steps were taken
    if recipe.pretraining is not None:
        runs.append(
            (backbone_of(learner), checkpoint_path(recipe, "pretraining"), recipe.pretraining.steps, "backbone")
        )
    if recipe.training is not None:
        steps = recipe.training.episodes // recipe.training.tasks
        runs.append((trained_part(learner, recipe), checkpoint_path(recipe), steps, None))
    if all(_loaded(*run) for run in runs):
        return
    # a head that was trained on a frozen backbone does not come along with it
    shipped = None if recipe.freeze_backbone else _shipped(record)
    if shipped is None or not isinstance(learner, Embedded):
        only = f" --only {shlex.quote(recipe.label)}" if recipe.label else ""
        raise MissingDataError(
            f"the trained weights of recipe '{recipe.name}' must lie in '{runs[-1][1]}', got no finished run there; "
            f"run: fewshot-bench run {recipe.name}{only}"
        )
    learner.backbone.load_state_dict(shipped.state_dict())


def _loaded(module: Any, path: Path, steps: int, of: str | None) -> bool:
    """Load the weights of a finished run, or of one module in it, and say whether there was one."""
    if not path.exists():
        return False
    tensors, progress = read_checkpoint(path)
    if progress["step"] < steps:
        return False
    weights = part(tensors, "best") or part(tensors, "average") or part(tensors, "weights")
    module.load_state_dict(weights if of is None else part(weights, of))
    module.classes_seen = progress["classes_seen"]
    return True


def _shipped(record: Record) -> Any:
    """A backbone that comes with this package and has the fingerprint of the record's."""
    wanted = record.backbone.fingerprint if record.backbone else None
    packaged = [name for name, target in BACKBONES.items() if target.startswith("fewshot.backbones.packaged:")]
    return next((b for b in map(load_backbone, packaged) if b.fingerprint() == wanted), None)
