"""A training run with a term that has weights and a schedule; it can kill itself after a step."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fewshot.datasets.collection import Collection
from fewshot.training.supervised import ClassHead, SupervisedTraining, pretrain
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.step import Step


class Scaled(nn.Module):
    """Pulls features to a learnt scale, the later the stronger, with noise from the generator of the step."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(4))
        self.norm = nn.BatchNorm1d(4)

    def weight(self, progress: float) -> float:
        return 0.5 + progress

    def forward(self, step: Step) -> Tensor:
        noise = torch.rand(4, generator=step.generator)
        return (self.norm(step.features) - self.scale * noise).square().mean()


def seeded(seed: int, make: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def made_term(seed: int) -> Scaled:
    return seeded(seed, Scaled)


def run(checkpoint: Path | None, seed: int = 0, report: Any = lambda progress: None, **changes: Any) -> dict[str, Any]:
    """Weights of network and term after the whole run, or what is left of it."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    labels = np.arange(3).repeat(10)
    base = Collection.from_arrays((rng.normal(size=(3, 6))[labels] + rng.normal(size=(30, 6))).astype("f4"), labels)
    network = seeded(seed, lambda: ClassHead(nn.Linear(6, 4), 3, dim=4))
    term = made_term(seed)
    given = {"steps": 8, "batch_size": 8, "clip": 0.1, "average": 0.5, "save_every": 1} | changes
    terms = [CrossEntropy(), term]
    pretrain(network, base, SupervisedTraining(**given), terms=terms, checkpoint=checkpoint, report=report)
    own = {f"term.{name}": value for name, value in term.state_dict().items()}
    return {name: value.clone() for name, value in (network.state_dict() | own).items()}


def kill_at(step: int) -> Any:
    def report(progress: Any) -> None:
        if progress.state.step == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return report


if __name__ == "__main__":
    run(Path(sys.argv[1]), report=kill_at(int(sys.argv[2])))
