"""What a battery runs on: a copy of the learner, its claims, and random episodes."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from fewshot.claims import claims_of
from fewshot.contract import Classifier, SupportSet
from fewshot.evaluation.assemble import sees_base

EPISODES, QUERIES, BASE_CLASSES, BASE_SHOT = 3, 7, 12, 8


@dataclass(frozen=True)
class Round:
    """A batch of episodes.

    Attributes:
        support: What the learner sees.
        query: Items to classify, ``(e, q, *item)``.
        labels: Their classes, ``(e, q)``.
    """

    support: SupportSet[Any]
    query: Any
    labels: Tensor


@dataclass(frozen=True)
class Maker:
    """Random episodes with well separated classes; each class is a point, its items lie around it.

    Attributes:
        item_shape: Shape of one item.
        side_shape: Shape of the descriptor of a class; its point is then a linear function of it.
        unlabelled: Size of the pool without labels.
        render: Turns float items into what the learner takes.
        seed: Names the episodes.
    """

    item_shape: tuple[int, ...]
    side_shape: tuple[int, ...] | None
    unlabelled: int
    render: Callable[[Tensor], Any] | None
    seed: int

    def round(self, shots: tuple[int, ...], dtype: torch.dtype, number: int = 0, episodes: int = EPISODES) -> Round:
        """Episodes with so many support items of each class, in random order."""
        rng = np.random.default_rng([self.seed, number])
        n_way = len(shots)
        points, side = self._classes(rng, episodes, n_way)
        y = rng.permuted(np.tile(np.repeat(np.arange(n_way), shots), (episodes, 1)), axis=1)
        labels = rng.permuted(np.tile(np.arange(QUERIES) % n_way, (episodes, 1)), axis=1)
        pool = rng.integers(n_way, size=(episodes, self.unlabelled))
        x, query, free = (self._items(rng, points, of, dtype) for of in (y, labels, pool))
        described = None if side is None else torch.from_numpy(side).to(dtype)
        seeds = torch.from_numpy(rng.integers(2**31, size=episodes))
        support = SupportSet(x, torch.from_numpy(y), n_way, described, free if self.unlabelled else None, seeds)
        return Round(support, query, torch.from_numpy(labels))

    def base(self, dtype: torch.dtype) -> SupportSet[Any]:
        """Base classes as one episode."""
        return self.round((BASE_SHOT,) * BASE_CLASSES, dtype, number=9, episodes=1).support

    def _classes(self, rng: np.random.Generator, episodes: int, n_way: int) -> tuple[np.ndarray, np.ndarray | None]:
        if self.side_shape is None:
            return 3 * rng.normal(size=(episodes, n_way, *self.item_shape)), None
        side = rng.normal(size=(episodes, n_way, *self.side_shape))
        flat = side.reshape(episodes, n_way, -1)
        law = np.random.default_rng(self.seed).normal(size=(flat.shape[-1], math.prod(self.item_shape)))
        return 3 * (flat @ law).reshape(episodes, n_way, *self.item_shape), side

    def _items(self, rng: np.random.Generator, points: np.ndarray, labels: np.ndarray, dtype: torch.dtype) -> Any:
        own = points[np.arange(len(labels))[:, None], labels]
        items = torch.from_numpy(own + 0.3 * rng.normal(size=own.shape)).to(dtype)
        return items if self.render is None else self.render(items)


@dataclass(frozen=True)
class Claims:
    """What the author says of a learner; see ``check_learner``."""

    class_symmetric: bool | None
    order_invariant: bool
    absent_class: str
    learns: bool
    tolerance: float
    numbers: bool = True


@dataclass(frozen=True)
class Trial:
    """A learner on trial: what is claimed of it, and the episodes to try it on.

    Attributes:
        learner: A copy of the learner, which has seen base classes where it takes them.
        claims: What the author says of it.
        rounds: Episodes with unequal shots, and with equal ones.
        fresh: A copy of the learner that has seen no base classes, and base classes to show it.
        single: Learner and episodes in float32.
    """

    learner: Any
    claims: Claims
    rounds: tuple[Round, ...]
    fresh: tuple[Any, SupportSet[Any]]
    single: tuple[Any, Round]

    @classmethod
    def prepare(cls, learner: Any, claims: Claims, maker: Maker, shots: tuple[int, ...], dtype: torch.dtype) -> "Trial":
        """Make copies of the learner, and the episodes."""
        equal = (max(shots),) * len(shots)
        rounds = tuple(maker.round(s, dtype, number) for number, s in enumerate(dict.fromkeys([shots, equal])))
        own = dtype if _are_floats(rounds[0].query) else None  # pixels and texts become what a backbone makes of them
        small = torch.float32 if own else None
        base, single_base = maker.base(dtype), maker.base(torch.float32)
        return cls(
            with_base(_cast(learner, own), base),
            claims,
            rounds,
            (_cast(learner, own), base),
            (with_base(_cast(learner, small), single_base), maker.round(shots, torch.float32)),
        )

    @property
    def transductive(self) -> bool:
        """What the learner claims: whether other queries may change an answer."""
        return claims_of(self.learner).transductive

    @property
    def class_symmetric(self) -> bool:
        """What the author says of renamed classes; where nothing, what the learner claims."""
        said = self.claims.class_symmetric
        return claims_of(self.learner).class_symmetric if said is None else said

    @property
    def meaning(self) -> str:
        """What the learner says that its scores are."""
        return claims_of(self.learner).scores

    @cached_property
    def first(self) -> tuple[Tensor, ...]:
        """Scores of the rounds as they are; what other calls are compared with."""
        return tuple(self.scores(one.support, one.query) for one in self.rounds)

    def adapt(self, support: SupportSet[Any]) -> Classifier[Any]:
        """A classifier of the learner."""
        return cast(Classifier[Any], self.learner.adapt(support))

    def scores(self, support: SupportSet[Any], query: Any) -> Tensor:
        """Scores of the queries, after adapting to the support."""
        return self.adapt(support)(query)


def with_base(learner: Any, base: SupportSet[Any]) -> Any:
    """The learner, having seen the base classes if it takes them."""
    if not sees_base(learner):
        return learner
    with torch.no_grad():
        return learner.with_base(base)


def _are_floats(items: Any) -> bool:
    return isinstance(items, Tensor) and items.is_floating_point()


def _cast(learner: Any, dtype: torch.dtype | None) -> Any:
    """A copy of the learner, with the parameters of its modules in another precision."""
    copied = copy.deepcopy(learner)
    modules = [copied] if isinstance(copied, nn.Module) else getattr(copied, "__dict__", {}).values()
    for module in modules:
        if isinstance(module, nn.Module) and dtype is not None:
            module.to(dtype)
    return copied


def reordered(one: Round, support: list[int] | None = None, query: list[int] | None = None) -> Round:
    """The same episodes with support items or queries in another order, or only some of them."""
    s, q, labels = one.support, one.query, one.labels
    if support is not None:
        s = replace(s, x=s.x[:, support], y=s.y[:, support])
    if query is not None:
        q, labels = q[:, query], labels[:, query]
    return Round(s, q, labels)
