"""Reading recipes: by name or by path, with errors that name the line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from fewshot.errors import RecipeError
from fewshot.plumbing.files import packaged
from fewshot.plumbing.names import unknown
from fewshot.plumbing.yaml_files import YamlFile
from fewshot.recipes.schema import Recipe
from fewshot.recipes.transfer_schema import TransferRecipe
from fewshot.recipes.zero_shot_schema import ZeroShotRecipe

KINDS: dict[str, type[ZeroShotRecipe] | type[TransferRecipe]] = {
    "zero_shot": ZeroShotRecipe,
    "transfer": TransferRecipe,
}
"""By the key that only recipes of this kind have."""


def recipe_names() -> dict[str, str]:
    """Names of the recipes that come with the package, each with its line about it."""
    return {path.stem: load_recipe(str(path)).about for path in sorted(packaged("recipes").glob("*.yaml"))}


def load_recipe(name: str, overrides: Mapping[str, str] | None = None) -> Recipe | ZeroShotRecipe | TransferRecipe:
    """A recipe by name, or from a YAML file; its key ``zero_shot`` or ``transfer`` says of which kind, if any.

    Args:
        name: Name of a packaged recipe, or path of a ``.yaml`` file.
        overrides: Values for dotted keys such as ``training.episodes``, as YAML text.

    Raises:
        UnknownNameError: If there is no such recipe.
        RecipeError: If the file is no YAML, a key is unknown, or a value is out of range; the line is named.
    """
    file = YamlFile.read(_find(name), "recipe", RecipeError)
    for key, value in (overrides or {}).items():
        _override(file.content, key, value)
    kinds = [kind for key, kind in KINDS.items() if key in file.content]
    return file.checked(kinds[0]) if kinds else file.checked(Recipe)


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        return Path(name)
    path = packaged("recipes", f"{name}.yaml")
    if not path.is_file():
        raise unknown("recipe", name, [p.stem for p in packaged("recipes").glob("*.yaml")])
    return path


def _override(content: dict[str, Any], key: str, text: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise RecipeError(f"--set needs the key of a value, got '{key}', where '{section}' holds no keys")
    try:
        content[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"--set needs a value in YAML, got '{key}={text}'") from None
