"""What decides a training run besides data and learner."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from fewshot.errors import FewShotError

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("halve", "steps", "linear", "cosine", "constant")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of every training run.

    Attributes:
        steps: Number of optimiser steps.
        seed: Names the list of what is trained on.
        learning_rate: At the first step.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        momentum: Of ``"sgd"``.
        weight_decay: Of the optimiser.
        schedule: ``"halve"`` every ``halve_every`` steps; ``"steps"``: a tenth after half and after three quarters;
            ``"linear"`` or ``"cosine"`` to 0 at the end; ``"constant"``.
        halve_every: Steps after which the learning rate is halved, again and again; 0 keeps it.
        clip: Largest norm of the gradient; none when left out.
        average: Share that an exponential average of the weights keeps in every step; that average is validated and
            is what remains. 0 for the weights themselves.
        precision: ``"no"``, ``"bf16"`` or ``"fp16"``, as accelerate takes it.
        compile: Whether the loss goes through ``torch.compile``; pays on cards.
        validate_every: Steps between two validations.
        save_every: Steps between two checkpoints.

    Raises:
        FewShotError: If optimiser or schedule are not known, or a number is out of range.
    """

    steps: int
    seed: int = 0
    learning_rate: float = 1e-3
    optimizer: str = "adam"
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "halve"
    halve_every: int = 2000
    clip: float | None = None
    average: float = 0.0
    precision: str = "no"
    compile: bool = False
    validate_every: int = 500
    save_every: int = 100

    def __post_init__(self) -> None:
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", ("no", "bf16", "fp16"))):
            if getattr(self, name) not in known:
                raise FewShotError(f"{name} must be one of {', '.join(known)}, got '{getattr(self, name)}'")
        if not (0 <= self.average < 1 and self.learning_rate >= 0 and self.weight_decay >= 0):
            raise FewShotError(
                "average must be 0 or more and below 1, learning_rate and weight_decay 0 or more, "
                f"got {self.average}, {self.learning_rate} and {self.weight_decay}"
            )


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """Learning rate of a step, counted from 0."""
    done = step / settings.steps
    factor = {
        "halve": 0.5 ** (step // settings.halve_every if settings.halve_every else 0),
        "steps": 0.1 ** ((done >= 0.5) + (done >= 0.75)),
        "linear": 1 - done,
        "cosine": (1 + math.cos(math.pi * done)) / 2,
        "constant": 1.0,
    }
    return settings.learning_rate * factor[settings.schedule]


def make_optimizer(settings: TrainingSettings, parameters: Any) -> torch.optim.Optimizer:
    """The optimiser over these parameters."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, settings.momentum, weight_decay=decay)
    make = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return make(parameters, lr=rate, weight_decay=decay)
