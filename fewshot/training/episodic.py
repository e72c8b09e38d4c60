"""Episodic training: the loop, in the open.

Step ``t`` trains on episodes ``t * tasks .. (t + 1) * tasks - 1`` of one list that
is fixed by (labels, spec, seed). Several processes share the episodes of a step.
Stop at any time and start again with the same arguments: the weights come out the same.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import Tensor, nn

from fewshot.contract import SupportSet, episode_loss
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import EpisodeError
from fewshot.evaluation.answers import support_set
from fewshot.training.progress import Progress, TrainingState

Optimizer = torch.optim.Optimizer


@dataclass(frozen=True)
class EpisodicTraining:
    """Settings of a training run; together with data and learner they decide the weights.

    Attributes:
        spec: Shape of the training episodes.
        steps: Number of optimiser steps.
        tasks: Episodes whose mean loss makes one step.
        seed: Names the list of training episodes.
        learning_rate: Of Adam.
        halve_every: Steps after which the learning rate is halved, again and again; 0 keeps it.
        clip: Largest norm of the gradient; none when left out.
        validate_every: Steps between two validations.
        save_every: Steps between two checkpoints.
    """

    spec: EpisodeSpec
    steps: int
    tasks: int = 1
    seed: int = 0
    learning_rate: float = 1e-3
    halve_every: int = 2000
    clip: float | None = None
    validate_every: int = 500
    save_every: int = 100


class _Loss(nn.Module):
    """The loss as a forward pass, which is where several processes average their gradients."""

    def __init__(self, learner: Any) -> None:
        super().__init__()
        self.learner = learner

    def forward(self, x: Any, y: Tensor, n_way: int, side: Any, seed: Tensor, query: Any, labels: Tensor) -> Tensor:
        return episode_loss(self.learner, SupportSet(x, y, n_way, side, None, seed), query, labels)


def train(
    learner: nn.Module,
    collection: Collection,
    settings: EpisodicTraining,
    *,
    validate: Callable[[Any], float] | None = None,
    checkpoint: Path | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    accelerator: Accelerator | None = None,
) -> TrainingState:
    """Train a learner on episodes; it ends with the weights of its best validation.

    Args:
        learner: An ``nn.Module`` with ``adapt``; trained in place.
        collection: Base classes. Their names are kept as the classes that the learner has seen.
        settings: Budget, optimiser, seed.
        validate: Accuracy of the learner on *validation* classes, higher is better;
            without it the last weights are kept.
        checkpoint: File to save to and to resume from.
        report: Called after every step.
        accelerator: Device, precision and processes; one process on the default device when left out.

    Returns:
        The state after the last step, with validations and losses.

    Raises:
        CheckpointError: If the checkpoint belongs to other settings, data, learner or memory format.
        EpisodeError: If the episodes of a step cannot be shared evenly by the processes.
    """
    accelerator = accelerator or _accelerator()
    if settings.tasks % accelerator.num_processes:
        raise EpisodeError(
            f"tasks must be a multiple of the {accelerator.num_processes} processes, got {settings.tasks}"
        )
    sampler = EpisodeSampler(collection.labels, settings.spec, settings.seed, class_names=collection.class_names,
                             groups=collection.groups)  # fmt: skip
    learner.to(accelerator.device)
    optimizer = torch.optim.Adam(learner.parameters(), lr=settings.learning_rate)
    state = TrainingState.resume(checkpoint, learner, optimizer, collection, settings)
    loss_of, prepared = accelerator.prepare(_Loss(learner), optimizer)
    started, before, first = time.perf_counter(), state.seconds, state.step
    while state.step < settings.steps:
        learner.train()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, state.step)
        batch = _batch(collection, sampler, settings, state.step, accelerator)
        with accelerator.autocast():
            loss = loss_of(*batch)
        accelerator.backward(loss)
        if settings.clip is not None:
            accelerator.clip_grad_norm_(learner.parameters(), settings.clip)
        prepared.step()
        prepared.zero_grad()
        state.step += 1
        state.losses.append(accelerator.reduce(loss.detach(), "mean").item())
        _share_buffers(learner, accelerator)
        state.seconds = before + time.perf_counter() - started
        if validate is not None and (state.step % settings.validate_every == 0 or state.step == settings.steps):
            state.validated(learner, validate(learner))
        if checkpoint is not None and accelerator.is_main_process and _is_due(state.step, settings):
            state.save(checkpoint, learner, optimizer, collection, settings)
        speed = (state.step - first) * settings.tasks / (time.perf_counter() - started)
        report(Progress(state, settings.steps, settings.tasks, speed))
    state.restore_best(learner)
    learner.classes_seen = collection.qualified_names()  # type: ignore[assignment]
    return state


def learning_rate(settings: EpisodicTraining, step: int) -> float:
    """Learning rate of a step: halved every ``halve_every`` steps."""
    halvings = step // settings.halve_every if settings.halve_every else 0
    return settings.learning_rate * 0.5**halvings


def _accelerator() -> Accelerator:
    """The default device; on a CPU it must be said, or several processes would not find each other."""
    no_card = not (torch.cuda.is_available() or torch.backends.mps.is_available())
    return Accelerator(cpu=no_card, kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)])


def _share_buffers(learner: nn.Module, accelerator: Accelerator) -> None:
    """Running statistics as their mean over the processes, so that all of them judge the same network."""
    if accelerator.num_processes > 1:
        for buffer in learner.buffers():
            if buffer.is_floating_point():
                buffer.copy_(accelerator.reduce(buffer, "mean"))


def _is_due(step: int, settings: EpisodicTraining) -> bool:
    return step % settings.save_every == 0 or step == settings.steps


def _batch(
    collection: Collection, sampler: EpisodeSampler, settings: EpisodicTraining, step: int, accelerator: Accelerator
) -> tuple[Any, ...]:
    """This process's share of the episodes of a step, on its device."""
    share = settings.tasks // accelerator.num_processes
    episodes = sampler.batch(step * settings.tasks + accelerator.process_index * share, share)
    support = support_set(collection, episodes, sampler.seeds(episodes.index)).to(accelerator.device)
    query = collection.take(episodes.query)
    query = query.to(accelerator.device) if isinstance(query, Tensor) else query
    labels = torch.from_numpy(episodes.query_y).to(accelerator.device)
    return support.x, support.y, support.n_way, support.descriptors, support.seed, query, labels
