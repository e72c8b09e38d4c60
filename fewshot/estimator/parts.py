"""Backbone and learner of a classifier: made from names, and named again for the file that keeps them."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from torch import nn

from fewshot.backbones.index import load_backbone
from fewshot.errors import FewShotError
from fewshot.estimator.items import IMAGES, ROWS, TEXTS
from fewshot.learners.index import load_learner, targets

NONE = "none"  # items as they are
FITTED = (
    "backbone",
    "learner",
    "backbone_options",
    "learner_options",
    "prompts",
    "calibrate",
    "seed",
)  # read by fit alone
DEFAULTS = {IMAGES: "efficientnet-lite0", TEXTS: "sentence-transformers:all-MiniLM-L6-v2", ROWS: NONE}


def default_learner(described: Any) -> str:
    """The learner when none is named: one that mixes examples with descriptions where there are descriptions."""
    return "logistic-regression" if described is None else "descriptor-mix"


def make_backbone(backbone: Any, options: dict[str, Any] | None) -> Any:
    """A backbone from its name, loaded once for equal options and files; an object as it is; nothing for ``"none"``.

    Raises:
        UnknownNameError: If nobody knows the name; names the nearest match.
        FewShotError: If it is neither, or takes no such options.
    """
    if backbone == NONE and not options:
        return None
    if not isinstance(backbone, str):
        return load_backbone(backbone, **(options or {}))
    return _loaded(_Named(backbone, _state(options or {}), options or {}))


@dataclass(frozen=True)
class _Named:
    """A backbone's name and options, equal to another's where options and the files that they name are equal."""

    name: str
    state: str
    options: dict[str, Any] = field(compare=False)


@lru_cache(maxsize=2)
def _loaded(named: _Named) -> Any:
    return load_backbone(named.name, **named.options)


def _state(options: dict[str, Any]) -> str:
    """Options, and what tells the files that they name from those that lay there before."""
    paths = [Path(value) for value in options.values() if isinstance(value, (str, Path))]
    files = [file for path in paths if path.exists() for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    stats = [(str(file), stat.st_mtime_ns, stat.st_size, stat.st_ino) for file in files if (stat := file.stat())]
    return repr((sorted(options.items()), stats))


def as_given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Those parameters of an estimator that only ``fit`` reads, as they are now: containers are copied."""
    return {name: copy.deepcopy(v) if isinstance(v := parameters[name], (dict, list)) else v for name in FITTED}


def require_unchanged(parameters: dict[str, Any], made: Mapping[str, Any]) -> None:
    """Let parameters pass that are those of ``fit``.

    Raises:
        FewShotError: If one is another; names it.
    """
    for name, value in made.items():
        if not _is_equal(parameters[name], value):
            raise FewShotError(
                f"{name} must be as in fit for more examples, got {parameters[name]!r} after {value!r}; call fit anew"
            )


def _is_equal(one: Any, other: Any) -> bool:
    try:
        return one is other or bool(one == other)
    except (ValueError, RuntimeError, TypeError):  # arrays are not equal as a whole
        return repr(one) == repr(other)


def writes(backbone: Any) -> list[int]:
    """How often each tensor of a module was written to in place; nothing for others."""
    if not isinstance(backbone, nn.Module):
        return []
    tensors = (*backbone.parameters(), *backbone.buffers())
    return [tensor._version for tensor in tensors if not tensor.is_inference()]


def make_learner(learner: Any, options: dict[str, Any] | None) -> Any:
    """A learner from its name; of a module a copy in eval mode; any other object as it is.

    Raises:
        UnknownNameError: If nobody knows the name; names the nearest match.
        FewShotError: If it is no learner, or takes no such options.
    """
    if isinstance(learner, str):
        return load_learner(learner, **(options or {}))
    if not hasattr(learner, "adapt") or isinstance(learner, type):
        raise FewShotError(f"learner must be a name, or an object with 'adapt', got {learner!r}")
    if options:
        raise FewShotError(f"learner_options belong to a name, got {options} beside an object; set them on it")
    return copy.deepcopy(learner).eval() if isinstance(learner, nn.Module) else learner


def named_backbone(backbone: Any, options: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Name and options from which another process makes the same backbone.

    Raises:
        FewShotError: If it was given as an object.
    """
    if not isinstance(backbone, str):
        raise FewShotError(
            f"a backbone must have a name to be saved, got a {type(backbone).__name__}; give it by name with "
            "backbone_options={'weights': FILE}, or offer it as an entry point in 'fewshot.backbones'"
        )
    return backbone, plain(options or {}, "backbone_options")


def named_learner(learner: Any, options: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Name and options from which another process makes the same learner.

    Raises:
        FewShotError: If it is an object that no name and no plain options make.
    """
    if isinstance(learner, str):
        return learner, plain(options or {}, "learner_options")
    target = f"{type(learner).__module__}:{type(learner).__qualname__}"
    names = [name for name, known in targets().items() if known == target]
    if not names or not is_dataclass(learner):
        raise FewShotError(
            f"a learner must have a name to be saved, got a {type(learner).__name__}; give it by name with "
            "learner_options, or offer it as an entry point in 'fewshot.learners'"
        )
    return names[0], plain({f.name: getattr(learner, f.name) for f in fields(learner)}, f"options of '{names[0]}'")


def plain(options: dict[str, Any], what: str) -> dict[str, Any]:
    """Options that JSON keeps as they are.

    Raises:
        FewShotError: If there is another; it is named.
    """
    for name, value in options.items():
        try:
            kept = json.loads(json.dumps(value)) == value
        except (TypeError, ValueError):
            kept = False
        if not kept:
            raise FewShotError(f"{what} must be plain values to be saved, got {name}={type(value).__name__}")
    return options
