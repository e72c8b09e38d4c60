"""A training run that can be killed: what its processes do."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.training import saving
from fewshot.training.episodic import EpisodicTraining, train
from fewshot.training.progress import TrainingState

STEPS = 120


def made() -> Collection:
    rng = np.random.default_rng(0)
    labels = np.arange(8).repeat(10)
    return Collection.from_arrays(
        (rng.normal(size=(8, 6))[labels] + rng.normal(size=(80, 6))).astype(np.float32), labels
    )


def network() -> Embedded:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Embedded(nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)), NearestMean())


def accuracy(learner: Embedded) -> float:
    """Stands for an accuracy: a function of the weights that goes up and down."""
    with torch.no_grad():
        return float(torch.cat([p.flatten() for p in learner.parameters()]).sum().sin())


def run(checkpoint: Path | None) -> tuple[Embedded, TrainingState]:
    """The whole run, or what is left of it; it saves by the clock alone, but at the end."""
    torch.set_num_threads(1)
    saving.SECONDS = 0.02
    settings = EpisodicTraining(
        EpisodeSpec(5, 1, 2), steps=STEPS, tasks=1, average=0.5, schedule="cosine", save_every=10**9, validate_every=30
    )
    learner = network()
    return learner, train(learner, made(), settings, validate=accuracy, checkpoint=checkpoint)


def run_and_exit(checkpoint: Path) -> None:
    run(checkpoint)
