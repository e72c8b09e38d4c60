"""Where a training run stands, and how it is saved and resumed."""

import json
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fewshot.datasets.collection import Collection
from fewshot.errors import CheckpointError, FewShotError
from fewshot.plumbing.files import write_text
from fewshot.training.checkpoint import (
    check_tensors,
    memory_format,
    optimizer_tensors,
    part,
    read_checkpoint,
    restore_optimizer,
    save_checkpoint,
)


@dataclass
class TrainingState:
    """Progress of a run.

    Attributes:
        step: Optimiser steps done.
        losses: Mean loss of each step.
        validations: Pairs (step, accuracy on validation classes).
        seconds: Time spent, over all resumptions.
        best: Weights of the best validation; of two equal ones, the earlier.
        average: Exponential average of the weights, where the settings ask for one.
        rates: Learning rate of each step.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    validations: list[tuple[int, float]] = field(default_factory=list)
    seconds: float = 0.0
    best: dict[str, Tensor] = field(default_factory=dict, repr=False)
    average: dict[str, Tensor] = field(default_factory=dict, repr=False)
    rates: list[float] = field(default_factory=list)

    @classmethod
    def resume(
        cls,
        path: Path | None,
        learner: nn.Module,
        optimizer: torch.optim.Optimizer,
        known: dict[str, Any],
    ) -> "TrainingState":
        """The state in a checkpoint, put back into learner and optimiser; a fresh one without a file.

        The number of threads of the run is restored too, since sums depend on it. ``known`` is what the checkpoint must
        agree with, see `identity`.

        Raises:
            CheckpointError: If the checkpoint belongs to another run.
        """
        if path is None or not path.exists():
            return cls()
        tensors, progress = read_checkpoint(path)
        for key, now in known.items():
            if (saved := _without_older(progress.get(key))) != now:
                raise CheckpointError(
                    f"'{path}' must belong to this run, got {key} {saved!r} where the run has {now!r}; "
                    "delete it, or give another checkpoint"
                )
        check_tensors(path, tensors, learner, optimizer)
        if not len(progress["losses"]) == len(progress["rates"]) == progress["step"]:
            raise CheckpointError(
                f"'{path}' must have a loss and a rate for each of {progress['step']} steps, got {len(progress['losses'])} and "
                f"{len(progress['rates'])}; delete it to start anew"
            )
        torch.set_num_threads(progress["threads"])
        learner.load_state_dict(part(tensors, "weights"))
        restore_optimizer(optimizer, tensors)
        validations = [(int(s), float(a)) for s, a in progress["validations"]]
        own, average = learner.state_dict(), part(tensors, "average")
        return cls(
            progress["step"],
            progress["losses"],
            validations,
            progress["seconds"],
            part(tensors, "best"),
            {name: value.to(own[name].device) for name, value in average.items()},  # every step moves it in place
            progress["rates"],
        )

    def save(
        self,
        path: Path,
        learner: nn.Module,
        optimizer: torch.optim.Optimizer,
        collection: Collection,
        known: dict[str, Any],
    ) -> None:
        """Replace the checkpoint in one step, and the log beside it."""
        weights = {f"weights.{name}": value for name, value in learner.state_dict().items()}
        best = {f"best.{name}": value for name, value in self.best.items()}
        progress = {
            **known,
            "threads": torch.get_num_threads(),
            "classes_seen": list(collection.qualified_names()),
            **{k: getattr(self, k) for k in ("step", "losses", "validations", "seconds", "rates")},
        }
        average = {f"average.{name}": value for name, value in self.average.items()}
        write_text(path.with_suffix(".csv"), self.log())  # first: a run that is killed in between writes it again
        save_checkpoint(path, {**weights, **best, **average, **optimizer_tensors(optimizer)}, progress)

    def log(self) -> str:
        """The run as CSV: step, loss, learning rate, and accuracy on validation classes where it was measured."""
        accuracy = dict(self.validations)
        rows = enumerate(zip(self.losses, self.rates, strict=True), 1)
        lines = [f"{step},{loss!r},{rate!r},{accuracy.get(step, '')}" for step, (loss, rate) in rows]
        return "\n".join(["step,loss,learning_rate,validation_accuracy", *lines]) + "\n"

    def stepped(self, learner: nn.Module, loss: float, rate: float, decay: float) -> None:
        """Count a step, and move the average of the weights if one is kept."""
        self.step += 1
        self.losses.append(loss)
        self.rates.append(rate)
        if decay:
            now = {name: value.detach() for name, value in learner.state_dict().items()}
            if not self.average:
                self.average = {name: value.clone() for name, value in now.items()}
            for name, value in now.items():
                mean = self.average[name]
                mean.lerp_(value, 1 - decay) if value.is_floating_point() else mean.copy_(value)

    @contextmanager
    def averaged(self, learner: nn.Module) -> Iterator[None]:
        """Give the learner the averaged weights for a while, where they are kept."""
        own = {name: value.clone() for name, value in learner.state_dict().items()} if self.average else {}
        if self.average:
            learner.load_state_dict(self.average)
        try:
            yield
        finally:
            if own:
                learner.load_state_dict(own)

    def validated(self, learner: nn.Module, said: Any) -> None:
        """Note an accuracy on validation classes, and keep the weights if none was better; NaN is never better.

        Raises:
            FewShotError: If it is no number.
        """
        accuracy = _accuracy(said, self.step)
        if accuracy > max((a for _, a in self.validations if math.isfinite(a)), default=-math.inf):
            self.best = {name: value.detach().clone() for name, value in learner.state_dict().items()}
        self.validations.append((self.step, accuracy))

    def restore_best(self, learner: nn.Module) -> None:
        """Give the learner the weights of the best validation, else the averaged ones, where there are any."""
        if self.best or self.average:
            learner.load_state_dict(self.best or self.average)


def _accuracy(said: Any, step: int) -> float:
    try:
        accuracy = float(said)
    except (TypeError, ValueError, RuntimeError):
        raise FewShotError(f"validate must return the accuracy, one number, got {said!r} at step {step}") from None
    if not math.isfinite(accuracy):
        warnings.warn(
            f"the validation at step {step} gave {accuracy}: it does not count, and other weights are kept",
            stacklevel=2,
        )
        return math.nan
    return accuracy


OLDER = {"rotation": 0.0, "distil": 0.0, "temperature": 4.0}
"""Settings of older checkpoints of supervised training, at values which changed nothing; terms have them now."""


def _without_older(saved: Any) -> Any:
    if not isinstance(saved, dict) or not OLDER.items() <= saved.items():
        return saved
    return {key: value for key, value in saved.items() if key not in OLDER}


def identity(learner: nn.Module, collection: Collection, settings: Any) -> dict[str, Any]:
    """What must agree between a checkpoint and the run that resumes from it."""
    shapes = {name: list(value.shape) for name, value in learner.state_dict().items()}
    return {
        "settings": json.loads(json.dumps(asdict(settings))),
        "data": collection.hash,
        "learner": shapes,
        "memory_format": memory_format(learner),
    }


@dataclass(frozen=True)
class Progress:
    """What a progress line shows.

    Attributes:
        state: Where the run stands.
        steps: Steps of the whole run.
        tasks: Episodes of a step.
        speed: Episodes per second since the start or resumption.
    """

    state: TrainingState
    steps: int
    tasks: int
    speed: float

    @property
    def seconds_left(self) -> float:
        """Estimated time to the end, in seconds."""
        return (self.steps - self.state.step) * self.tasks / self.speed

    @property
    def loss(self) -> float:
        """Mean loss of the last hundred steps; lower is better."""
        recent = self.state.losses[-100:]
        return sum(recent) / len(recent)
