"""Running a recipe of transfer between domains: every learner on every task."""

from functools import cache, partial
from typing import Any

from fewshot.backbones.index import load_backbone
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.embedded import Embedded
from fewshot.errors import RecordError
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.index import load_learner
from fewshot.learners.transformed import Transformed
from fewshot.plumbing.device import Device
from fewshot.recipes.transfer_schema import TransferLearner, TransferRecipe
from fewshot.recipes.units import Single, Unit
from fewshot.records.record import Record
from fewshot.tasks.transfer import Transfer

Pair = tuple[str, TransferLearner]


def units_of(recipe: TransferRecipe, device: Device | None = None) -> list[Unit]:
    """A unit for each task and learner, in this order."""
    return [
        Single(
            one.name,
            name_of(recipe, task, one),
            settings_of(recipe, task, one),
            partial(evaluated, recipe, task, one, device=device),
        )
        for task, one in pairs(recipe)
    ]


def pairs(recipe: TransferRecipe) -> list[Pair]:
    """Every task with every learner."""
    return [(task, one) for task in recipe.transfer.tasks for one in recipe.learners]


def name_of(recipe: TransferRecipe, task: str, one: TransferLearner) -> str:
    """Of the record of a learner on a task."""
    return f"{recipe.name}-{task.replace('>', '-')}-{one.name}".replace(" ", "-")


def settings_of(recipe: TransferRecipe, task: str, one: TransferLearner) -> dict[str, Any]:
    """All settings that decide a record; what it is compared with later does not."""
    names = task.split(">")
    own = {name: domain for name, domain in recipe.transfer.domains.items() if name in names}
    section = recipe.transfer.model_copy(update={"tasks": [task], "domains": own})
    single = one.model_copy(update={"options_by_task": {k: v for k, v in one.options_by_task.items() if k == task}})
    changed = {"learners": [single], "transfer": section}
    told = recipe.model_copy(update=changed).model_dump(mode="json", exclude={"reference", "about"})
    if not section.allow_fewer:
        del told["transfer"]["allow_fewer"]  # which records from before it lack
    return told


def task_of(recipe: TransferRecipe, task: str) -> Transfer:
    """The two domains, loaded, and what is queried."""
    section = recipe.transfer
    source, target = (_load(section.domains[name].model_dump_json()) for name in task.split(">"))
    per_class = section.per_class
    return Transfer(
        source,
        target,
        protocol=section.protocol,
        per_class=per_class[task.split(">")[0]] if isinstance(per_class, dict) else per_class,
        draws=section.draws,
        labelled=section.labelled,
        seed=section.seed,
        common_classes=section.common_classes,
        allow_fewer=section.allow_fewer,
        allow_equal=section.allow_equal,
    )


@cache
def _load(domain: str) -> Collection:
    from fewshot.recipes.transfer_schema import Domain

    known = Domain.model_validate_json(domain)
    whole = load_dataset(known.data, **known.data_options)
    return whole if known.split is None else whole.split(known.split)


def evaluated(recipe: TransferRecipe, task: str, one: TransferLearner, device: Device | None = None) -> Record:
    """The record of a learner on a task, with names and options as the recipe has them."""
    options = one.learner_options | one.options_by_task.get(task, {})
    head = load_learner(one.learner, **options)
    head = Transformed(recipe.transforms, head) if recipe.transforms else head
    backbone = None if recipe.backbone is None else load_backbone(recipe.backbone, **recipe.backbone_options)
    learner = head if backbone is None else Embedded(backbone, head)
    record: Record = evaluate(learner, task_of(recipe, task), device=device)
    named = {
        "recipe": recipe.name,
        "settings": settings_of(recipe, task, one),
        "learner": record.learner.model_copy(update={"name": one.learner, "options": options}),
        "backbone": record.backbone and record.backbone.model_copy(update={"name": recipe.backbone}),
        "data": record.data.model_copy(update={"name": f"{recipe.name}: {task}"}),
    }
    return record.model_copy(update=named).with_answers(record.load_answers())


def verify_transfer(record: Record) -> list[str]:
    """Evaluate a record's learner anew; sentences about what does not hold.

    Raises:
        RecordError: If no recipe made the record, or the data have changed since.
    """
    if record.settings is None:
        raise RecordError("only the record of a recipe can be evaluated anew, got one without settings")
    recipe = TransferRecipe.model_validate(record.settings)
    again = evaluated(recipe, recipe.transfer.tasks[0], recipe.learners[0])
    if again.data.hash != record.data.hash:
        raise RecordError(
            f"verifying needs the very items of the record, data hash {record.data.hash[:16]}, got {again.data.hash[:16]}"
        )
    if again.episodes.manifest != record.episodes.manifest:
        return ["the manifest is not that of the draws which the record names"]
    different = [k for k, (a, b) in enumerate(zip(record.correct, again.correct, strict=True)) if a != b]
    unit = "items of the target" if record.queries == 1 else "draws"
    if not different:
        return []
    return [f"{len(different)} of {len(record.correct)} {unit} have another answer, the first is {different[0]}"]


def task_of_record(record: Record) -> Transfer:
    """The task of a record, built again.

    Raises:
        RecordError: If no recipe made the record.
    """
    if record.settings is None:
        raise RecordError("the domains of a record are known from its recipe, got a record without settings")
    recipe = TransferRecipe.model_validate(record.settings)
    return task_of(recipe, recipe.transfer.tasks[0])


def is_transfer(record: Record) -> bool:
    """Whether a record is one of transfer between domains."""
    return record.episodes.spec.get("task") == "transfer"
