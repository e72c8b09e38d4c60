"""YAML files that people write, checked against a model, with errors that name the line and the nearest key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fewshot.errors import FewShotError
from fewshot.names import unknown

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class YamlFile:
    """What stands in a file, and where.

    Attributes:
        path: Of the file.
        what: It describes, for messages: ``"recipe"``.
        error: What is raised where it does not.
        content: Of the file, a mapping of keys; may be changed before it is checked.
        tree: The same, with lines.
    """

    path: Path
    what: str
    error: type[FewShotError]
    content: dict[str, Any]
    tree: yaml.Node | None

    @classmethod
    def read(cls, path: Path, what: str, error: type[FewShotError]) -> "YamlFile":
        """Read a file.

        Raises:
            FewShotError: As ``error``, if it is not there, cannot be read, is no YAML or no mapping; the line is named.
        """
        if not path.is_file():
            raise error(f"'{path}' must be a {what} file, got nothing there; check the path")
        try:
            text = path.read_text(encoding="utf-8")
            tree = yaml.compose(text, Loader=yaml.SafeLoader)
            content = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError) as found:
            raise error(f"'{path}' must be a readable {what}, got {found}") from None
        except yaml.MarkedYAMLError as found:
            line = found.problem_mark.line + 1 if found.problem_mark else 1
            raise error(f"'{path}', line {line}: a {what} must be YAML, got {found.problem}") from None
        twice = _key_given_twice(tree)
        if twice is not None:
            raise error(
                f"'{path}', line {twice.start_mark.line + 1}: a key must stand once, got '{twice.value}' again; remove one"
            )
        if not isinstance(content, dict):
            raise error(f"'{path}', line 1: a {what} must be a mapping of keys, got {type(content).__name__}")
        return cls(path, what, error, content, tree)

    def checked(self, model: type[Model], context: Any = None) -> Model:
        """The content as a model.

        Raises:
            FewShotError: As ``error``, if a key is unknown or missing, or a value out of range; the line is named.
        """
        try:
            return model.model_validate(self.content, context=context)
        except ValidationError as error:
            raise self._refusal(model, error) from None

    def _refusal(self, model: type[BaseModel], error: ValidationError) -> FewShotError:
        # an unknown key explains a missing one, so it is told first
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"]) or f"the {self.what}"
        place = f"'{self.path}', line {_line(self.tree, first['loc'])}"
        if first["type"] == "extra_forbidden":
            return self.error(f"{place}: a {self.what} has no key '{where}'{_near(model, first['loc'])}")
        told = first["type"] in (
            "value_error",
            "missing",
        )  # our own sentences say what came; of what is missing, nothing did
        got = "" if told else f", got {first['input']!r}"
        return self.error(f"{place}: '{where}': {first['msg'].removeprefix('Value error, ')}{got}")


def _key_given_twice(tree: Any) -> Any:
    """The second of two equal keys of one mapping, of which YAML would keep the last without a word."""
    if isinstance(tree, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in tree.value:
            if str(key.value) in seen:
                return key
            seen.add(str(key.value))
            found = _key_given_twice(value)
            if found is not None:
                return found
    parts = tree.value if isinstance(tree, yaml.SequenceNode) else []
    return next((found for part in parts if (found := _key_given_twice(part)) is not None), None)


def _near(model: Any, loc: tuple[Any, ...]) -> str:
    """The nearest known key of the same section, as a remedy."""
    for part in loc[:-1]:
        if part in model.model_fields:  # else the number or name of a part, whose model is known from its section
            model = _section(model, part)
    return "; " + str(unknown("key", str(loc[-1]), model.model_fields)).rpartition("; ")[2]


def _section(model: Any, name: str) -> Any:
    """The model of a section, out of an optional, a list or a mapping."""
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
