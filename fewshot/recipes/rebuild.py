"""From the record of a recipe back to its learner, with the weights that were trained then."""

from typing import Any

from fewshot.backbones.index import BACKBONES, load_backbone
from fewshot.contract import Embedded
from fewshot.errors import MissingDataError, RecordError
from fewshot.recipes.build import build_learner, checkpoint_path, with_options
from fewshot.recipes.schema import Recipe
from fewshot.recipes.trained import trained_part
from fewshot.results.record import Record
from fewshot.training.checkpoint import part, read_checkpoint


def rebuild_learner(record: Record) -> Any:
    """The learner of a record that a recipe made.

    Trained weights come from the run's checkpoint in the cache folder, or else from a
    backbone of this package with the fingerprint that the record names.

    Raises:
        RecordError: If the record does not hold the settings of its recipe.
        MissingDataError: If its trained weights are not on this machine.
    """
    if record.settings is None:
        raise RecordError(
            f"a record of recipe '{record.recipe}' must hold its settings, got none; run the recipe again"
        )
    recipe = Recipe.model_validate(record.settings)
    learner = build_learner(recipe)
    if recipe.training is not None:
        _restore(learner, recipe, record)
    chosen = {k: v for k, v in record.learner.options.items() if recipe.learner_options.get(k) != v}
    return with_options(recipe, chosen, learner)


def _restore(learner: Any, recipe: Recipe, record: Record) -> None:
    """Give a learner its trained weights, in place."""
    path, training = checkpoint_path(recipe), recipe.training
    if path.exists() and training is not None:
        tensors, progress = read_checkpoint(path)
        if progress["step"] >= training.episodes // training.tasks:
            trained_part(learner, recipe).load_state_dict(part(tensors, "best") or part(tensors, "weights"))
            return
    shipped = _shipped(record)
    if shipped is None or not isinstance(learner, Embedded):
        raise MissingDataError(
            f"the trained weights of recipe '{recipe.name}' must lie in '{path}', got no finished run there; "
            f"run: fewshot-bench run {recipe.name}"
        )
    learner.backbone.load_state_dict(shipped.state_dict())


def _shipped(record: Record) -> Any:
    """A backbone that comes with this package and has the fingerprint of the record's."""
    wanted = record.backbone.fingerprint if record.backbone else None
    packaged = [name for name, target in BACKBONES.items() if target.startswith("fewshot.backbones.packaged:")]
    return next((b for b in map(load_backbone, packaged) if b.fingerprint() == wanted), None)
