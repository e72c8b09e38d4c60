"""The loop behind episodic and supervised training, in the open.

Step ``t`` sees what ``shares(t)`` says, a pure function of the settings. Stop at any time and start again with the
same arguments: the weights come out the same.
"""

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from fewshot.datasets.collection import Collection
from fewshot.errors import FewShotError
from fewshot.plumbing.device import settle
from fewshot.training.interrupts import Interrupts
from fewshot.training.modes import kept_in_eval, train_but
from fewshot.training.progress import Progress, TrainingState, identity
from fewshot.training.saving import Saves, checkpoint_path
from fewshot.training.settings import TrainingSettings, learning_rate, make_optimizer


@contextmanager
def threads_kept() -> Iterator[None]:
    """The number of threads is the caller's again afterwards: a resumed run computes with that of its checkpoint."""
    was = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(was)


@threads_kept()
def optimise(
    learner: nn.Module,
    loss: nn.Module,
    shares: Callable[[int], list[tuple[Any, ...]]],
    collection: Collection,
    settings: TrainingSettings,
    accelerator: Accelerator,
    *,
    unit: int,
    validate: Callable[[Any], float] | None,
    checkpoint: Path | str | None,
    report: Callable[[Progress], None],
    told: Callable[[], dict[str, Any]] = dict,
) -> TrainingState:
    """Take all optimiser steps; the learner ends with the weights of its best validation.

    Args:
        learner: What is trained, saved and validated, in place.
        loss: Its ``forward(*share)`` is the mean loss of a share, which is where processes average their gradients.
        shares: This process's shares of a step, equally large; their gradients are accumulated.
        collection: Base classes. Their names are kept as the classes that the learner has seen.
        settings: Optimiser and budget.
        accelerator: Device, precision, processes.
        unit: Episodes, or items, of a step, for the speed.
        validate: Accuracy on *validation* classes, higher is better; without it the last weights are kept.
        checkpoint: File to save to and to resume from; a CSV log is written beside it.
        report: Called after every step.
        told: Says what else a checkpoint must agree with, as JSON holds it; called where there is a checkpoint.

    Raises:
        FewShotError: If there is nothing to train, or the loss is not finite; then the step is not taken, and the checkpoint
            stays as it is.
    """
    require_trainable(learner, validate)
    path, main = checkpoint_path(checkpoint), accelerator.is_main_process
    optimizer = make_optimizer(settings, loss.parameters())
    known = {} if path is None else identity(learner, collection, settings) | told()  # hashes take time
    state = TrainingState.resume(path, learner, optimizer, known)
    loss_of, prepared = accelerator.prepare(torch.compile(loss) if settings.compile else loss, optimizer)
    saves = Saves(path if main else None, lambda to: state.save(to, learner, optimizer, collection, known),
                  settings.save_every, settings.steps, state.step)  # fmt: skip
    started, before, first = time.perf_counter(), state.seconds, state.step
    kept = kept_in_eval(learner)
    with Interrupts(path is not None and main) as interrupts:
        while state.step < settings.steps or _owes_validation(state, validate, settings):
            if not _owes_validation(state, validate, settings):
                train_but(learner, kept)
                _step(state, loss_of, prepared, shares(state.step), learner, settings, accelerator)
            state.seconds = before + time.perf_counter() - started
            if validate is not None and _owes_validation(state, validate, settings):
                saves.now(state.step)  # it may take longer than the run lives
                with interrupts.at_once(), state.averaged(learner):
                    state.validated(learner, validate(learner))
                accelerator.log({"validation_accuracy": state.validations[-1][1]}, step=state.step)
            saves.if_due(state.step)
            speed = (state.step - first) * unit / (time.perf_counter() - started)
            if speed > 0:
                report(Progress(state, settings.steps, unit, speed))
            interrupts.deliver(lambda: saves.now(state.step))
    state.restore_best(learner)
    learner.classes_seen = collection.qualified_names()  # type: ignore[assignment]
    return state


def require_trainable(learner: Any, validate: Any) -> None:
    """Let a learner pass that has something to train, and what validates it.

    Raises:
        FewShotError: If it is no module, no parameter of it can move, or ``validate`` is no function.
    """
    if not isinstance(learner, nn.Module):
        raise FewShotError(
            f"training needs a learner that is an nn.Module, got {type(learner).__name__}, which has no parameters; "
            "put a backbone before it: load_learner('protonet', backbone=load_backbone('conv4'))"
        )
    if not any(p.requires_grad for p in learner.parameters()):
        count = sum(1 for _ in learner.parameters())
        raise FewShotError(
            f"training needs a parameter that is not frozen, got {count} parameters of {type(learner).__name__}, none of which "
            "requires gradients; free some with requires_grad_()"
        )
    if validate is not None and not callable(validate):
        raise FewShotError(f"validate must be a function from the learner to its accuracy, got {validate!r}")


def _owes_validation(state: TrainingState, validate: Any, settings: TrainingSettings) -> bool:
    """Whether the accuracy of this step is due and not there; a run may have been killed while it was measured."""
    done = bool(state.validations) and state.validations[-1][0] == state.step
    return (
        validate is not None and state.step > 0 and not done and is_due(state.step, settings.validate_every, settings)
    )


def _step(
    state: TrainingState,
    loss_of: nn.Module,
    optimizer: Any,
    shares: list[tuple[Any, ...]],
    learner: nn.Module,
    settings: TrainingSettings,
    accelerator: Accelerator,
) -> None:
    """One optimiser step on the mean loss of all shares."""
    rate = learning_rate(settings, state.step)
    for group in optimizer.param_groups:
        group["lr"] = rate
    mean = _gradients(loss_of, shares, learner, accelerator)
    mean_loss = _finite(accelerator.reduce(mean, "mean").item(), state.step, rate)
    if settings.clip is not None:
        accelerator.clip_grad_norm_(learner.parameters(), settings.clip)
    optimizer.step()
    optimizer.zero_grad()
    settle(accelerator.device)  # or the graph of a lazy device would grow from step to step
    state.stepped(learner, mean_loss, rate, settings.average)
    accelerator.log({"loss": state.losses[-1], "learning_rate": rate}, step=state.step)


def _backward(accelerator: Accelerator, loss: Tensor) -> None:
    """Add the gradients of a loss to those that are there.

    Raises:
        FewShotError: If a layer has no second derivative, and the loss holds gradients itself.
    """
    try:
        accelerator.backward(loss)
    except RuntimeError as error:
        told = re.search(r"derivative for (\S+) is not implemented", str(error))
        if told is None:
            raise
        raise FewShotError(
            f"a learner that differentiates its own gradients needs a network with second derivatives, got {told[1]} "
            "without one; train with first_order=True, or take another network"
        ) from error


def _gradients(
    loss_of: nn.Module, shares: list[tuple[Any, ...]], learner: nn.Module, accelerator: Accelerator
) -> Tensor:
    """Accumulate the gradients of the mean loss over all shares; processes talk to each other once."""
    total, buffers = torch.zeros((), device=accelerator.device), MeanBuffers(learner)
    for k, share in enumerate(shares):
        with nullcontext() if k == len(shares) - 1 else accelerator.no_sync(loss_of):
            with accelerator.autocast():
                loss = _differentiable(loss_of(*share)) / len(shares)
            _backward(accelerator, loss)
        total = total + loss.detach()
        buffers.passed()
    buffers.settle(accelerator)
    return total


def _differentiable(loss: Any) -> Tensor:
    if not isinstance(loss, Tensor) or loss.ndim or not loss.requires_grad:
        kind = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        hint = (
            "that depends on no parameter; look for torch.no_grad() or detach()" if kind.endswith("()") else "instead"
        )
        raise FewShotError(f"the loss must be one number that depends on what is trained, got {kind} {hint}")
    return loss


def _finite(loss: float, step: int, rate: float) -> float:
    if not math.isfinite(loss):
        raise FewShotError(
            f"the loss must stay finite, got {loss} at step {step + 1} with learning rate {rate:g}; "
            "lower the rate, clip gradients, or look for nan in the items"
        )
    return loss


class MeanBuffers:
    """Floating-point buffers, such as running statistics: every pass of a step starts at the same, their mean remains.

    Those of parts in eval mode do not move.
    """

    def __init__(self, learner: nn.Module) -> None:
        moving = (b for module in learner.modules() if module.training for b in module.buffers(recurse=False))
        self.buffers = [b for b in moving if b.is_floating_point()]
        self.start = [b.clone() for b in self.buffers]
        self.ends: list[list[Tensor]] = []

    def passed(self) -> None:
        """Note where a pass has left the buffers, and go back to the start."""
        self.ends.append([b.clone() for b in self.buffers])
        self._set(self.start)

    def settle(self, accelerator: Accelerator) -> None:
        """Leave the mean over all passes of all processes."""
        means = [torch.stack(ends).mean(0) for ends in zip(*self.ends, strict=True)]
        self._set([accelerator.reduce(m, "mean") if accelerator.num_processes > 1 else m for m in means])

    def _set(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for buffer, value in zip(self.buffers, values, strict=True):
                buffer.copy_(value)


def is_due(step: int, every: int, settings: TrainingSettings) -> bool:
    """Whether something that is done every so many steps, and at the end, is done now."""
    return step % every == 0 or step == settings.steps
