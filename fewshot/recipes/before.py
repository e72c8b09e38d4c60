"""What a run refuses before anything is trained."""

from collections.abc import Iterable
from pathlib import Path

from fewshot.datasets.index import load_dataset
from fewshot.errors import RecipeError, RecordError, UnknownNameError
from fewshot.recipes.rows import load_queries
from fewshot.recipes.schema import Recipe


def refuse_to_replace(records: Iterable[tuple[Path, bool]]) -> None:
    """Let nothing through that would replace a record of other settings.

    Args:
        records: Each file that would be written, and whether a record with the very settings is there.

    Raises:
        RecordError: If a file is there that has other settings; names its folder.
    """
    for path, same in records:
        if path.exists() and not same:
            raise RecordError(
                f"--set must not replace records of other settings, got '{path.name}' of others in '{path.parent}'; "
                "give another folder with --out, or --again to replace them"
            )


def require_splits(name: str, recipe: Recipe) -> None:
    """Let a recipe pass only if its data have the splits that are asked.

    Args:
        name: Name or file of the recipe, for the message.
        recipe: Of one learner or many.

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
                raise RecipeError(f"'{name}', 'evaluation.{key}': {error} (split: null asks all items)") from None
    try:
        load_queries(recipe)
    except UnknownNameError as error:
        raise RecipeError(f"'{name}', 'evaluation.queries': {error}") from None
