"""Running a recipe: load, train or resume, evaluate every row, write the records."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fewshot.backbones.index import load_backbone
from fewshot.contract import Embedded
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset, load_episodes
from fewshot.episodes import EpisodeSpec
from fewshot.evaluation.evaluate import evaluate
from fewshot.files import cache_folder
from fewshot.learners.index import load_learner
from fewshot.recipes.load import load_recipe
from fewshot.recipes.schema import Recipe, Row
from fewshot.results.record import Record, TrainingInfo
from fewshot.training.episodic import EpisodicTraining, train
from fewshot.training.memory import keep_freed_memory
from fewshot.training.progress import Progress


def run_recipe(
    name: str,
    out: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    *,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Callable[[str], None] = lambda text: None,
    again: bool = False,
) -> list[Record]:
    """Run a recipe, or read its records where it has run before with the same settings.

    A training run that was stopped goes on from its checkpoint in the cache folder.

    Args:
        name: Name or path of a recipe.
        out: Folder for the records; ``fewshot-results/NAME`` when left out.
        overrides: Values for dotted keys, as YAML text.
        report: Called after every training step.
        announce: Told in a line what happens next.
        again: Evaluate again, also where records are there.

    Returns:
        One record a row, in the order of the recipe.
    """
    recipe = load_recipe(name, overrides)
    folder = out or Path("fewshot-results") / recipe.name
    paths = [folder / f"{row_name(recipe, row)}.json" for row in recipe.evaluation.rows]
    if not again and all(_is_done(path, recipe, row) for path, row in zip(paths, recipe.evaluation.rows, strict=True)):
        announce(f"already done: records in '{folder}'")
        return [Record.load(path) for path in paths]
    learner, known = _learner(recipe, report, announce)
    records = []
    for row, path in zip(recipe.evaluation.rows, paths, strict=True):
        announce(f"evaluating {path.stem}")
        records.append(_evaluate(recipe, row, learner, known).save(path))
    return records


def row_name(recipe: Recipe, row: Row) -> str:
    """File name of a row's record: ``omniglot-protonet-5w1s``, then what else differs."""
    options = [f"{k}-{v}" for k, v in (*row.data_options.items(), *row.learner_options.items())]
    return "-".join([recipe.name, f"{row.way}w{row.shot}s", *options])


def resolved(recipe: Recipe, row: Row) -> dict[str, Any]:
    """All settings that decide a row's record, as JSON."""
    settings: dict[str, Any] = json.loads(recipe.model_dump_json())
    settings["evaluation"]["rows"] = [json.loads(row.model_dump_json())]
    return settings


def _is_done(path: Path, recipe: Recipe, row: Row) -> bool:
    return path.exists() and Record.load(path).settings == resolved(recipe, row)


def checkpoint_path(recipe: Recipe) -> Path:
    """Where a recipe's training run is saved: named by recipe and settings."""
    fields = {
        "name",
        "data",
        "data_options",
        "learner",
        "learner_options",
        "backbone",
        "backbone_options",
        "training",
        "validation",
    }
    settings = json.dumps(recipe.model_dump(mode="json", include=fields), sort_keys=True)
    return (
        cache_folder()
        / "checkpoints"
        / f"{recipe.name}-{hashlib.sha256(settings.encode()).hexdigest()[:12]}.safetensors"
    )


def build_learner(recipe: Recipe) -> Any:
    """The learner with its initial weights, which the training seed decides."""
    seed = recipe.training.seed if recipe.training else 0
    if recipe.backbone is None:
        return load_learner(recipe.learner, **recipe.learner_options)
    backbone = load_backbone(recipe.backbone, seed=seed, **recipe.backbone_options)
    if recipe.learner == "protonet":
        return load_learner(recipe.learner, backbone=backbone, **recipe.learner_options)
    return Embedded(backbone, load_learner(recipe.learner, **recipe.learner_options))


def _learner(
    recipe: Recipe, report: Callable[[Progress], None], announce: Callable[[str], None]
) -> tuple[Any, dict[str, Any]]:
    """The learner, trained where the recipe says so, and what its records tell of that."""
    learner = build_learner(recipe)
    if recipe.training is None:
        return learner, {"recipe": recipe.name}
    keep_freed_memory()
    data = load_dataset(recipe.data, **recipe.data_options)
    base = data.split(recipe.training.split)
    path = checkpoint_path(recipe)
    announce(
        f"{'resuming' if path.exists() else 'training'} on {base.name}: {len(base.class_names)} classes; checkpoint '{path}'"
    )
    state = train(learner, base, _settings(recipe), validate=_validate(recipe, data), checkpoint=path, report=report)
    info = TrainingInfo(
        split=base.name,
        budget=json.loads(recipe.training.model_dump_json()) | {"seconds": round(state.seconds, 1)},
        seed=recipe.training.seed,
        classes_hash=base.hash,
    )
    return learner, {"recipe": recipe.name, "training": info, "selection": _selection(recipe, state.validations)}


def _settings(recipe: Recipe) -> EpisodicTraining:
    section = recipe.training
    assert section is not None
    return EpisodicTraining(
        EpisodeSpec(section.way, section.shot, section.query),
        steps=section.episodes // section.tasks,
        tasks=section.tasks,
        seed=section.seed,
        learning_rate=section.learning_rate,
        halve_every=section.halve_every,
        clip=section.clip,
        validate_every=section.validate_every,
        save_every=section.save_every,
    )


def _validate(recipe: Recipe, data: Collection) -> Callable[[Any], float] | None:
    """Accuracy on validation classes, features not cached: every validation has other weights."""
    section = recipe.validation
    if section is None:
        return None
    novel = data.split(section.split)
    spec = EpisodeSpec(section.way, section.shot, section.query)
    return lambda learner: evaluate(learner, novel, spec, section.episodes, section.seed, cache=False).accuracy


def _selection(recipe: Recipe, validations: list[tuple[int, float]]) -> str:
    if recipe.validation is None or not validations:
        return "last weights"
    step, accuracy = max(validations, key=lambda v: (v[1], -v[0]))
    section = recipe.validation
    return (
        f"best of {len(validations)} validations: {section.way}-way {section.shot}-shot on split "
        f"'{section.split}', {100 * accuracy:.2f} % at step {step}"
    )


def _evaluate(recipe: Recipe, row: Row, learner: Any, known: dict[str, Any]) -> Record:
    section = recipe.evaluation
    options = recipe.data_options | row.data_options
    data = load_dataset(recipe.data, **options)
    novel = data if section.split is None else data.split(section.split)
    learner = with_options(recipe, row, learner)
    episodes = load_episodes(recipe.data, novel) if section.episodes == "fixed" else section.episodes
    record = evaluate(learner, novel, section.spec(row), episodes, section.seed, open_interval=section.open_interval)
    named = {
        "data": record.data.model_copy(update={"name": recipe.data, "options": options, "split": section.split}),
        "learner": record.learner.model_copy(
            update={"name": recipe.learner, "options": recipe.learner_options | row.learner_options}
        ),
        "settings": resolved(recipe, row),
    }
    if record.backbone is not None:
        named["backbone"] = record.backbone.model_copy(update={"name": recipe.backbone})
    return record.model_copy(update=named | known)


def with_options(recipe: Recipe, row: Row, learner: Any) -> Any:
    """The same learner with a row's own options: on the same backbone, where there is one."""
    options = recipe.learner_options | row.learner_options
    if not row.learner_options:
        return learner
    if recipe.learner == "protonet":
        return load_learner("protonet", backbone=learner.backbone, **options)
    head = load_learner(recipe.learner, **options)
    return Embedded(learner.backbone, head) if isinstance(learner, Embedded) else head
