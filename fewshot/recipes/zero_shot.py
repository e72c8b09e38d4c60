"""Running a recipe of zero-shot learning: options from validation classes, then every learner on every row."""

from functools import partial
from typing import Any

from fewshot.backbones.index import load_backbone
from fewshot.backbones.prompts import Prompts
from fewshot.datasets.index import load_dataset
from fewshot.embedded import Embedded
from fewshot.errors import RecordError
from fewshot.evaluation.assemble import takes_base
from fewshot.evaluation.zero_shot import choose_options, evaluate_zero_shot
from fewshot.learners.index import load_learner
from fewshot.learners.transformed import Transformed
from fewshot.plumbing.device import Device
from fewshot.recipes.units import Single, Unit
from fewshot.recipes.zero_shot_schema import ZeroShotLearner, ZeroShotRecipe, ZeroShotRow
from fewshot.records.zero_shot import Counts, ZeroShotRecord
from fewshot.tasks.parts import CHOOSE, TEST, Parts


def units_of(recipe: ZeroShotRecipe, device: Device | None = None) -> list[Unit]:
    """A unit for each row and learner, in this order."""
    return [
        Single(
            one.name,
            name_of(recipe, row, one),
            settings_of(recipe, row, one),
            partial(evaluated, recipe, row, one, device=device),
        )
        for row in recipe.zero_shot.rows
        for one in recipe.learners
    ]


def name_of(recipe: ZeroShotRecipe, row: ZeroShotRow, one: ZeroShotLearner) -> str:
    """Of the record of a learner on a row."""
    return f"{recipe.name}-{row.label}-{one.name}".replace(" ", "-")


def settings_of(recipe: ZeroShotRecipe, row: ZeroShotRow, one: ZeroShotLearner) -> dict[str, Any]:
    """All settings that decide a record; what it is compared with later does not."""
    section = recipe.zero_shot.model_copy(update={"rows": [row]})
    return recipe.model_copy(update={"learners": [one], "zero_shot": section}).model_dump(
        mode="json", exclude={"reference"}
    )


def evaluated(
    recipe: ZeroShotRecipe,
    row: ZeroShotRow,
    one: ZeroShotLearner,
    chosen: dict[str, Any] | None = None,
    device: Device | None = None,
) -> ZeroShotRecord:
    """The record of a learner on a row.

    Args:
        recipe: Of both.
        row: Setting.
        one: Learner.
        chosen: Options, where they were chosen before; else validation classes choose.
        device: Where to compute.
    """
    data_options = recipe.data_options | row.data_options
    data = load_dataset(recipe.data, **data_options)
    base = TEST.base if row.generalised or takes_base(one.learner) else ""
    seen = TEST.seen if row.generalised else ""
    parts = Parts(base, TEST.unseen, seen, row.open)
    backbone = None if recipe.backbone is None else load_backbone(recipe.backbone, **recipe.backbone_options)

    def make(**options: Any) -> Any:
        head = load_learner(one.learner, **one.learner_options | options)
        head = Transformed(recipe.transforms, head) if recipe.transforms else head
        return head if backbone is None else Embedded(backbone, head, Prompts(backbone, one.prompts))

    if chosen is None and one.choose:
        options, line = choose_options(make, one.choose, data, CHOOSE, device=device)
    else:
        options, line = chosen or {}, None
    record = evaluate_zero_shot(make(**options), data, parts, selection=line, seed=recipe.zero_shot.seed, device=device)
    named = {
        "recipe": recipe.name,
        "settings": settings_of(recipe, row, one),
        "learner": record.learner.model_copy(update={"name": one.learner, "options": one.learner_options | options}),
        "backbone": record.backbone and record.backbone.model_copy(update={"name": recipe.backbone}),
        "data": record.data.model_copy(update={"name": recipe.data, "options": data_options}),
    }
    return record.model_copy(update=named)


def verify_zero_shot(record: ZeroShotRecord) -> list[str]:
    """Evaluate a record's learner anew with the options that it names; sentences about what does not hold.

    Raises:
        RecordError: If no recipe made the record, or the data have changed since.
    """
    if record.settings is None:
        raise RecordError("only the record of a recipe can be evaluated anew, got one without settings")
    recipe = ZeroShotRecipe.model_validate(record.settings)
    again = evaluated(recipe, recipe.zero_shot.rows[0], recipe.learners[0], record.learner.options)
    if again.data.hash != record.data.hash:
        raise RecordError(
            f"verifying needs the very items of the record, data hash {record.data.hash[:16]}, got {again.data.hash[:16]}"
        )
    problems = _differing(record.unseen, again.unseen)
    if record.generalised is not None and again.generalised is not None:
        problems += _differing(record.generalised.unseen, again.generalised.unseen)
        problems += _differing(record.generalised.seen, again.generalised.seen)
    return problems


def _differing(stored: Counts, found: Counts) -> list[str]:
    """A sentence for each class whose number of right answers is another."""
    both = zip(stored.classes, stored.correct, found.correct, strict=True)
    return [
        f"the class '{name}' must have {a} right answers, as the record says, got {b}" for name, a, b in both if a != b
    ]
