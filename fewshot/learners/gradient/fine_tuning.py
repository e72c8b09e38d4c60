"""Parts of fine-tuning on a support: where a head starts, which optimiser steps, and the copy that is stepped."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from fewshot.errors import FewShotError
from fewshot.functional import class_means
from fewshot.learners.gradient.inner_optimiser import require_finite_weights
from fewshot.learners.gradient.low_rank import assembled

Parameters = dict[str, Tensor]
HEADS = ("zero", "random", "prototypes")


@dataclass(frozen=True)
class Steps:
    """An optimiser of torch and its settings.

    Attributes:
        optimiser: ``"sgd"`` or ``"adam"``.
        lr: Largest step size.
        momentum: Of ``"sgd"``.

    Raises:
        FewShotError: If the name is unknown, or a number is out of range.
    """

    optimiser: str
    lr: float
    momentum: float

    def __post_init__(self) -> None:
        if self.optimiser not in ("sgd", "adam"):
            raise FewShotError(f"optimiser must be 'sgd' or 'adam', got '{self.optimiser}'")
        if not (self.lr >= 0 and 0 <= self.momentum < 1):
            raise FewShotError(
                f"lr must be 0 or more, momentum 0 or more and below 1, got {self.lr} and {self.momentum}"
            )

    def over(self, moving: Parameters, rates: Mapping[str, float]) -> torch.optim.Optimizer:
        """The optimiser of these parameters, with a step size for each name; ``lr`` where none is given."""
        groups: dict[float, list[Tensor]] = {}
        for name, parameter in moving.items():
            groups.setdefault(rates.get(name, self.lr), []).append(parameter)
        every = [{"params": members, "lr": lr} for lr, members in groups.items()]
        if self.optimiser == "adam":
            return torch.optim.Adam(every, self.lr)
        return torch.optim.SGD(every, self.lr, self.momentum)


def first_head(
    start: str,
    z: Float[Tensor, "s dim"],
    y: Integer[Tensor, " s"],
    n_way: int,
    generator: torch.Generator | None,
) -> Parameters:
    """Weights and biases of a linear head before the first step.

    Args:
        start: ``"zero"``; ``"random"``, as torch draws a linear layer; ``"prototypes"``, the head that is the nearest mean.
        z: Features of the support.
        y: Their classes.
        n_way: Number of classes.
        generator: Of ``"random"``.
    """
    if start == "prototypes":
        means = class_means(z, y, n_way)
        return {"head.weight": 2 * means, "head.bias": -means.square().sum(-1)}
    shape = n_way, z.shape[-1] + 1
    if start == "zero":
        drawn = z.new_zeros(shape)
    else:
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
        drawn = ((2 * uniform - 1) / z.shape[-1] ** 0.5).to(z)
    return {"head.weight": drawn[:, :-1].contiguous(), "head.bias": drawn[:, -1].contiguous()}


@dataclass(frozen=True, eq=False)
class Copy:
    """A network that is run with other parameters than its own.

    Attributes:
        network: Backbone and head.
        start: All its parameters, before the first step.
        moving: Those that move, or factors of low rank beside them; leaves that an optimiser steps.
    """

    network: nn.Module
    start: Parameters
    moving: Parameters

    @property
    def whole(self) -> Parameters:
        """All parameters as they are now."""
        return assembled(self.start, self.moving)

    def step(
        self, optimiser: torch.optim.Optimizer, free: Container[str], loss_of: Callable[[Parameters], Tensor]
    ) -> None:
        """One step of the head and of the backbone's parameters whose `plain` names are ``free``.

        Raises:
            EpisodeError: If a parameter is not finite after the step.
        """
        leaves = {name: p for name, p in self.moving.items() if not plain(name) or plain(name) in free}
        with torch.enable_grad():
            slopes = torch.autograd.grad(loss_of(self.whole), list(leaves.values()), materialize_grads=True)
        for parameter in self.moving.values():
            parameter.grad = None  # which an optimiser leaves alone, momentum and all
        for parameter, slope in zip(leaves.values(), slopes, strict=True):
            parameter.grad = slope
        optimiser.step()
        require_finite_weights(leaves, max(group["lr"] for group in optimiser.param_groups))


def plain(name: str) -> str:
    """The backbone's own name of a parameter, or of the one that a factor belongs to; of the head, nothing."""
    return name.partition("backbone.")[2].partition(":")[0]
