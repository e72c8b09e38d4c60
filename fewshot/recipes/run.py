"""Running a recipe: train or resume each learner, evaluate every row, write the records."""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from joblib import Parallel, delayed, parallel_config

from fewshot.datasets.index import load_dataset
from fewshot.errors import RecipeError
from fewshot.evaluation.guard import is_fixed
from fewshot.names import unknown
from fewshot.recipes.before import refuse_to_replace, require_splits
from fewshot.recipes.build import build_learner
from fewshot.recipes.curves import write_curves
from fewshot.recipes.load import load_recipe
from fewshot.recipes.rows import is_done, judge_row, load_queries, record_path
from fewshot.recipes.schema import Recipe
from fewshot.recipes.trained import Announce, trained
from fewshot.recipes.zero_shot_schema import ZeroShotRecipe
from fewshot.results.record import Record
from fewshot.training.memory import keep_freed_memory
from fewshot.training.progress import Progress


def run_recipe(
    name: str,
    out: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    *,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Announce = lambda text: None,
    again: bool = False,
    jobs: int = 1,
    only: Collection[str] = (),
) -> list[Record]:
    """Run a recipe; records that are there already, with the same settings, are read again.

    A training run that was stopped goes on from its checkpoint in the cache folder.

    Args:
        name: Name or path of a recipe.
        out: Folder for the records; ``fewshot-results/NAME`` when left out.
        overrides: Values for dotted keys, as YAML text.
        report: Called after every training step, where there is one process.
        announce: Told in a line what happens next.
        again: Evaluate again, also where records are there.
        jobs: Processes that share the learners of a recipe that compares many; each uses one thread.
        only: Labels of the learners to run, where a recipe compares many; all of them when left out.

    Returns:
        One record a row, in the order of the recipe, learner by learner.

    Raises:
        RecipeError: If the recipe has no episodes, or its data lack a split that is asked.
        RecordError: If overrides would replace records of other settings, unless ``again``.
        UnknownNameError: If ``only`` names no learner of the recipe.
    """
    recipe = load_recipe(name, overrides)
    if isinstance(recipe, ZeroShotRecipe):
        raise RecipeError(f"'{name}' must be a recipe of episodes, got one of zero-shot learning; call run_zero_shot")
    folder = folder_of(recipe, out)
    singles = _chosen(recipe.singles(), only)
    if overrides and not again:
        refuse_to_replace(
            (record_path(folder, one, row), is_done(folder, one, row)) for one in singles for row in one.evaluation.rows
        )
    pending = [one for one in singles if again or not all(is_done(folder, one, row) for row in one.evaluation.rows)]
    if pending:
        require_splits(name, recipe)
    if not pending:
        announce(f"already done: records in '{folder}'")
    elif jobs == 1 or len(pending) == 1:
        for one in pending:
            run_single(one, folder, again, report, announce)
    else:
        _run_many(pending, folder, again, announce, jobs)
    return [Record.load(record_path(folder, one, row)) for one in singles for row in one.evaluation.rows]


def _chosen(singles: list[Recipe], only: Collection[str]) -> list[Recipe]:
    labels = [one.label or one.name for one in singles]
    for label in only:
        if label not in labels:
            raise unknown("learner of the recipe", label, labels)
    return [one for one, label in zip(singles, labels, strict=True) if not only or label in only]


def folder_of(recipe: Recipe | ZeroShotRecipe, out: Path | None = None) -> Path:
    """Where the records of a recipe are written."""
    return out or Path("fewshot-results") / recipe.name


def run_single(
    recipe: Recipe,
    folder: Path,
    again: bool = False,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Announce = lambda text: None,
) -> str:
    """Run a recipe of one learner; its label, or its name, comes back."""
    keep_freed_memory()
    learner, known = trained(recipe, report, announce)
    for row in recipe.evaluation.rows:
        if again or not is_done(folder, recipe, row):
            announce(f"evaluating {record_path(folder, recipe, row).stem}")
            judge_row(recipe, row, learner, known).save(record_path(folder, recipe, row))
    write_curves(recipe, folder)
    return recipe.label or recipe.name


def _run_many(pending: list[Recipe], folder: Path, again: bool, announce: Announce, jobs: int) -> None:
    announce(f"{len(pending)} learners by {jobs} processes")
    _embed_once(pending[0], announce)
    started = time.perf_counter()
    with parallel_config(backend="loky", n_jobs=jobs, inner_max_num_threads=1):
        work = (delayed(run_single)(one, folder, again) for one in pending)
        for k, label in enumerate(Parallel(return_as="generator_unordered", batch_size=1)(work), 1):
            seconds = time.perf_counter() - started
            left = seconds / k * (len(pending) - k) / 60
            announce(f"{k} of {len(pending)} learners after {seconds:.0f} s, about {left:.1f} min left: {label}")


def _embed_once(recipe: Recipe, announce: Announce) -> None:
    """Fill the cache with the features that all learners share, before several processes look for them."""
    data, section = load_dataset(recipe.data, **recipe.data_options), recipe.evaluation
    backbone = getattr(build_learner(recipe.model_copy(update={"base": None})), "backbone", None)
    if backbone is None or not is_fixed(backbone):
        return
    chosen_on = recipe.validation.split if recipe.validation else None
    parts = [part for part in dict.fromkeys([section.split, section.ask, recipe.base, chosen_on]) if part is not None]
    needed = data if len(parts) != 1 else data.split(parts[0])
    for one in (needed, load_queries(recipe)):
        if one is not None:
            announce(f"features of {one.name}")
            one.embed(backbone)
