"""Every learner of the package by name, small, with episodes that it can answer: what a new device is tried with."""

import inspect
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn

from fewshot.contract import SupportSet
from fewshot.learners.index import LEARNERS, find_learner, load_learner
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.testing.trial import Maker, Round, with_base

DIM, SHOTS, POOL, SIDE = 8, (9, 9, 9), 24, 28
NOT_TRIED = {
    "coop": "its backbone must read names of classes",
    "setfit": "its backbone must read texts",
}
IMAGES = ("modified-hausdorff", "relation-net")
LABELLED_TARGET = ("logistic-transfer", "ridge-transfer", "tradaboost")
QUICK = {
    "steps": 3,
    "test_steps": 3,
    "epochs": 3,
    "samples": 20,
    "way": len(SHOTS),
}  # where a learner has such an option
OWN: dict[str, dict[str, Any]] = {  # of learners whose own values ask for more features, or for none below 0
    "distribution-calibration": {"power": 1.0},
    "transformed": {"transforms": "normalise"},
    "optimal-transport": {"steps": 1000},
    "kliep": {"width": 20.0},
    "kmm": {"bound": 1.5},
    "ulsif": {"width": 20.0, "penalty": 0.1},
    **{name: {"dim": 3} for name in ("gfk", "jda", "joint-pca", "subspace-alignment", "tca")},
}


class Case(NamedTuple):
    """A learner, and episodes that it can answer; all of one shape, on the CPU.

    Attributes:
        name: Of the learner.
        learner: In eval mode, with random weights that the seed decides, and base classes where it takes them.
        round: Episodes in float32.
    """

    name: str
    learner: Any
    round: Round


def every_learner(seed: int = 0) -> Iterator[Case]:
    """All learners but those of `NOT_TRIED`.

    Args:
        seed: Of weights and episodes.
    """
    return (case_of(name, seed) for name in sorted(set(LEARNERS) - set(NOT_TRIED)))


def case_of(name: str, seed: int = 0) -> Case:
    """The case of one learner.

    Args:
        name: Of the learner.
        seed: Of weights and episodes.
    """
    images = name in IMAGES
    maker = Maker((1, SIDE, SIDE) if images else (DIM,), (DIM,), POOL, None, seed)
    one = maker.round(SHOTS, torch.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        learner = load_learner(name, **_options(name))
    if LEARNERS[name].family == "adaptation":
        one = replace(one, support=_of_domains(name, one.support))
    if isinstance(learner, nn.Module):
        learner.eval()
    return Case(name, with_base(learner, maker.base(torch.float32)), one)


def _options(name: str) -> dict[str, Any]:
    """Options without which a learner cannot be made, and few steps where it takes steps."""
    known = inspect.signature(find_learner(name)).parameters
    needed = [option for option, parameter in known.items() if parameter.default is parameter.empty]
    made = {option: _needed(option) for option in needed}
    return made | {option: value for option, value in QUICK.items() if option in known} | OWN.get(name, {})


def _needed(option: str) -> Any:
    if option == "dim":
        return DIM
    if option == "head":
        return NearestMean()
    network = nn.Sequential(nn.Linear(DIM, DIM), nn.BatchNorm1d(DIM), nn.Tanh())
    network.dim = DIM  # type: ignore[assignment]
    return network


def _of_domains(name: str, support: SupportSet[Any]) -> SupportSet[Any]:
    """The support as one of the source; an item of each class is of the target where the learner needs some."""
    domain = torch.zeros_like(support.y)
    if name in LABELLED_TARGET:
        order = support.y.argsort(dim=1, stable=True)
        domain.scatter_(1, order[:, :: SHOTS[0]], 1)
    return replace(support, domain=domain)
