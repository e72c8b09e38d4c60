"""From names to a recipe of one row: what ``evaluate`` and ``tune`` are given on a command line."""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot.errors import DataError, FewShotError, NotFittedError

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.episodes import EpisodeSpec
    from fewshot.recipes.schema import Recipe
    from fewshot.records.choice import Choice

TEXT_BACKBONE = "sentence-transformers:all-MiniLM-L6-v2"
NAME = "one-row"


def one_row(
    data: str,
    learner: str,
    spec: "EpisodeSpec",
    *,
    data_options: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    backbone: str | None = "pixels",
    backbone_options: dict[str, Any] | None = None,
    base: str | None = None,
    queries: str | None = None,
    **evaluation: Any,
) -> "Recipe":
    """A recipe of one learner and one row.

    Args:
        data: Name or path of the data.
        learner: Name of the learner.
        spec: Shape of the episodes.
        data_options: Of the loader.
        options: Of the learner.
        backbone: Name of the backbone; nothing for the items as they are.
        backbone_options: Of the backbone.
        base: Split whose classes the learner sees beforehand.
        queries: Name or path of a second collection with the same classes.
        evaluation: Further keys of the recipe's section of this name.
    """
    from fewshot.recipes.schema import Recipe

    row = {"way": spec.way, "shot": spec.shot, "dirichlet": spec.dirichlet}
    row |= {"open_way": spec.open_way, "open_query": spec.open_query}
    section = {"split": None, "queries": queries, "query": spec.query, "open_interval": False, "rows": [row]}
    recipe: Recipe = Recipe.model_validate(
        {
            "name": NAME,
            "data": data,
            "data_options": data_options or {},
            "learner": learner,
            "learner_options": options or {},
            "backbone": backbone,
            "backbone_options": backbone_options or {},
            "base": base,
            "evaluation": section | evaluation,
        }
    )
    return recipe


def load_whole(recipe: "Recipe") -> "Collection":
    """All of the data, with their splits; data without are halved where a half is named.

    Raises:
        DataError: If the data are not there, or damaged.
        UnknownNameError: If nobody knows the data.
    """
    from fewshot.datasets.index import load_dataset
    from fewshot.recipes.data import with_halves

    if not recipe.data:
        raise DataError("--data must be a name or a path, got ''; see: fewshot-bench list datasets")
    return with_halves(load_dataset(recipe.data, **recipe.data_options), recipe.evaluation.split)


def completed(recipe: "Recipe", whole: "Collection", split: str | None, backbone: str | None) -> "Recipe":
    """The recipe with what the data decide: split, backbone, and the size of a user's own photos.

    Args:
        recipe: Of one row.
        whole: All of its data.
        split: As given: ``"all"`` for all items, nothing for ``test`` where there are splits.
        backbone: As given: ``"none"`` for the items as they are, nothing for pixels or arrays in one row.

    Raises:
        FewShotError: If texts come without a backbone.
    """
    if split is None:
        split = "test" if whole.splits else "all"
    section = recipe.evaluation.model_copy(update={"split": None if split == "all" else split})
    if backbone is None and is_text(whole.items):
        raise FewShotError(f"texts need a backbone, got none for '{recipe.data}'; add --backbone {TEXT_BACKBONE}")
    named = None if backbone == "none" else backbone or "pixels"
    sized = {"data_options": _with_size(recipe, whole), "evaluation": section, "backbone": named}
    return recipe.model_copy(update=sized)


def _with_size(recipe: "Recipe", whole: "Collection") -> dict[str, Any]:
    """Options of the loader, with the size of a user's own photos also where it was left out."""
    from fewshot.datasets.formats.tables import TABLES
    from fewshot.datasets.index import is_own

    sized = Path(recipe.data).suffix.lower() in ("", ".zip", *TABLES) or Path(recipe.data).is_dir()
    if not (sized and is_own(recipe.data) and whole.items.ndim == 4):
        return recipe.data_options
    return {"size": int(whole.items.shape[-1])} | recipe.data_options


def name_of(recipe: "Recipe", more: Any = None, device: str = "cpu") -> str:
    """A name for a result: readable, and different for different settings.

    Args:
        recipe: Of one row.
        more: What else decides the result.
        device: Where it is computed; results of another device than the CPU have names of their own.
    """
    from fewshot.recipes.rows import resolved

    row = recipe.evaluation.rows[0]
    settings = [resolved(recipe, row), more, *([] if device == "cpu" else [device])]
    key = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:8]
    stems = [Path(one).stem for one in (recipe.data, recipe.evaluation.queries) if one]
    parts = [*stems, recipe.backbone or "", recipe.learner, f"{row.way}w{row.shot}s", key]
    return "-".join(re.sub(r"[^\w.]+", "-", part).strip("-.") for part in parts if part)


def build(recipe: "Recipe", whole: "Collection", backbone: Any = None, options: dict[str, Any] | None = None) -> Any:
    """The learner, on its backbone and with its base classes where it has them.

    Args:
        recipe: Of one row.
        whole: All of its data.
        backbone: Loaded before; loaded here when left out.
        options: Of the learner, beyond the recipe's.

    Raises:
        UnknownNameError: If nobody knows learner or backbone.
        NotFittedError: If base classes are given to a learner that does not take them.
        FewShotError: If an option is wrong, or the learner needs a trained network.
    """
    from fewshot.evaluation.assemble import sees_base
    from fewshot.recipes.build import build_learner

    try:
        learner = build_learner(recipe, options, data=whole, backbone=backbone)
    except FewShotError as error:
        if recipe.backbone in (None, "pixels") and _is_trained(recipe.learner):
            raise FewShotError(
                f"learner '{recipe.learner}' needs a trained network, got the backbone '{recipe.backbone or 'none'}'; "
                "take a recipe that trains one, see: fewshot-bench list recipes"
            ) from error
        raise
    if recipe.base is not None and not sees_base(learner):
        raise NotFittedError(f"base classes are for learners that see them, got '{recipe.learner}'; leave out --base")
    return learner


def named_choice(choice: "Choice", recipe: "Recipe") -> "Choice":
    """A choice of options with the names of the recipe."""
    data = {"name": recipe.data, "options": recipe.data_options, "split": recipe.evaluation.split}
    known: dict[str, Any] = {"learner": recipe.learner, "data": choice.data.model_copy(update=data)}
    if choice.backbone is not None:
        known["backbone"] = choice.backbone.model_copy(update={"name": recipe.backbone})
    return choice.model_copy(update=known)


def _is_trained(learner: str) -> bool:
    """Whether a learner is made for a network of its own that episodes have trained, or trains weights of a known size."""
    import inspect

    from fewshot.learners.index import LEARNERS, find_learner

    size = inspect.signature(find_learner(learner)).parameters.get("dim")
    gradient = learner in LEARNERS and LEARNERS[learner].family == "gradient"
    return gradient or (size is not None and size.default is inspect.Parameter.empty)


def is_text(items: Any) -> bool:
    """Whether items are texts."""
    return getattr(getattr(items, "dtype", None), "kind", "") in ("T", "U")
