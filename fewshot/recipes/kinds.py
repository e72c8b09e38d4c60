"""The kinds of recipes, and what running one needs to know of each."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fewshot.plumbing.device import Device
from fewshot.recipes import few_shot, transfer, zero_shot
from fewshot.recipes.schema import Recipe
from fewshot.recipes.transfer_schema import TransferRecipe
from fewshot.recipes.units import Announce, Unit
from fewshot.recipes.zero_shot_schema import ZeroShotRecipe

AnyRecipe = Recipe | ZeroShotRecipe | TransferRecipe


@dataclass(frozen=True)
class Kind:
    """What running a recipe of a kind needs.

    Attributes:
        units: Of a recipe, in its order, on a device.
        check: Refuses a recipe that cannot be run, before anything is computed; gets the name or file of the recipe.
        prepare: What all processes share is computed once, before they start.
    """

    units: Callable[[Any, Device | None], list[Unit]]
    check: Callable[[Any, str], None] = lambda recipe, name: None
    prepare: Callable[[Any, Announce, Device | None], None] = lambda recipe, announce, device: None


KINDS: dict[type, Kind] = {
    Recipe: Kind(few_shot.units_of, few_shot.require_splits, few_shot.embed_once),
    ZeroShotRecipe: Kind(zero_shot.units_of),
    TransferRecipe: Kind(transfer.units_of),
}


def kind_of(recipe: AnyRecipe) -> Kind:
    """The kind of a recipe."""
    return KINDS[type(recipe)]
