"""YAML files that people write, checked against a model, with errors that name the line and the nearest key."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from fewshot.errors import FewShotError
from fewshot.plumbing.names import unknown
from fewshot.plumbing.reading import in_one_sentence, reason, require_unicode

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
        with in_one_sentence(f"'{path}' must be a readable {what}", "save it as plain YAML", error):
            text = path.read_text(encoding="utf-8-sig")
            try:
                tree, content = _parsed(text)
            except yaml.YAMLError as found:
                raise error(
                    f"'{path}', line {_line_of(found, text)}: a {what} must be YAML, got {_problem(found)}"
                ) from None
        for node in _nodes(tree):
            if isinstance(node, yaml.ScalarNode):
                require_unicode(f"'{path}', line {node.start_mark.line + 1}: a {what}", [node.value], error)
        twice = _key_given_twice(tree)
        if twice is not None:
            raise error(
                f"'{path}', line {twice.start_mark.line + 1}: a key must occur once, got '{twice.value}' again; remove one"
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
        # an unknown key explains a missing one, so it is reported first
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        where = ".".join(str(part) for part in first["loc"]) or f"the {self.what}"
        place = f"'{self.path}', line {_line(self.tree, first['loc'])}"
        if first["type"] == "extra_forbidden":
            return self.error(f"{place}: a {self.what} has no key '{where}'{_near(model, first['loc'])}")
        told = first["type"] in (
            "value_error",
            "missing",
        )  # our own sentences have the value; a missing key has none
        got = "" if told else f", got {first['input']!r}"
        return self.error(f"{place}: '{where}': {first['msg'].removeprefix('Value error, ')}{got}")


def _parsed(text: str) -> tuple[yaml.Node | None, Any]:
    """The tree with lines, and what it says."""
    loader = yaml.SafeLoader(text)
    try:
        tree = loader.get_single_node()
        # of a copy where keys are merged in by <<, for in the tree they would stand twice
        return tree, None if tree is None else loader.construct_document(copy.deepcopy(tree) if "<<" in text else tree)
    finally:
        loader.dispose()


def _line_of(error: yaml.YAMLError, text: str) -> int:
    """Line of an error, counted from 1."""
    if isinstance(error, yaml.MarkedYAMLError):
        return error.problem_mark.line + 1 if error.problem_mark else 1
    return text.count("\n", 0, getattr(error, "position", 0)) + 1


def _problem(error: yaml.YAMLError) -> str:
    return (error.problem if isinstance(error, yaml.MarkedYAMLError) else None) or reason(error)


def _nodes(tree: Any) -> Iterator[Any]:
    """All nodes in the order of the file, each once: what an alias names stands in many places, perhaps inside itself."""
    known: set[int] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if id(node) not in known:
            known.add(id(node))
            yield node
            inner = node.value if isinstance(node, yaml.CollectionNode) else []
            waiting += reversed([one for part in inner for one in (part if isinstance(part, tuple) else (part,))])


def _key_given_twice(tree: Any) -> Any:
    """The second of two equal keys of one mapping, of which YAML would keep the last without a word."""
    for node in _nodes(tree):
        if isinstance(node, yaml.MappingNode):
            keys = [str(key.value) for key, _ in node.value]
            twice = [k for k, key in enumerate(keys) if key in keys[:k]]
            if twice:
                return node.value[twice[0]][0]
    return None


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
