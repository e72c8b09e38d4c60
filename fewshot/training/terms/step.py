"""What a term of the loss sees, and how terms are added up.

The loss of a step is the sum over all terms of ``weight(progress) * term(step)``; lower is better. Any function from a
`Step` to one number is a term. It may have

- ``weight``: a number, or a function of the progress; 1 where there is none;
- ``prepare(items, labels, generator)``: the batch that all terms of the step see instead.

A term that is an ``nn.Module`` is held by what is trained: its weights are optimised, clipped, averaged, saved and resumed.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from fewshot.errors import FewShotError

Weight = int | float | Callable[[float], float]
Term = Callable[["Step"], Tensor]


@dataclass(frozen=True, eq=False)
class Step:
    """One step of training.

    Attributes:
        items: Raw items of the base classes, as all ``prepare`` left them.
        labels: Their classes.
        features: Of the items.
        logits: Of the items.
        progress: Share of all steps that are done, in [0, 1).
        generator: On the CPU; fixed by the seed and the number of the step.
        pool: Raw items without labels, where there is a pool.
        pool_features: Of the pool.
        pool_logits: Of the pool.
    """

    items: Any
    labels: Integer[Tensor, " n"]
    features: Float[Tensor, "n dim"]
    logits: Float[Tensor, "n classes"]
    progress: float
    generator: torch.Generator
    pool: Any = None
    pool_features: Float[Tensor, "m dim"] | None = None
    pool_logits: Float[Tensor, "m classes"] | None = None

    @property
    def domain(self) -> Integer[Tensor, " n_and_m"]:
        """0 for each item and 1 for each row of the pool, in this order."""
        m = 0 if self.pool_features is None else len(self.pool_features)
        return torch.cat([self.labels.new_zeros(len(self.labels)), self.labels.new_ones(m)])

    def both_features(self) -> Float[Tensor, "n_and_m dim"]:
        """Features of the items, then those of the pool.

        Raises:
            FewShotError: If there is no pool.
        """
        return torch.cat([self.features, _given(self.pool_features)])

    def both_logits(self) -> Float[Tensor, "n_and_m classes"]:
        """Logits of the items, then those of the pool.

        Raises:
            FewShotError: If there is no pool.
        """
        return torch.cat([self.logits, _given(self.pool_logits)])


def _given(of_pool: Tensor | None) -> Tensor:
    if of_pool is None:
        raise FewShotError("a term that compares two domains needs a pool, got none; pass pool=")
    return of_pool


def prepared(
    terms: Sequence[Term], items: Any, labels: Tensor, generator: torch.Generator
) -> tuple[Any, Integer[Tensor, " n"]]:
    """The batch, as the terms that have a ``prepare`` want it."""
    for term in terms:
        if hasattr(term, "prepare"):
            items, labels = term.prepare(items, labels, generator)
    return items, labels


def total(terms: Sequence[Term], step: Step) -> Float[Tensor, ""]:
    """The weighted sum of all terms.

    Raises:
        FewShotError: If a weight is no finite number, or a term is not one number.
    """
    first, *others = (weight_of(term, step.progress) * _one_number(term, step) for term in terms)
    return sum(others, first)


def weight_of(term: Term, progress: float) -> float:
    """Weight of a term at a share of all steps.

    Raises:
        FewShotError: If it is no finite number.
    """
    given = getattr(term, "weight", 1.0)
    weight = value_at(given, progress)
    if not isinstance(weight, (int, float)) or not math.isfinite(weight):
        raise FewShotError(
            f"the weight of a term must be a finite number or a function of the progress, got {given!r} in {name_of(term)}"
        )
    return float(weight)


def value_at(given: Weight, progress: float) -> float:
    """A number, or the value of a function of the progress."""
    return given(progress) if callable(given) else given


def _one_number(term: Term, step: Step) -> Tensor:
    value = term(step)
    if not isinstance(value, Tensor) or value.ndim:
        got = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise FewShotError(f"a term must be one number, a tensor without axes, got {got} from {name_of(term)}")
    return value


def name_of(term: Any) -> str:
    """What to call a term: its type, or the name of a function."""
    return str(getattr(term, "__qualname__", type(term).__qualname__))


def described(terms: Sequence[Term]) -> list[str]:
    """Terms with their settings, equal for equal ones in every process; a checkpoint is compared by them."""
    return [re.sub(r"\s+", " ", re.sub(r" at 0x[0-9a-fA-F]+", "", repr(term))) for term in terms]


def check_terms(terms: Any) -> list[Term]:
    """The terms as a list.

    Raises:
        FewShotError: If there is none, one is no function, or several prepare the batch.
    """
    if not isinstance(terms, (list, tuple)) or not terms or not all(callable(term) for term in terms):
        raise FewShotError(f"terms must be a list of functions of a step, got {terms!r}; write [CrossEntropy(), ...]")
    preparing = [name_of(term) for term in terms if hasattr(term, "prepare")]
    if len(preparing) > 1:
        raise FewShotError(f"one term may prepare the batch, got {len(preparing)}: {', '.join(preparing)}")
    return list(terms)


@contextmanager
def held(network: nn.Module, terms: Sequence[Term]) -> Iterator[None]:
    """Terms that are modules are parts of the network for a while, as ``training_terms``."""
    modules = [term for term in terms if isinstance(term, nn.Module)]
    if modules:
        network.training_terms = nn.ModuleList(modules)
    try:
        yield
    finally:
        if modules:
            del network.training_terms
