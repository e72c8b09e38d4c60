"""What ``evaluate`` computes: the row of a recipe, with sentences for items that learner or backbone cannot take."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fewshot.cli.objects.one_row import build
from fewshot.cli.terminal.output import note
from fewshot.cli.terminal.progress import progress_line
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, NotFittedError, ShapeError
from fewshot.evaluation.answers import eval_mode, score, support_set
from fewshot.plumbing.device import Device, device_of, placed
from fewshot.recipes.data import RowData
from fewshot.recipes.rows import judge_row
from fewshot.recipes.schema import Recipe
from fewshot.records.choice import Choice
from fewshot.records.record import Record, TrainingInfo
from fewshot.tasks.overlap import asked_classes
from fewshot.tasks.target import make_sampler, require_alike
from fewshot.training.memory import keep_freed_memory

WITH_BASE = {"method": "with_base, all items of the split"}


def judge(recipe: Recipe, data: RowData, chosen: Choice | None = None, device: Device | None = None) -> Record:
    """The record of a recipe of one row.

    Args:
        recipe: Learner, backbone, data and episodes by name.
        data: Of its row.
        chosen: How the options were chosen, if they were.
        device: Where to compute.

    Raises:
        FewShotError: As `fewshot.evaluate`, or if the items are none that the learner can take.
    """
    if chosen is not None:
        chosen.require_new(tuple(asked_classes(data.novel, data.queries)))  # before anything is computed
    keep_freed_memory()
    with unfit_items_told(recipe, data.whole):  # base classes are embedded here
        built, _ = placed(build(recipe, data.whole), device)
    row = recipe.evaluation.rows[0]
    with progress_line() as report:
        try:
            query_once(recipe, built, data, recipe.evaluation.spec(row))
            record = judge_row(recipe, row, built, {}, data, chosen=chosen, report=report, announce=note, device=device)
        except NotFittedError as error:
            raise NotFittedError(f"{error} (here: --base train, or another split)") from None
    if recipe.base is None:
        return record
    base = data.whole.split(recipe.base)
    training = TrainingInfo(split=recipe.base, budget=WITH_BASE, seed=0, classes_hash=base.hash)
    return record.model_copy(update={"training": training}).with_answers(record.load_answers())


def query_once(recipe: Recipe, learner: Any, data: RowData, spec: EpisodeSpec) -> None:
    """One episode in advance, so that items which learner or backbone cannot take are refused in a sentence.

    Raises:
        EpisodeError: If the data have too few classes or items for an episode; names the options.
        ShapeError: If learner or backbone cannot take the items.
    """
    try:
        sampler = make_sampler(data.novel, spec, 0, data.queries)
    except EpisodeError as error:
        told = str(error).replace("leave small classes out", "leave small classes out with --min-items")
        raise EpisodeError(f"{told} (here: --way, --shot, --query)") from None
    (batch,) = sampler.groups(0, 1)
    place = device_of(learner)
    first, second = data.novel.on(place), (data.queries or data.novel).on(place)
    require_alike(first, second)
    support = support_set(first, batch, sampler.seeds(batch.index), pool=second)
    query = second.take(batch.query)
    with unfit_items_told(recipe, data.novel), eval_mode(learner):
        score(learner, support, query)


@contextmanager
def unfit_items_told(recipe: Recipe, queried: Collection) -> Iterator[None]:
    """Turns complaints about shapes and types of items into a sentence with what to do.

    Raises:
        ShapeError: If learner or backbone cannot take the items.
    """
    try:
        yield
    except ShapeError as error:
        remedy = " (here: --backbone none gives it the items as they are)" if recipe.backbone == "pixels" else ""
        raise ShapeError(f"{error}{remedy}") from None
    except RuntimeError as error:  # torch's own complaint about shapes and types
        complaint, one = str(error).partition("\n")[0], queried.take(np.zeros(1, int))
        raise ShapeError(
            f"learner '{recipe.learner}' and backbone '{recipe.backbone}' must take items {tuple(one.shape[1:])} "
            f"of type {one.dtype}, got: {complaint}"
        ) from error
