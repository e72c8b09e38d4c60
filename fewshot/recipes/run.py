"""Running a recipe: train or resume each learner, evaluate every row, write the records."""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from fewshot.datasets.index import load_dataset
from fewshot.errors import RecipeError
from fewshot.evaluation.guard import is_fixed
from fewshot.plumbing.files import cache_folder, content_hash, require_writable
from fewshot.plumbing.names import unknown
from fewshot.recipes.before import refuse_to_replace, require_splits
from fewshot.recipes.build import build_learner
from fewshot.recipes.curves import write_curves
from fewshot.recipes.load import load_recipe
from fewshot.recipes.rows import has_record, is_done, judge_row, load_queries, record_path, row_name
from fewshot.recipes.schema import Recipe
from fewshot.recipes.trained import Announce, trained
from fewshot.recipes.transfer_schema import TransferRecipe
from fewshot.recipes.workers import share
from fewshot.recipes.zero_shot_schema import ZeroShotRecipe
from fewshot.records.record import ANYTHING, Record
from fewshot.training.memory import keep_freed_memory
from fewshot.training.progress import Progress

Replaces = Mapping[Path, str | None]  # of each record to make


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
    if not isinstance(recipe, Recipe):
        kind = (
            "zero-shot learning; call run_zero_shot"
            if isinstance(recipe, ZeroShotRecipe)
            else "transfer; call run_transfer"
        )
        raise RecipeError(f"'{name}' must be a recipe of episodes, got one of {kind}")
    folder = folder_of(recipe, out)
    singles = _chosen(recipe.singles(), only)
    if overrides and not again:
        refuse_to_replace(
            (record_path(folder, one, row), has_record(folder, one, row))
            for one in singles
            for row in one.evaluation.rows
        )
    pending = [(one, replaces) for one in singles if (replaces := _to_make(one, folder, again))]
    if pending:
        require_splits(name, recipe)
        require_writable(folder)
        if any(one.training or one.pretraining for one, _ in pending):
            require_writable(cache_folder())  # for checkpoints; caches that are only read may lie on a disk that is
    if not pending:
        announce(f"already done: records in '{folder}'")
    elif jobs == 1 or len(pending) == 1:
        for one, replaces in pending:
            run_single(one, folder, replaces, report, announce)
    else:
        _run_many(pending, folder, announce, jobs)
    for one in singles:
        write_curves(one, folder, missing=True)  # of a run that was killed when all but these were written
    return [Record.load(record_path(folder, one, row)) for one in singles for row in one.evaluation.rows]


def _chosen(singles: list[Recipe], only: Collection[str]) -> list[Recipe]:
    labels = [one.label or one.name for one in singles]
    for label in only:
        if label not in labels:
            raise unknown("learner of the recipe", label, labels)
    return [one for one, label in zip(singles, labels, strict=True) if not only or label in only]


def names_of(recipe: Recipe, only: Collection[str] = ()) -> list[str]:
    """Names of the records that `run_recipe` gives, in their order."""
    return [row_name(one, row) for one in _chosen(recipe.singles(), only) for row in one.evaluation.rows]


def _to_make(recipe: Recipe, folder: Path, again: bool) -> Replaces:
    """Records of one learner that are to be made, and what each may replace: what is there now, or with ``again`` anything."""
    rows = [row for row in recipe.evaluation.rows if again or not is_done(folder, recipe, row)]
    paths = [record_path(folder, recipe, row) for row in rows]
    return {path: ANYTHING if again else content_hash(path) for path in paths}


def folder_of(recipe: Recipe | ZeroShotRecipe | TransferRecipe, out: Path | None = None) -> Path:
    """Where the records of a recipe are written."""
    return out or Path("fewshot-results") / recipe.name


def run_single(
    recipe: Recipe,
    folder: Path,
    replaces: Replaces,
    report: Callable[[Progress], None] = lambda progress: None,
    announce: Announce = lambda text: None,
) -> str:
    """Run a recipe of one learner; its label, or its name, comes back.

    Args:
        recipe: Of one learner.
        folder: For the records.
        replaces: Records to make, and what they may replace; by `fewshot.plumbing.files.content_hash`.
        report: Called after every training step.
        announce: Told in a line what happens next.

    Raises:
        RecordError: If another run has written a record meanwhile.
    """
    keep_freed_memory()
    learner, known = trained(recipe, report, announce)
    for row in recipe.evaluation.rows:
        path = record_path(folder, recipe, row)
        if path in replaces:
            announce(f"evaluating {path.stem}")
            judge_row(recipe, row, learner, known).save(path, replaces[path])
    write_curves(recipe, folder)
    return recipe.label or recipe.name


def _run_many(pending: list[tuple[Recipe, Replaces]], folder: Path, announce: Announce, jobs: int) -> None:
    announce(f"{len(pending)} learners by {jobs} processes")
    _embed_once(pending[0][0], announce)
    started = time.perf_counter()
    calls = [(one, folder, replaces) for one, replaces in pending]
    for k, label in enumerate(share(run_single, calls, jobs), 1):
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
