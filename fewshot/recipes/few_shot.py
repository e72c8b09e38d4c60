"""Recipes of episodes as units of work: a learner, its training, and a record for each row."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewshot.datasets.index import load_dataset
from fewshot.errors import RecipeError, UnknownNameError
from fewshot.evaluation.guard import is_fixed
from fewshot.plumbing.device import Device, placed
from fewshot.recipes.build import build_learner
from fewshot.recipes.curves import write_curves
from fewshot.recipes.data import load_queries
from fewshot.recipes.rows import is_same, judge_row, row_name
from fewshot.recipes.schema import Recipe, Row
from fewshot.recipes.trained import trained
from fewshot.recipes.units import Announce, Replaces, Report, Unit, path_of
from fewshot.records.record import Record
from fewshot.training.memory import keep_freed_memory


@dataclass(frozen=True)
class Trained:
    """A recipe of one learner: it is trained where the recipe says so, then evaluated on every row."""

    recipe: Recipe
    device: Device | None = None  # where it is trained and evaluated

    @property
    def label(self) -> str:
        """What the table calls the learner."""
        return self.recipe.label or self.recipe.name

    @property
    def trains(self) -> bool:
        """Whether it writes checkpoints."""
        return bool(self.recipe.training or self.recipe.pretraining)

    @property
    def rows(self) -> dict[str, Row]:
        """The rows by the names of their records."""
        return {row_name(self.recipe, row): row for row in self.recipe.evaluation.rows}

    @property
    def names(self) -> list[str]:
        """Of its records, in the order of the rows."""
        return list(self.rows)

    def is_same(self, record: Record, name: str) -> bool:
        """Whether a record was made with the settings of this one."""
        return is_same(record, self.recipe, self.rows[name])

    def run(self, folder: Path, replaces: Replaces, report: Report, announce: Announce) -> str:
        """Train, evaluate the rows that are missing, save; the label of the learner comes back."""
        keep_freed_memory()
        learner, known = trained(self.recipe, report, announce, self.device)
        for name, what in replaces.items():
            announce(f"evaluating {name}")
            record = judge_row(self.recipe, self.rows[name], learner, known, announce=announce, device=self.device)
            record.save(path_of(folder, name), what)
        write_curves(self.recipe, folder)
        return self.label

    def finish(self, folder: Path) -> None:
        """Learning curves of a run that was killed when all but these were written."""
        write_curves(self.recipe, folder, missing=True)


def units_of(recipe: Recipe, device: Device | None = None) -> list[Unit]:
    """A unit for each learner."""
    return [Trained(one, device) for one in recipe.singles()]


def embed_once(recipe: Recipe, announce: Announce, device: Device | None = None) -> None:
    """Fill the cache with the features that all learners share, before several processes look for them."""
    first = recipe.singles()[0]
    data, section = load_dataset(first.data, **first.data_options), first.evaluation
    backbone: Any = getattr(build_learner(first.model_copy(update={"base": None})), "backbone", None)
    if backbone is None or not is_fixed(backbone):
        return
    chosen_on = first.validation.split if first.validation else None
    parts = [part for part in dict.fromkeys([section.split, section.ask, first.base, chosen_on]) if part is not None]
    needed = data if len(parts) != 1 else data.split(parts[0])
    for one in (needed, load_queries(first)):
        if one is not None:
            announce(f"features of {one.name}")
            one.embed(placed(backbone, device)[0])


def require_splits(recipe: Recipe, name: str) -> None:
    """Let a recipe pass only if its data have the splits that are queried.

    Args:
        recipe: Of one learner or many.
        name: Name or file of the recipe, for the message.

    Raises:
        RecipeError: If they have not.
        DataError: If data are not there, or damaged.
    """
    section = recipe.evaluation
    asked = {key: split for key in ("split", "ask") if (split := getattr(section, key)) is not None}
    different = {repr(data): data for data in map(recipe.asked, section.rows)}
    for data, options in different.values() if asked else ():
        whole = load_dataset(data, **options)
        for key, split in asked.items():
            try:
                whole.rows_of(split)
            except UnknownNameError as error:
                raise RecipeError(f"'{name}', 'evaluation.{key}': {error} (split: null takes all items)") from None
    try:
        load_queries(recipe)
    except UnknownNameError as error:
        raise RecipeError(f"'{name}', 'evaluation.queries': {error}") from None
