"""Batch norm as a policy of the learner, not a state of the module.

The contexts say by which mean and variance the layers of a module normalise for a while. They touch no running average,
and the module is itself again afterwards.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.gradient.batch_norm_gradients import batch_normalise

POLICIES = ("query-batch", "support", "each-query", "running")


@dataclass
class Statistics:
    """Means and variances by which each batch norm layer normalised, in the order of its calls."""

    moments: dict[nn.Module, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)


@contextmanager
def batch_statistics(module: nn.Module, record: Statistics | None = None) -> Iterator[None]:
    """Batch norm by the statistics of the batch at hand; running averages are neither read nor written.

    Args:
        module: Any module; its batch norm layers are found.
        record: Is given the statistics, with their gradients.

    Raises:
        EpisodeError: If a layer sees a single value of each channel, whose variance says nothing.
    """

    def forward(layer: _BatchNorm, x: Tensor) -> Tensor:
        if x.numel() < 2 * x.shape[1]:
            raise EpisodeError(
                f"batch statistics need two values of each channel, got a batch {tuple(x.shape)}; "
                "give more items, or batch_norm='support' or 'running'"
            )
        if record is not None:
            axes = [0, *range(2, x.ndim)]
            record.moments.setdefault(layer, []).append((x.mean(axes), x.var(axes, correction=0)))
        if layer.weight is None:
            return batch_norm(x, None, None, None, None, True, 0.0, layer.eps)
        return batch_normalise(x, layer.weight, layer.bias, layer.eps)

    with _layers_run(module, forward):
        yield


@contextmanager
def recorded_statistics(module: nn.Module, recorded: Statistics) -> Iterator[None]:
    """Batch norm by statistics that another batch had, in a forward pass that calls the layers alike."""
    moments = {layer: cycle(calls) for layer, calls in recorded.moments.items()}

    def forward(layer: _BatchNorm, x: Tensor) -> Tensor:
        mean, variance = (m.reshape(-1, *[1] * (x.ndim - 2)) for m in next(moments[layer]))
        z = (x - mean) * torch.rsqrt(variance + layer.eps)
        if layer.weight is None:
            return z
        weight, bias = (p.reshape(-1, *[1] * (x.ndim - 2)) for p in (layer.weight, layer.bias))
        return torch.addcmul(bias, z, weight)

    with _layers_run(module, forward):
        yield


@contextmanager
def running_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm by the running averages, which stay as they are, in training mode too.

    Raises:
        FewShotError: If a layer keeps none.
    """

    def forward(layer: _BatchNorm, x: Tensor) -> Tensor:
        if layer.running_mean is None:
            raise FewShotError("batch_norm='running' needs running averages, got a layer that keeps none; take another")
        return batch_norm(x, layer.running_mean, layer.running_var, layer.weight, layer.bias, False, 0.0, layer.eps)

    with _layers_run(module, forward):
        yield


@contextmanager
def _layers_run(module: nn.Module, forward: Callable[[Any, Tensor], Tensor]) -> Iterator[None]:
    """Let every batch norm layer run another function for a while."""
    with ExitStack() as stack:
        for layer in batch_norms(module).values():
            own = vars(layer)
            was = {"forward": own["forward"]} if "forward" in own else {}
            stack.callback(own.update, was)
            stack.callback(own.pop, "forward")  # runs first
            own["forward"] = forward.__get__(layer)
        yield


def batch_norms(module: nn.Module) -> dict[str, _BatchNorm]:
    """The batch norm layers of a module, by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, _BatchNorm)}


def norm_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Scales and shifts of the batch norm layers, by the names that the module gives them."""
    own = {id(p) for layer in batch_norms(module).values() for p in layer.parameters(recurse=False)}
    return {name: p for name, p in module.named_parameters() if id(p) in own}


def support_statistics(module: nn.Module, policy: str) -> AbstractContextManager[None]:
    """The context of a pass over the support: its own statistics, or running ones under that policy."""
    return running_statistics(module) if policy == "running" else batch_statistics(module)


def is_transductive(module: nn.Module, policy: str) -> bool:
    """Whether an answer depends on the other queries, through their batch statistics."""
    return policy == "query-batch" and bool(batch_norms(module))


def check_policy(policy: str) -> None:
    """Refuse a batch norm policy that is not known.

    Raises:
        FewShotError: Names the policies.
    """
    if policy not in POLICIES:
        raise FewShotError(f"batch_norm must be one of {', '.join(POLICIES)}, got '{policy}'")
