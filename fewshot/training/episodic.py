"""Episodic training.

Step ``t`` trains on episodes ``t * tasks .. (t + 1) * tasks - 1`` of one list that is fixed by (labels, spec, seed).
Several processes share the episodes of a step, and the result is that of one: every pass starts from the buffers that
the step began with, and those after it are the mean over the passes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot.contract import SupportSet, episode_loss, taken
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError
from fewshot.evaluation.answers import support_set
from fewshot.evaluation.required import require_learner
from fewshot.plumbing.device import Device
from fewshot.plumbing.number_checks import keep_whole_numbers
from fewshot.tasks.required import require_collection
from fewshot.training.accelerators import default_accelerator
from fewshot.training.augment.rotation import EpisodeRotation
from fewshot.training.loop import optimise, require_trainable
from fewshot.training.progress import Progress, TrainingState
from fewshot.training.settings import TrainingSettings


@dataclass(frozen=True)
class EpisodicTraining(TrainingSettings):
    """Settings of a training run on episodes; together with data and learner they decide the weights.

    Attributes:
        spec: Shape of the training episodes.
        tasks: Episodes whose mean loss makes one step.
        at_once: Episodes of one forward pass, whose graph is held; it must divide a process's share. Left out: one for
            a learner with batch norm, whose episodes then do not see each other's statistics, else all of them.
        rotation: ``"class"`` or ``"episode"`` turns images by a random quarter turn, as `EpisodeRotation`.

    Raises:
        EpisodeError: If the spec is none.
        FewShotError: If another setting is none, or out of range.
    """

    spec: EpisodeSpec
    tasks: int = 1
    at_once: int | None = None
    rotation: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.spec, EpisodeSpec):
            raise EpisodeError(f"the spec must be an EpisodeSpec, got {self.spec!r}; write EpisodeSpec(way=5, shot=1)")
        keep_whole_numbers(self, tasks=1, **({} if self.at_once is None else {"at_once": 1}))
        if self.rotation not in (None, "class", "episode"):
            raise FewShotError(f"rotation must be 'class', 'episode' or None, got {self.rotation!r}")


def train(
    learner: nn.Module,
    collection: Collection,
    settings: EpisodicTraining,
    *,
    validate: Callable[[Any], float] | None = None,
    checkpoint: Path | str | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    accelerator: Accelerator | None = None,
    device: Device | None = None,
) -> TrainingState:
    """Train a learner on episodes; it ends with the weights of its best validation.

    Args:
        learner: An ``nn.Module`` with ``adapt``; trained in place. Parts that are frozen, and norms and dropouts that were put
            in eval mode by themselves, stay as they are.
        collection: Base classes. Their names are kept as the classes that the learner has seen.
        settings: Budget, optimiser, seed.
        validate: Accuracy of the learner on *validation* classes, higher is better;
            without it the last weights are kept. One that is not finite is never the best, with a warning.
        checkpoint: File to save to and to resume from; a CSV log is written beside it. It is written every ``save_every``
            steps, every minute, before a validation, and on Ctrl-C or SIGTERM.
        report: Called after every step.
        accelerator: Device, precision, processes and trackers; one process on ``device`` when left out.
        device: ``"auto"`` for a card where there is one, or what `torch.device` takes; as ``"auto"`` when left out. The
            learner stays there.

    Returns:
        The state after the last step, with validations and losses.

    Raises:
        CheckpointError: If the checkpoint belongs to other settings, data, learner or memory format.
        EpisodeError: If the episodes of a step cannot be shared evenly by the processes.
        DataError: If the base classes are no collection.
        FewShotError: If there is nothing to train, the loss is not finite, or ``validate`` or ``checkpoint`` are no such things.
    """
    require_learner(learner)
    require_trainable(learner, validate)
    require_collection(collection)
    accelerator = accelerator or default_accelerator(settings, device)
    at_once = _at_once(learner, settings, accelerator)
    sampler = EpisodeSampler(collection.labels, settings.spec, settings.seed, class_names=collection.class_names,
                             groups=collection.groups)  # fmt: skip
    learner.to(accelerator.device)

    def shares(step: int) -> list[tuple[Any, ...]]:
        mine = settings.tasks // accelerator.num_processes
        start = step * settings.tasks + accelerator.process_index * mine
        parts = [range(k, k + at_once) for k in range(start, start + mine, at_once)]
        return [_batch(learner, collection, sampler, settings, part, accelerator.device) for part in parts]

    return optimise(learner, EpisodicLoss(learner), shares, collection, settings, accelerator, unit=settings.tasks,
                    validate=validate, checkpoint=checkpoint, report=report)  # fmt: skip


class EpisodicLoss(nn.Module):
    """The mean loss of some episodes as a forward pass, which is where several processes average their gradients."""

    def __init__(self, learner: Any) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, support: SupportSet[Any], query: Any, labels: Tensor) -> Tensor:
        """Mean loss of the episodes; lower is better."""
        return episode_loss(self.learner, support, query, labels)


def _at_once(learner: nn.Module, settings: EpisodicTraining, accelerator: Accelerator) -> int:
    """Episodes of a forward pass: one where it moves running statistics, so that episodes do not see each other's."""
    share, left = divmod(settings.tasks, accelerator.num_processes)
    if left:
        raise EpisodeError(
            f"tasks must be a multiple of the {accelerator.num_processes} processes, got {settings.tasks}"
        )
    at_once = settings.at_once or (1 if any(isinstance(m, _BatchNorm) for m in learner.modules()) else share)
    if share % at_once:
        raise EpisodeError(f"at_once must divide the {share} episodes of a process's step, got {at_once}")
    return at_once


def _batch(
    learner: Any,
    collection: Collection,
    sampler: EpisodeSampler,
    settings: EpisodicTraining,
    rows: range,
    device: torch.device,
) -> tuple[Any, ...]:
    """Some episodes of the list, on their device, with items as the learner takes them."""
    episodes = sampler.batch(rows.start, len(rows))
    support = support_set(collection, episodes, sampler.seeds(episodes.index))
    query, labels = collection.take(episodes.query), torch.from_numpy(episodes.query_y)
    if settings.rotation is not None and support.seed is not None:
        turn = EpisodeRotation(settings.rotation)
        x, query = turn(support.x, support.y, query, labels, support.seed)
        support = replace(support, x=x)
    query = query.to(device) if isinstance(query, Tensor) else query
    take = partial(taken, learner)
    support = support.to(device).map(take)
    return support, take(query, like=support.x), labels.to(device)
