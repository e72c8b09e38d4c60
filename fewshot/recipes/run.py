"""Running a recipe of any kind: train or resume each learner, evaluate every row, write the records."""

import time
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from fewshot.errors import RecordError
from fewshot.plumbing.device import Device
from fewshot.plumbing.files import cache_folder, content_hash, require_writable
from fewshot.plumbing.names import unknown
from fewshot.recipes.kinds import AnyRecipe, kind_of
from fewshot.recipes.load import load_recipe
from fewshot.recipes.units import Announce, Replaces, Report, Unit, has_record, is_done, path_of
from fewshot.recipes.workers import share
from fewshot.records.load import AnyRecord, load_record
from fewshot.records.record import ANYTHING
from fewshot.training.memory import keep_freed_memory


def run_recipe(
    name: str | AnyRecipe,
    out: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    *,
    report: Report = lambda progress: None,
    announce: Announce = lambda text: None,
    again: bool = False,
    jobs: int = 1,
    only: Collection[str] = (),
    device: Device | None = None,
) -> list[AnyRecord]:
    """Run a recipe; records that are there already, with the same settings, are read again.

    A training run that was stopped goes on from its checkpoint in the cache folder.

    Args:
        name: Name or path of a recipe, or one that is loaded.
        out: Folder for the records; ``fewshot-results/NAME`` when left out.
        overrides: Values for dotted keys, as YAML text.
        report: Called after every training step, where there is one process.
        announce: Called with a line before each piece of work.
        again: Evaluate again, also where records are there.
        jobs: Processes that share the learners of a recipe that compares many; each uses one thread.
        only: Labels of the learners to run, where a recipe compares many; all of them when left out.
        device: Where to train and to evaluate: ``"auto"`` for a card where there is one, or what `torch.device` takes. When left
            out, training goes to a card where there is one, and a learner is evaluated where it is.

    Returns:
        One record a row and learner, in the order of the recipe.

    Raises:
        RecipeError: If the data lack a split that the recipe names.
        RecordError: If overrides would replace records of other settings, unless ``again``.
        UnknownNameError: If ``only`` names no learner of the recipe.
    """
    recipe = load_recipe(name, overrides) if isinstance(name, str) else name
    folder, units = folder_of(recipe, out), units_of(recipe, only, device)
    named = [(unit, one) for unit in units for one in unit.names]
    if overrides and not again:
        _refuse_to_replace(named, folder)
    pending = [(unit, replaces) for unit in units if (replaces := _to_make(unit, folder, again))]
    if pending:
        kind_of(recipe).check(recipe, name if isinstance(name, str) else recipe.name)
        require_writable(folder)
        if any(unit.trains for unit, _ in pending):
            require_writable(cache_folder())  # for checkpoints; caches that are only read may lie on a disk that is
        _run(recipe, pending, folder, report, announce, jobs, device)
    else:
        announce(f"already done: records in '{folder}'")
    for unit in units:
        unit.finish(folder)
    return [load_record(path_of(folder, one)) for _, one in named]


def units_of(recipe: AnyRecipe, only: Collection[str] = (), device: Device | None = None) -> list[Unit]:
    """What a recipe is made of.

    Args:
        recipe: Of any kind.
        only: Labels of learners; all of them when left out.
        device: Where they are trained and evaluated.

    Raises:
        UnknownNameError: If it has no such learner.
    """
    units = kind_of(recipe).units(recipe, device)
    labels = [unit.label for unit in units]
    for label in only:
        if label not in labels:
            raise unknown("learner of the recipe", label, labels)
    return [unit for unit in units if not only or unit.label in only]


def folder_of(recipe: AnyRecipe, out: Path | None = None) -> Path:
    """Where the records of a recipe are written."""
    return out or Path("fewshot-results") / recipe.name


def _refuse_to_replace(named: Iterable[tuple[Unit, str]], folder: Path) -> None:
    """Let nothing through that would replace a record of other settings."""
    for unit, name in named:
        path = path_of(folder, name)
        if path.exists() and not has_record(unit, folder, name):
            raise RecordError(
                f"--set must not replace records of other settings, got '{path.name}' of others in '{path.parent}'; "
                "give another folder with --out, or --again to replace them"
            )


def _to_make(unit: Unit, folder: Path, again: bool) -> Replaces:
    """Records of one unit that are to be made, and what each may replace: what is there now, or with ``again`` anything."""
    names = [name for name in unit.names if again or not is_done(unit, folder, name)]
    return {name: ANYTHING if again else content_hash(path_of(folder, name)) for name in names}


def _run(
    recipe: AnyRecipe,
    pending: list[tuple[Unit, Replaces]],
    folder: Path,
    report: Report,
    announce: Announce,
    jobs: int,
    device: Device | None,
) -> None:
    if jobs == 1 or len(pending) == 1:
        for unit, replaces in pending:
            unit.run(folder, replaces, report, announce)
        return
    announce(f"{len(pending)} learners by {jobs} processes")
    keep_freed_memory()
    kind_of(recipe).prepare(recipe, announce, device)
    started = time.perf_counter()
    calls = [(unit, folder, replaces) for unit, replaces in pending]
    for k, label in enumerate(share(_run_quietly, calls, jobs), 1):
        seconds = time.perf_counter() - started
        left = seconds / k * (len(pending) - k) / 60
        announce(f"{k} of {len(pending)} learners after {seconds:.0f} s, about {left:.1f} min left: {label}")


def _run_quietly(unit: Unit, folder: Path, replaces: Replaces) -> str:
    return unit.run(folder, replaces, lambda progress: None, lambda text: None)
