"""Reading recipes: by name or by path, with errors that name the line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fewshot.errors import RecipeError
from fewshot.files import packaged
from fewshot.names import unknown
from fewshot.recipes.schema import Recipe
from fewshot.recipes.zero_shot_schema import ZeroShotRecipe


def recipe_names() -> dict[str, str]:
    """Names of the recipes that come with the package, each with its line about it."""
    return {path.stem: load_recipe(str(path)).about for path in sorted(packaged("recipes").glob("*.yaml"))}


def load_recipe(name: str, overrides: Mapping[str, str] | None = None) -> Recipe | ZeroShotRecipe:
    """A recipe by name, or from a YAML file; one with the key ``zero_shot`` is of the second kind.

    Args:
        name: Name of a packaged recipe, or path of a ``.yaml`` file.
        overrides: Values for dotted keys such as ``training.episodes``, as YAML text.

    Raises:
        UnknownNameError: If there is no such recipe.
        RecipeError: If the file is no YAML, a key is unknown, or a value is out of range; the line is named.
    """
    path = _find(name)
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"'{path}' must be a readable recipe, got {error}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"'{path}', line {line}: a recipe must be YAML, got {error.problem}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"'{path}', line 1: a recipe must be a mapping of keys, got {type(content).__name__}")
    for key, value in (overrides or {}).items():
        _override(content, key, value)
    return _validate(content, path, tree)


def _find(name: str) -> Path:
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise RecipeError(f"'{name}' must be a recipe file, got nothing there; see: fewshot-bench list recipes")
        return path
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


def _validate(content: dict[str, Any], path: Path, tree: Any) -> Recipe | ZeroShotRecipe:
    model: type[Recipe] | type[ZeroShotRecipe] = ZeroShotRecipe if "zero_shot" in content else Recipe
    try:
        return model.model_validate(content)
    except ValidationError as error:
        # an unknown key explains a missing one, so it is told first
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"]) or "the recipe"
        line = _line(tree, first["loc"])
        if first["type"] == "extra_forbidden":
            raise RecipeError(
                f"'{path}', line {line}: a recipe has no key '{where}'{_near(model, first['loc'])}"
            ) from None
        got = "" if first["type"] == "value_error" else f", got {first['input']!r}"  # our own sentences say what came
        raise RecipeError(
            f"'{path}', line {line}: '{where}': {first['msg'].removeprefix('Value error, ')}{got}"
        ) from None


def _near(model: Any, loc: tuple[Any, ...]) -> str:
    """The nearest known key of the same section, as a remedy."""
    for part in loc[:-1]:
        if isinstance(part, str):
            model = _section(model, part)
    return "; " + str(unknown("key", str(loc[-1]), model.model_fields)).rpartition("; ")[2]


def _section(model: Any, name: str) -> Any:
    """The model of a section, out of an optional or a list."""
    annotation = model.model_fields[name].annotation
    inner = [a for a in getattr(annotation, "__args__", (annotation,)) if hasattr(a, "model_fields")]
    return inner[0] if inner else model


def _line(tree: Any, loc: tuple[Any, ...]) -> int:
    """Line of a key in the file, counted from 1; of the section it would be in, where it is missing."""
    line = tree.start_mark.line
    for part in loc:
        if isinstance(tree, yaml.MappingNode):
            found = [(k, v) for k, v in tree.value if k.value == part]
            if not found:
                break
            line, tree = found[0][0].start_mark.line, found[0][1]
        elif isinstance(tree, yaml.SequenceNode) and isinstance(part, int) and part < len(tree.value):
            tree = tree.value[part]
            line = tree.start_mark.line
    return int(line) + 1
