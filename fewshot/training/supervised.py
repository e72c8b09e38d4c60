"""Supervised pre-training: cross-entropy on the base classes, before episodes or instead of them.

Step ``t`` sees items ``t * batch_size .. (t + 1) * batch_size - 1`` of a row of permutations of all items, one an epoch,
each fixed by (seed, epoch). Several processes share the items of a step.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, linear, normalize

from fewshot.contract import prepare
from fewshot.datasets.collection import Collection
from fewshot.errors import FewShotError
from fewshot.plumbing.number_checks import keep_finite_numbers, keep_whole_numbers
from fewshot.tasks.required import require_collection
from fewshot.training.augment.rotation import rotate
from fewshot.training.loop import default_accelerator, optimise, require_trainable
from fewshot.training.progress import Progress, TrainingState
from fewshot.training.settings import TrainingSettings


@dataclass(frozen=True)
class SupervisedTraining(TrainingSettings):
    """Settings of a pre-training run.

    Attributes:
        batch_size: Items of a step.
        cosine: Logits are ``cosine · cos(z, w)``, as in Baseline++; a plain linear head when left out.
        rotation: Weight of a second loss: which quarter turn of four each image was given (Gidaris et al. 2018). All
            four turns of an image are shown, as in Mangla et al. (2020).
        distil: Weight of the divergence from the teacher's predictions, 0 to 1; the cross-entropy has the rest.
        temperature: Of both predictions in that divergence, which is multiplied by its square (Hinton et al. 2015).

    Raises:
        FewShotError: If a number is out of range.
    """

    batch_size: int = 64
    cosine: float | None = None
    rotation: float = 0.0
    distil: float = 0.0
    temperature: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        keep_whole_numbers(self, batch_size=1)
        keep_finite_numbers(self, rotation="[0, inf)", distil="[0, 1]", temperature="(0, inf)")
        if self.cosine is not None:
            keep_finite_numbers(self, cosine="(0, inf)")


class ClassHead(nn.Module):
    """A backbone with linear heads for the base classes and, where asked for, for quarter turns.

    Args:
        backbone: Turns prepared items ``(n, *item)`` into features ``(n, dim)``.
        classes: Number of base classes.
        dim: Number of features; the backbone's own ``dim`` when left out.
        cosine: Scale of cosine logits; none for linear ones.
        turns: Whether there is a head for quarter turns.

    Raises:
        FewShotError: If nobody says how many features there are.
    """

    def __init__(
        self,
        backbone: nn.Module,
        classes: int,
        dim: int | None = None,
        cosine: float | None = None,
        turns: bool = False,
    ) -> None:
        super().__init__()
        dim = dim if dim is not None else getattr(backbone, "dim", None)
        if dim is None:
            raise FewShotError(f"a head must know the number of features, got a {type(backbone).__name__}; pass dim")
        self.backbone, self.cosine = backbone, cosine
        self.head = nn.Linear(int(dim), classes, bias=cosine is None)
        self.turns = nn.Linear(int(dim), 4) if turns else None

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
    teacher: ClassHead | None = None,
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
        settings: Budget, optimiser, losses.
        teacher: An earlier generation whose predictions are distilled (Furlanello et al. 2018), in eval mode.
        augment: ``augment(items, generator)`` changes a batch of raw items; the generator is that of the step.
        validate: Accuracy of the *backbone* on validation classes, higher is better.
        checkpoint: File to save to and to resume from; a CSV log is written beside it.
        report: Called after every step; its speed is in items.
        accelerator: Device, precision, processes and trackers.

    Raises:
        CheckpointError: If the checkpoint belongs to other settings, data, network or memory format.
        DataError: If the base classes are no collection.
        FewShotError: If there is nothing to train, If classes are more or fewer than the head's, a teacher is missing or idle, or the processes cannot
            share the items of a step evenly.
    """
    if not isinstance(network, ClassHead):
        raise FewShotError(
            f"pretraining needs a ClassHead around a backbone, got {type(network).__name__}; make one of it"
        )
    require_trainable(network, validate)
    require_collection(collection)
    accelerator = accelerator or default_accelerator(settings)
    _check(network, collection, settings, teacher, accelerator)
    for module in (network, teacher):
        if module is not None:
            module.to(accelerator.device)
    labels = torch.from_numpy(collection.labels)

    def shares(step: int) -> list[tuple[Any, ...]]:
        rows = item_rows(settings, len(collection), step)
        rows = rows[accelerator.process_index :: accelerator.num_processes]
        items = collection.take(rows)
        if augment is not None:
            items = augment(items, torch.Generator().manual_seed((settings.seed * 2**32 + step) % 2**63))
        return [(items.to(accelerator.device), labels[rows].to(accelerator.device))]

    judge = None if validate is None else lambda n: validate(n.backbone)
    return optimise(network, SupervisedLoss(network, settings, teacher), shares, collection, settings, accelerator,
                    unit=settings.batch_size, validate=judge, checkpoint=checkpoint, report=report)  # fmt: skip


class SupervisedLoss(nn.Module):
    """Cross-entropy of the base classes, with the terms that the settings ask for; lower is better."""

    def __init__(self, network: ClassHead, settings: SupervisedTraining, teacher: ClassHead | None) -> None:
        super().__init__()
        self.network, self.settings = network, settings
        self.teacher = [] if teacher is None else [teacher.eval()]  # in a list: no parameter of what is trained

    def forward(self, items: Tensor, labels: Integer[Tensor, " n"]) -> Float[Tensor, ""]:
        """Mean loss of a batch of raw items."""
        turned, of_turn = items, torch.zeros_like(labels)
        if self.network.turns is not None:
            of_turn = torch.arange(4, device=labels.device).repeat_interleave(len(labels))
            turned, labels = rotate(items.repeat(4, *[1] * (items.ndim - 1))[None], of_turn[None])[0], labels.repeat(4)
        z = self.network.embed(turned)
        logits = self.network.logits(z)
        loss = cross_entropy(logits, labels)
        if self.teacher:
            share = self.settings.distil
            loss = (1 - share) * loss + share * self._divergence(logits, turned)
        if self.network.turns is not None:
            loss = loss + self.settings.rotation * cross_entropy(self.network.turns(z), of_turn)
        return loss

    def _divergence(self, logits: Tensor, items: Tensor) -> Tensor:
        """Kullback-Leibler divergence of the softened predictions from the teacher's, times the squared temperature."""
        t = self.settings.temperature
        with torch.no_grad():
            wanted = (self.teacher[0].logits(self.teacher[0].embed(items)) / t).log_softmax(-1)
        return t**2 * kl_div((logits / t).log_softmax(-1), wanted, reduction="batchmean", log_target=True)


def item_rows(settings: SupervisedTraining, count: int, step: int) -> np.ndarray:
    """Row numbers of the items of a step: a window of permutations that follow one another."""
    start, size = step * settings.batch_size, settings.batch_size
    epochs = range(start // count, (start + size - 1) // count + 1)
    orders = [np.random.default_rng((settings.seed, epoch)).permutation(count) for epoch in epochs]
    return np.concatenate(orders)[start - epochs[0] * count :][:size]


def _check(
    network: ClassHead, collection: Collection, settings: SupervisedTraining, teacher: Any, accelerator: Accelerator
) -> None:
    classes = network.head.out_features
    if classes != len(collection.class_names):
        raise FewShotError(f"the head must have a row a class, {len(collection.class_names)}, got {classes}")
    if (teacher is None) == (settings.distil > 0):
        raise FewShotError(f"a teacher and distil above 0 go together, got distil {settings.distil} and {teacher}")
    if (network.turns is None) == (settings.rotation > 0):
        raise FewShotError(f"rotation above 0 and a head for turns go together, got rotation {settings.rotation}")
    if settings.batch_size % accelerator.num_processes:
        raise FewShotError(
            f"batch_size must be a multiple of the {accelerator.num_processes} processes, got {settings.batch_size}"
        )
