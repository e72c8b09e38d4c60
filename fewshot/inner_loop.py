"""Gradient steps on an unmodified module: what MAML and its family, Reptile and fine-tuning share.

A module is run with other parameters than its own through ``torch.func.functional_call``; it is never changed. Batch
norm is a policy of the learner, not a state of the module: `batch_statistics` and `recorded_statistics` say by which
mean and variance the layers normalise, and touch no running average.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot.contract import prepare
from fewshot.errors import EpisodeError, FewShotError

Parameters = dict[str, Tensor]
POLICIES = ("query-batch", "support", "each-query", "running")


class Headed(nn.Module):
    """Logits of a linear head on the features of a backbone.

    Args:
        backbone: A module that turns prepared items into features ``(n, dim)``.
        way: Number of classes.
        dim: Number of features; the backbone's own ``dim`` when left out.

    Raises:
        FewShotError: If nobody says how many features there are.
    """

    def __init__(self, backbone: nn.Module, way: int, dim: int | None = None) -> None:
        super().__init__()
        dim = dim if dim is not None else getattr(backbone, "dim", None)
        if dim is None:
            raise FewShotError(f"a head must know the number of features, got a {type(backbone).__name__}; pass dim")
        self.backbone, self.head = backbone, nn.Linear(int(dim), way)

    def forward(self, items: Any) -> Tensor:
        """Logits ``(n, way)`` of items, prepared or not."""
        logits: Tensor = self.head(self.backbone(prepare(self.backbone, items)))
        return logits


def run(module: nn.Module, parameters: Mapping[str, Tensor], items: Any) -> Tensor:
    """The module's answer with these parameters in the place of its own; the others stay as they are."""
    answer: Tensor = functional_call(module, dict(parameters), (items,))
    return answer


def descend(
    loss_of: Callable[[Parameters], Tensor],
    parameters: Parameters,
    rates: float | Mapping[str, Tensor | float],
    *,
    second_order: bool,
) -> Parameters:
    """One gradient step ``θ - rate · ∇ loss``. Works under a caller's ``no_grad``, and then keeps no graph.

    Args:
        loss_of: Loss of the parameters, lower is better.
        parameters: Those that move; a parameter that the loss does not use stays.
        rates: One step size, or one for each name, of a shape that multiplies the parameter.
        second_order: Whether the gradient is differentiated through; without it the step is a constant shift.

    Raises:
        FewShotError: If there is no parameter to move.
        EpisodeError: If a parameter is not finite after the step.
    """
    if not parameters:
        raise FewShotError("an inner step needs parameters that require gradients, got none; check what adapts")
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        here = {n: p if p.requires_grad else p.detach().requires_grad_() for n, p in parameters.items()}
        slopes = torch.autograd.grad(
            loss_of(here), list(here.values()), create_graph=keep and second_order, allow_unused=True
        )
    rate = rates if isinstance(rates, Mapping) else dict.fromkeys(here, rates)
    moved = {n: p if g is None else p - rate[n] * g for (n, p), g in zip(here.items(), slopes, strict=True)}
    if not all(bool(torch.isfinite(p).all()) for p in moved.values()):
        raise EpisodeError(f"parameters must stay finite in an inner step, got nan or inf; lower the rate, {rates}")
    return moved if keep else {n: p.detach() for n, p in moved.items()}


@dataclass
class Statistics:
    """Means and variances by which batch norm layers normalised, in the order of the layers' calls."""

    moments: dict[nn.Module, tuple[Tensor, Tensor]] = field(default_factory=dict)


@contextmanager
def batch_statistics(module: nn.Module, record: Statistics | None = None) -> Iterator[None]:
    """Batch norm by the statistics of the batch at hand; running averages are neither read nor written.

    Args:
        module: Any module; its batch norm layers are found.
        record: Is given the statistics, with their gradients.
    """

    def forward(layer: _BatchNorm, x: Tensor) -> Tensor:
        if record is not None:
            axes = [0, *range(2, x.ndim)]
            record.moments[layer] = x.mean(axes), x.var(axes, correction=0)
        return batch_norm(x, None, None, layer.weight, layer.bias, True, 0.0, layer.eps)

    with _layers_run(module, forward):
        yield


@contextmanager
def recorded_statistics(module: nn.Module, recorded: Statistics) -> Iterator[None]:
    """Batch norm by statistics that another batch had."""

    def forward(layer: _BatchNorm, x: Tensor) -> Tensor:
        mean, variance = (m.reshape(-1, *[1] * (x.ndim - 2)) for m in recorded.moments[layer])
        z = (x - mean) * torch.rsqrt(variance + layer.eps)
        if layer.weight is None:
            return z
        weight, bias = (p.reshape(-1, *[1] * (x.ndim - 2)) for p in (layer.weight, layer.bias))
        return torch.addcmul(bias, z, weight)

    with _layers_run(module, forward):
        yield


@contextmanager
def running_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm by the running averages, which stay as they are, in training mode too."""

    def forward(layer: _BatchNorm, x: Tensor) -> Tensor:
        return batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, False, 0.0, layer.eps)

    with _layers_run(module, forward):
        yield


@contextmanager
def _layers_run(module: nn.Module, forward: Callable[[Any, Tensor], Tensor]) -> Iterator[None]:
    """Let every batch norm layer run another function for a while."""
    with ExitStack() as stack:
        for layer in module.modules():
            if isinstance(layer, _BatchNorm):
                layer.forward = forward.__get__(layer)  # type: ignore[method-assign]
                stack.callback(layer.__dict__.pop, "forward")
        yield


def answer(module: nn.Module, parameters: Parameters, support: Any, query: Any, policy: str) -> Tensor:
    """Logits of queries under a batch norm policy.

    Args:
        module: Gives logits of items.
        parameters: Adapted.
        support: Support items ``(s, *item)``.
        query: Queries ``(q, *item)``.
        policy: ``"query-batch"``: statistics of all queries (transductive). ``"support"``: those of the support under the
            same parameters. ``"each-query"``: those of the support and the one query, Reptile's way of not being
            transductive.
            ``"running"``: the module's running averages.
    """
    if policy == "running":
        with running_statistics(module):
            return run(module, parameters, query)
    if policy == "query-batch":
        with batch_statistics(module):
            return run(module, parameters, query)
    if policy == "each-query":
        with batch_statistics(module):
            return torch.stack([run(module, parameters, torch.cat([support, q[None]]))[-1] for q in query])
    record = Statistics()
    with batch_statistics(module, record):
        run(module, parameters, support)
    with recorded_statistics(module, record):
        return run(module, parameters, query)


def support_statistics(module: nn.Module, policy: str) -> AbstractContextManager[None]:
    """The context of a pass over the support: its own statistics, or running ones under that policy."""
    return running_statistics(module) if policy == "running" else batch_statistics(module)


def check_policy(policy: str) -> None:
    """Refuse a batch norm policy that is not known.

    Raises:
        FewShotError: Names the policies.
    """
    if policy not in POLICIES:
        raise FewShotError(f"batch_norm must be one of {', '.join(POLICIES)}, got '{policy}'")
