"""Supervised pre-training: a sum of terms on items of the base classes, before episodes or instead of them.

Step ``t`` sees items ``t * batch_size .. (t + 1) * batch_size - 1`` of a row of permutations of all items, one an epoch,
each fixed by (seed, epoch); as many rows of a pool, where there is one, come from a list of its own, fixed by (seed,
"pool", epoch). Several processes share the items of a step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from fewshot.contract import prepare
from fewshot.datasets.collection import Collection
from fewshot.datasets.joined import kind_of
from fewshot.errors import DataError, FewShotError
from fewshot.plumbing.number_checks import keep_finite_numbers, keep_whole_numbers
from fewshot.tasks.required import require_collection
from fewshot.training.loop import default_accelerator, optimise, require_trainable
from fewshot.training.progress import Progress, TrainingState
from fewshot.training.settings import TrainingSettings
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.step import Step, Term, check_terms, described, held, prepared, total

POOL, TERMS = (int.from_bytes(name, "big") for name in (b"pool", b"terms"))
"""Streams of random numbers beside those of the labelled items."""


@dataclass(frozen=True)
class SupervisedTraining(TrainingSettings):
    """Settings of a pre-training run.

    Attributes:
        batch_size: Items of a step.
        cosine: Logits are ``cosine · cos(z, w)``, as in Baseline++; a plain linear head when left out.

    Raises:
        FewShotError: If a number is out of range.
    """

    batch_size: int = 64
    cosine: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        keep_whole_numbers(self, batch_size=1)
        if self.cosine is not None:
            keep_finite_numbers(self, cosine="(0, inf)")


class ClassHead(nn.Module):
    """A backbone with a linear head for the base classes.

    Args:
        backbone: Turns prepared items ``(n, *item)`` into features ``(n, dim)``.
        classes: Number of base classes.
        dim: Number of features; the backbone's own ``dim`` when left out.
        cosine: Scale of cosine logits; none for linear ones.

    Raises:
        FewShotError: If nobody says how many features there are.
    """

    def __init__(
        self,
        backbone: nn.Module,
        classes: int,
        dim: int | None = None,
        cosine: float | None = None,
    ) -> None:
        super().__init__()
        dim = dim if dim is not None else getattr(backbone, "dim", None)
        if dim is None:
            raise FewShotError(f"a head must know the number of features, got a {type(backbone).__name__}; pass dim")
        self.backbone, self.cosine = backbone, cosine
        self.head = nn.Linear(int(dim), classes, bias=cosine is None)

    def embed(self, items: Any) -> Float[Tensor, "n dim"]:
        """Features of raw items."""
        z: Tensor = self.backbone(prepare(self.backbone, items))
        return z

    def logits(self, z: Float[Tensor, "n dim"]) -> Float[Tensor, "n classes"]:
        """Of the base classes."""
        if self.cosine is None:
            answer: Tensor = self.head(z)
            return answer
        return self.cosine * linear(normalize(z, dim=-1), normalize(self.head.weight, dim=-1))


def pretrain(
    network: ClassHead,
    collection: Collection,
    settings: SupervisedTraining,
    *,
    terms: Sequence[Term] | None = None,
    pool: Collection | None = None,
    augment: Callable[[Any, torch.Generator], Any] | None = None,
    validate: Callable[[Any], float] | None = None,
    checkpoint: Path | str | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    accelerator: Accelerator | None = None,
) -> TrainingState:
    """Train a backbone to tell the base classes apart; it ends with the weights of its best validation.

    Args:
        network: Trained in place; its ``backbone`` is what learners use afterwards.
        collection: Base classes.
        settings: Budget, optimiser.
        terms: The loss is the sum of them, see `fewshot.training.terms.step`; the cross-entropy alone when left out.
        pool: Items without labels that terms see, such as those of another domain; its labels are never read.
        augment: ``augment(items, generator)`` changes a batch of raw items, then that of the pool; the generator is that of
            the step.
        validate: Accuracy of the *backbone* on validation classes, higher is better.
        checkpoint: File to save to and to resume from; a CSV log is written beside it.
        report: Called after every step; its speed is in items.
        accelerator: Device, precision, processes and trackers.

    Raises:
        CheckpointError: If the checkpoint belongs to other settings, data, network or memory format.
        DataError: If the base classes or the pool are no collection, or their items differ in shape or type.
        FewShotError: If there is nothing to train, classes are more or fewer than the head's, a term is no function, or the processes cannot
            share the items of a step evenly.
    """
    if not isinstance(network, ClassHead):
        raise FewShotError(
            f"pretraining needs a ClassHead around a backbone, got {type(network).__name__}; make one of it"
        )
    require_trainable(network, validate)
    require_collection(collection)
    accelerator = accelerator or default_accelerator(settings)
    _check(network, collection, settings, accelerator)
    if pool is not None:
        _check_pool(collection, pool)
    terms = check_terms([CrossEntropy()] if terms is None else terms)
    pool = None if pool is None else without_labels(pool)
    labels = torch.from_numpy(collection.labels)

    def shares(step: int) -> list[tuple[Any, ...]]:
        mine = slice(accelerator.process_index, None, accelerator.num_processes)
        rows = item_rows(settings, len(collection), step)[mine]
        items, device = collection.take(rows), accelerator.device
        others = None if pool is None else pool.take(item_rows(settings, len(pool), step, POOL)[mine])
        if augment is not None:
            draws = _generator(settings, step)
            items, others = augment(items, draws), None if others is None else augment(others, draws)
        others = None if others is None else others.to(device)
        progress = step / settings.steps
        return [(items.to(device), labels[rows].to(device), progress, _generator(settings, step, TERMS), others)]

    judge = None if validate is None else lambda n: validate(n.backbone)
    plain = terms == [CrossEntropy()]

    def told() -> dict[str, Any]:
        return {"terms": None if plain else described(terms), "pool": None if pool is None else pool.hash}

    with held(network, terms):
        network.to(accelerator.device)
        return optimise(network, SupervisedLoss(network, terms), shares, collection, settings, accelerator,
                        unit=settings.batch_size, validate=judge, checkpoint=checkpoint, report=report, told=told)  # fmt: skip


class SupervisedLoss(nn.Module):
    """The sum of the terms as a forward pass, which is where several processes average their gradients."""

    def __init__(self, network: ClassHead, terms: Sequence[Term]) -> None:
        super().__init__()
        self.network, self.terms = network, tuple(terms)  # a tuple: modules among them are held by the network

    def forward(
        self,
        items: Any,
        labels: Integer[Tensor, " n"],
        progress: float,
        generator: torch.Generator,
        pool: Any = None,
    ) -> Float[Tensor, ""]:
        """Loss of a batch of raw items; lower is better."""
        items, labels = prepared(self.terms, items, labels, generator)
        z = self.network.embed(items)
        step = Step(items, labels, z, self.network.logits(z), progress, generator, pool)
        if pool is not None:  # a pass of its own: what is computed for the items does not depend on the pool
            z = self.network.embed(pool)
            step = replace(step, pool_features=z, pool_logits=self.network.logits(z))
        return total(self.terms, step)


def without_labels(pool: Collection) -> Collection:
    """A collection whose items all have the one class ``pool``: what is computed of it cannot depend on labels."""
    return Collection(pool.items, np.zeros(len(pool), np.int64), ("pool",), name=pool.name)


def _generator(settings: SupervisedTraining, step: int, stream: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed((settings.seed * 2**32 + step) % 2**63 ^ stream)


def item_rows(settings: SupervisedTraining, count: int, step: int, *stream: int) -> np.ndarray:
    """Row numbers of the items of a step: a window of permutations that follow one another.

    Args:
        settings: Seed and batch size.
        count: Number of items in all.
        step: Counted from 0.
        stream: Number of another list than that of the labelled items.
    """
    start, size = step * settings.batch_size, settings.batch_size
    epochs = range(start // count, (start + size - 1) // count + 1)
    orders = [np.random.default_rng((settings.seed, *stream, epoch)).permutation(count) for epoch in epochs]
    return np.concatenate(orders)[start - epochs[0] * count :][:size]


def _check_pool(collection: Collection, pool: Any) -> None:
    require_collection(pool)
    wanted, got = kind_of(collection.items), kind_of(pool.items)
    if wanted != got:
        raise DataError(
            f"items of the pool must be those of the base classes, {wanted}, got {got}; convert one of them"
        )


def _check(network: ClassHead, collection: Collection, settings: SupervisedTraining, accelerator: Accelerator) -> None:
    classes = network.head.out_features
    if classes != len(collection.class_names):
        raise FewShotError(f"the head must have a row a class, {len(collection.class_names)}, got {classes}")
    if settings.batch_size % accelerator.num_processes:
        raise FewShotError(
            f"batch_size must be a multiple of the {accelerator.num_processes} processes, got {settings.batch_size}"
        )
