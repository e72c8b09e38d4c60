"""Answers to a task: to the queries of episodes, or to all items of classes that descriptors name."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, singledispatch
from typing import Any

import torch

from fewshot.claims import claims_of
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.evaluation.answers import eval_mode
from fewshot.evaluation.audit.exposure import exposure
from fewshot.evaluation.choose_gamma import choose_gamma
from fewshot.evaluation.class_scores import joint_answers, known_scores, learns, teach, zero_shot_counts
from fewshot.evaluation.collect import Drawn, Report, answer
from fewshot.evaluation.describe import describe_backbone, describe_learner
from fewshot.evaluation.embedded import embedded
from fewshot.evaluation.guard import check_answers, check_items_alone, is_fixed
from fewshot.plumbing.device import Device
from fewshot.tasks.answered import OfClasses, OfEpisodes
from fewshot.tasks.generalised import Generalised
from fewshot.tasks.zero_shot import ZeroShot, split_info

LARGE = 2**21  # bytes of an episode's items from which on it is scored by itself


@dataclass(frozen=True)
class How:
    """What decides how a task is computed, and no number.

    Attributes:
        batch: Episodes that are scored in one call; as many as fill a cache, not memory, when left out.
        keep_scores: Keep every score in the answers.
        cache: Whether features may be read from, and written to, the cache folder.
        report: Told after every batch how many episodes are done, and how many there are.
        device: Where to compute; where the learner is, when left out.
    """

    batch: int | None = None
    keep_scores: bool = False
    cache: bool = True
    report: Report = lambda done, count: None
    device: Device | None = None


@dataclass(frozen=True, eq=False)
class Ready:
    """A learner and the collections that it takes: features, with the head alone, where its backbone is fixed."""

    learner: Any
    head: Any
    items: Collection
    queries: Collection


def ready(learner: Any, task: Any, device: torch.device, cache: bool) -> Ready:
    """Embed each item once where the backbone is fixed; its features of one item must not depend on the others.

    Args:
        learner: On the device.
        task: What is queried.
        device: Where items go.
        cache: Whether features may be read from, and written to, the cache folder.

    Raises:
        LeakageError: If they change with the other items of a call.
    """
    backbone, items = getattr(learner, "backbone", None), task.items.on(device)
    queries = None if task.queries is None else task.queries.on(device)
    with eval_mode(learner):
        if not claims_of(learner).transductive and backbone is not None and is_fixed(backbone):
            check_items_alone(backbone, queries or items, task.first)
        head, items = embedded(learner, items, cache)
        queries = items if queries is None else embedded(learner, queries, cache)[1]
    return Ready(learner, head, items, queries)


@singledispatch
def answered(task: Any, given: Ready, how: How) -> tuple[Any, dict[str, Any]]:
    """Answers, and fields of the record that tell of the learner that gave them.

    Args:
        task: What is queried.
        given: Who answers.
        how: How it is computed.

    Raises:
        LeakageError: If a claim of the learner does not hold.
    """
    learner, first = given.learner, task.first
    ask: Callable[..., Any] = partial(answer, given.head, given.items, given.queries)
    with eval_mode(learner):
        inductive = not claims_of(learner).transductive
        check_answers(given.head, given.items, first, task.sampler.seeds(first.index), given.queries, inductive)
        batch = task.at_once or how.batch or _batch(given.items, task.sampler)
        answers = ask(task.sampler, task.count, batch, how.keep_scores, how.report)
        apart = task.disjoint[0]
        disjoint = None if apart is None else ask(apart, len(apart), batch, False)
    backbone = learner.backbone if isinstance(learner, Embedded) else None
    seen = (task.queries and exposure(backbone, task.queries)) or exposure(backbone, task.items)
    return OfEpisodes(answers, disjoint), _told(learner, backbone) | {"exposure": seen}


@answered.register
def _(task: ZeroShot, given: Ready, how: How) -> tuple[OfClasses, dict[str, Any]]:
    return _by_description(teach(given.head, given.items, task.parts), task, given)


@answered.register
def _(task: Generalised, given: Ready, how: How) -> tuple[OfClasses, dict[str, Any]]:
    head, data, parts = given.head, given.items, task.parts
    taught = teach(head, data, parts)
    found, fields = _by_description(taught, task, given)
    chosen = (task.gamma, "given") if task.gamma is not None else choose_gamma(head, data, task.calibrate, parts)
    return replace(found, joint=joint_answers(taught, data, parts), gamma=chosen[0], gamma_from=chosen[1]), fields


def _by_description(taught: Any, task: ZeroShot | Generalised, given: Ready) -> tuple[OfClasses, dict[str, Any]]:
    """Unseen classes by themselves, and items of no known class where there are some."""
    data, parts = given.items, task.parts
    found = OfClasses(
        zero_shot_counts(taught, data, parts),
        known=known_scores(taught, data, parts) if parts.open else {},
        base=split_info(task.items, parts.base) if learns(given.head, parts) else None,
    )
    return found, _told(taught, getattr(given.learner, "backbone", None))


def _told(learner: Any, backbone: Any) -> dict[str, Any]:
    return {
        "learner": describe_learner(learner),
        "backbone": None if backbone is None else describe_backbone(backbone),
    }


def _batch(collection: Collection, sampler: Drawn) -> int:
    """Episodes whose items take about 32 MB as floats: one large one, which fills a cache by itself, or many small ones."""
    first = next(iter(sampler.groups(0, 1)))
    items = collection.items
    one = 4 * math.prod(items.shape[1:]) * (first.support.shape[1] + first.query.shape[1])
    return 1 if one > LARGE else int(min(256, max(16, 2**25 // max(one, 1))))
