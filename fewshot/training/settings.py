"""What decides a training run besides data and learner."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from fewshot.errors import FewShotError
from fewshot.plumbing.number_checks import keep_finite_numbers, keep_whole_numbers, seed_number, truth_value

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("halve", "steps", "linear", "cosine", "constant", "inverse")


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings of every training run.

    Attributes:
        steps: Number of optimiser steps, one or more.
        seed: Names the list of what is trained on.
        learning_rate: At the first step.
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        momentum: Of ``"sgd"``.
        weight_decay: Of the optimiser.
        schedule: ``"halve"`` every ``halve_every`` steps; ``"steps"``: a tenth after half and after three quarters;
            ``"linear"`` or ``"cosine"`` to 0 at the end; ``"constant"``; ``"inverse"``: times ``(1 + 10 p)^-0.75`` at the
            share ``p`` of all steps (Ganin et al. 2016, section 5.2.2).
        halve_every: Steps after which the learning rate is halved, again and again; 0 keeps it.
        clip: Largest norm of the gradient; none when left out.
        average: Share that an exponential average of the weights keeps in every step; that average is validated and
            is what remains. 0 for the weights themselves.
        precision: ``"no"``, ``"bf16"`` or ``"fp16"``, as accelerate takes it.
        compile: Whether the loss goes through ``torch.compile``; pays on cards.
        validate_every: Steps between two validations.
        save_every: Steps between two checkpoints; one is also written every minute, and on Ctrl-C or SIGTERM.

    Raises:
        FewShotError: If optimiser, schedule or precision are not known, or a number is none or out of range.
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
        keep_whole_numbers(self, steps=1, halve_every=0, validate_every=1, save_every=1)
        object.__setattr__(self, "seed", seed_number(self.seed))
        object.__setattr__(self, "compile", truth_value("compile", self.compile))
        keep_finite_numbers(
            self, learning_rate="[0, inf)", momentum="[0, 1)", weight_decay="[0, inf)", average="[0, 1)"
        )
        if self.clip is not None:
            keep_finite_numbers(self, clip="(0, inf)")


def learning_rate(settings: TrainingSettings, step: int) -> float:
    """Learning rate of a step, counted from 0."""
    done = step / settings.steps
    factor = {
        "halve": 0.5 ** (step // settings.halve_every if settings.halve_every else 0),
        "steps": 0.1 ** ((done >= 0.5) + (done >= 0.75)),
        "linear": 1 - done,
        "cosine": (1 + math.cos(math.pi * done)) / 2,
        "constant": 1.0,
        "inverse": math.pow(1 + 10 * done, -0.75),
    }
    return settings.learning_rate * factor[settings.schedule]


def make_optimizer(settings: TrainingSettings, parameters: Any) -> torch.optim.Optimizer:
    """The optimiser over these parameters."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, settings.momentum, weight_decay=decay)
    make = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return make(parameters, lr=rate, weight_decay=decay)
