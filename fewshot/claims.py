"""What a learner claims of itself, and what it is made of: the one place that reads either."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from fewshot.errors import FewShotError

SCORES = ("log-probability", "rank")
MARKS = ("adapt", "preprocess", "classes_seen")  # what has one of them, or is a module, is a part of a learner


@dataclass(frozen=True)
class Claims:
    """What a learner says of itself; the defaults hold where it says nothing.

    Attributes:
        transductive: Whether scores of a query may depend on the other queries of the call.
        scores: ``"log-probability"``, or ``"rank"`` where a softmax of the scores means nothing.
        batch_norm: By which statistics its batch norm layers normalise; see `fewshot.learners.gradient.batch_norm`.
        class_symmetric: Whether renaming the classes only permutes the scores; not so with a random head.
        prepares: Whether it takes items as the collection holds them, uint8 pixels too, and prepares them for its
            network itself. Left out: whether a part of it has a ``preprocess``.
        assumes_balanced_queries: Whether a transductive learner is at home only where each class has as many queries; what
            it answers is then shown with a warning.
        classes_seen: Qualified names of the classes that it, or a part of it, was trained on.
    """

    transductive: bool = False
    scores: str = "log-probability"
    batch_norm: str = "running"
    class_symmetric: bool = True
    prepares: bool = False
    assumes_balanced_queries: bool = False
    classes_seen: frozenset[str] = frozenset()


def claims_of(learner: Any) -> Claims:
    """What a learner claims; where it says nothing, what its ``head`` claims.

    Raises:
        FewShotError: If it claims what nobody understands.
    """
    scores, batch_norm, found = _claim(learner, "scores"), _claim(learner, "batch_norm"), parts(learner)
    if scores not in SCORES:
        raise FewShotError(f"scores must be '{SCORES[0]}' or '{SCORES[1]}', got {scores!r} in {_name(learner)}")
    transductive, balanced = _truth(learner, "transductive"), _truth(learner, "assumes_balanced_queries")
    if balanced and not transductive:
        raise FewShotError(
            "a learner that assumes balanced queries must be transductive, got one that answers each query by itself: "
            f"{_name(learner)}"
        )
    return Claims(
        transductive=transductive,
        assumes_balanced_queries=balanced,
        scores=scores,
        batch_norm=batch_norm if isinstance(batch_norm, str) else Claims.batch_norm,  # a layer of that name is no claim
        class_symmetric=_truth(learner, "class_symmetric"),
        prepares=_truth(learner, "prepares", any(callable(getattr(part, "preprocess", None)) for part in found)),
        classes_seen=frozenset(name for part in found for name in getattr(part, "classes_seen", ())),
    )


def parts(learner: Any) -> list[Any]:
    """The learner and all that it is made of, each once: learners, backbones and modules in its attributes, however deep.

    A learner around another needs no base class and no word for that: what it holds is found.
    """
    found: dict[int, Any] = {}
    pending = [learner]
    while pending:
        one = pending.pop()
        if id(one) not in found:
            found[id(one)] = one
            pending += [value for value in _held(getattr(one, "__dict__", {})) if _is_part(value)]
    return list(found.values())


def tensors_of(learner: Any) -> list[Tensor]:
    """Parameters, buffers and other tensors of a learner and of all that it is made of, each once."""
    held = (value for part in parts(learner) for value in _held(getattr(part, "__dict__", {})))
    return list({id(value): value for value in held if isinstance(value, Tensor)}.values())


def _claim(learner: Any, name: str, default: Any = None) -> Any:
    if hasattr(learner, name):
        return getattr(learner, name)
    head = getattr(learner, "head", None)
    if hasattr(head, "adapt") and name != "prepares":  # a head takes what is in front of it
        return _claim(head, name, default)
    return getattr(Claims, name) if default is None else default


def _truth(learner: Any, name: str, default: bool | None = None) -> bool:
    value = _claim(learner, name, default)
    if not isinstance(value, (bool, np.bool_)):
        raise FewShotError(f"{name} must be True or False, got {value!r} in {_name(learner)}")
    return bool(value)


def _name(learner: Any) -> str:
    return type(learner).__name__


def _held(values: Any) -> Iterator[Any]:
    """Values of a dictionary, or items of a list, and what lies in those that are one in turn."""
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, (dict, list, tuple)):
            yield from _held(value)
        else:
            yield value


def _is_part(value: Any) -> bool:
    """Looked up on the type and in the object's own attributes, so that no property runs."""
    own = getattr(value, "__dict__", {})
    named = any(mark in own or hasattr(type(value), mark) for mark in MARKS)
    return isinstance(value, nn.Module) or (named and not isinstance(value, type))
