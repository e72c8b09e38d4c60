"""From a learner's name to a learner: on its backbone, with base classes where it takes them."""

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from fewshot.backbones.prompts import Prompts
from fewshot.contract import taken
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import IndexEpisodes
from fewshot.errors import NotFittedError
from fewshot.evaluation.answers import support_set
from fewshot.evaluation.embedded import features_of
from fewshot.learners.index import find_learner, load_learner


def assemble(
    name: str,
    options: dict[str, Any],
    backbone: Any = None,
    base: Collection | None = None,
    prompts: Sequence[str] = (),
) -> Any:
    """The learner of a name: a head on the backbone's features, or one that is made of the backbone.

    Args:
        name: Of the learner.
        options: Of the learner; ``dim`` is that of the backbone where the learner needs one and none is given.
        backbone: Makes the features; without one the learner takes the items.
        base: Base classes that a learner with ``with_base`` sees: the items, not yet embedded.
        prompts: Templates in which the backbone embeds texts that describe classes; without one they stay texts.

    Raises:
        UnknownNameError: If nobody knows the learner.
        FewShotError: If an option is wrong or missing.
        NotFittedError: If base classes are given to a learner that does not take them.
    """
    wanted = inspect.signature(find_learner(name)).parameters
    if backbone is None:
        return with_base(load_learner(name, **options), base)
    if "backbone" in wanted:
        return load_learner(name, backbone=backbone, **options)
    if "dim" in wanted and wanted["dim"].default is inspect.Parameter.empty:
        options = {"dim": backbone.dim} | options
    whole = Embedded(backbone, load_learner(name, **options), Prompts(backbone, prompts) if prompts else None)
    return whole if base is None else taught(whole, base)


def sees_base(learner: Any) -> bool:
    """Whether a learner, or the head of one on a backbone, sees base classes beforehand."""
    return hasattr(learner.head if isinstance(learner, Embedded) else learner, "with_base")


def taught(learner: Any, base: Collection) -> Any:
    """A learner that has seen all items of the base classes; one on a backbone gets another head.

    Raises:
        NotFittedError: If it does not take base classes.
    """
    if not isinstance(learner, Embedded):
        return with_base(learner, base)
    learner.head = with_base(learner.head, features_of(learner, base))
    return learner


def takes_base(name: str) -> bool:
    """Whether the learner of a name sees base classes beforehand."""
    return hasattr(find_learner(name), "with_base")


def with_base(learner: Any, base: Collection | None) -> Any:
    """A new learner that has seen all items of the base classes.

    Raises:
        NotFittedError: If the learner does not take base classes.
    """
    if base is None:
        return learner
    if not hasattr(learner, "with_base"):
        raise NotFittedError(
            f"base classes are for learners that see them, got {type(learner).__name__}; leave them out"
        )
    rows, classes = np.arange(len(base))[None], np.arange(len(base.class_names))[None]
    none = np.zeros((1, 0), np.int64)
    whole = IndexEpisodes(np.zeros(1, np.int64), classes, rows, base.labels[None], none, none)
    return learner.with_base(support_set(base, whole).map(partial(taken, learner)))
