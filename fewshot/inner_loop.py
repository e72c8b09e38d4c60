"""Gradient steps on an unmodified module: what MAML and its family, Reptile and fine-tuning share.

A module is run with other parameters than its own through ``torch.func.functional_call``; it is never changed. Batch
norm is a policy of the learner, not a state of the module: `batch_statistics`, `recorded_statistics` and
`running_statistics` say by which mean and variance the layers normalise, and touch no running average.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import batch_norm, cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot.contract import SupportSet, prepare
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import require_every_class

Parameters = dict[str, Tensor]
POLICIES = ("query-batch", "support", "each-query", "running")


class Headed(nn.Module):
    """Logits of a linear head on the features of a backbone.

    Args:
        backbone: A module that turns prepared items into features ``(n, dim)``.
        way: Number of classes.
        dim: Number of features; the backbone's own ``dim`` when left out.
        seed: Of the initial weights of the head; the global random state is untouched.

    Raises:
        FewShotError: If the backbone is no module, nobody says how many features there are, or there is no class.
    """

    def __init__(self, backbone: nn.Module, way: int, dim: int | None = None, seed: int = 0) -> None:
        super().__init__()
        check_module(backbone)
        if way < 1:
            raise FewShotError(f"a head needs at least one class, got way {way}")
        dim = dim if dim is not None else getattr(backbone, "dim", None)
        if dim is None:
            raise FewShotError(f"a head must know the number of features, got a {type(backbone).__name__}; pass dim")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone, self.head = backbone, nn.Linear(int(dim), way)

    def forward(self, items: Any) -> Tensor:
        """Logits ``(n, way)`` of items, prepared or not."""
        logits: Tensor = self.head(self.backbone(prepare(self.backbone, items)))
        return logits

    def require_ways(self, support: SupportSet[Any]) -> None:
        """Let an episode pass only if it has the classes of the head, each with an example.

        Raises:
            EpisodeError: If it has not.
        """
        way = self.head.out_features
        if support.n_way != way:
            raise EpisodeError(
                f"the head is of {way} ways, got an episode of {support.n_way}; train another, or evaluate with way={way}"
            )
        require_every_class(support.y, support.n_way)


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

    The gradient is that of the parameters at hand, each for itself: one that was computed from another, as a head from
    prototypes, still counts as independent of it in the step, and carries the dependence on to whoever differentiates.

    Args:
        loss_of: Loss of the parameters, lower is better.
        parameters: Those that move, frozen or not; a parameter that the loss does not use stays.
        rates: One step size, or one for each name, of a shape that multiplies the parameter.
        second_order: Whether the gradient is differentiated through; without it the step is a constant shift.

    Raises:
        FewShotError: If there is no parameter to move.
        EpisodeError: If a parameter is not finite after the step; names it and the rate.
    """
    if not parameters:
        raise FewShotError("an inner step needs parameters to move, got none; check the module and what adapts")
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        here = {n: p.view_as(p) if p.requires_grad else p.detach().requires_grad_() for n, p in parameters.items()}
        slopes = torch.autograd.grad(
            loss_of(here), list(here.values()), create_graph=keep and second_order, allow_unused=True
        )
    rate = rates if isinstance(rates, Mapping) else dict.fromkeys(here, rates)
    moved = {n: p if g is None else p - rate[n] * g for (n, p), g in zip(here.items(), slopes, strict=True)}
    _require_finite(moved, rate)
    return moved if keep else {n: p.detach() for n, p in moved.items()}


def _require_finite(parameters: Parameters, rate: Mapping[str, Tensor | float]) -> None:
    if bool(torch.stack([p.isfinite().all() for p in parameters.values()]).all()):
        return
    name = next(n for n, p in parameters.items() if not bool(p.isfinite().all()))
    own = rate[name]
    size = float(own.abs().max()) if isinstance(own, Tensor) else own
    raise EpisodeError(
        f"parameters must stay finite in an inner step, got nan or inf in '{name}' at rate {size:g}; "
        "lower the rate, or look for nan in the items"
    )


def support_loss(
    module: nn.Module, support: SupportSet[Any], policy: str, fixed: Mapping[str, Tensor] | None = None
) -> Callable[[Parameters], Tensor]:
    """Mean cross-entropy of one episode's support, as a function of parameters.

    Args:
        module: Gives logits of items.
        support: Without an episode axis.
        policy: Batch norm, see `answer`.
        fixed: Parameters that take the place of the module's own and do not move.
    """

    def loss_of(parameters: Parameters) -> Tensor:
        with support_statistics(module, policy):
            return cross_entropy(run(module, {**(fixed or {}), **parameters}, support.x), support.y)

    return loss_of


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
        return batch_norm(x, None, None, layer.weight, layer.bias, True, 0.0, layer.eps)

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


def norm_parameters(module: nn.Module) -> Parameters:
    """Scales and shifts of the batch norm layers, by the names that the module gives them."""
    own = {id(p) for layer in batch_norms(module).values() for p in layer.parameters(recurse=False)}
    return {name: p for name, p in module.named_parameters() if id(p) in own}


def answer(
    module: nn.Module, parameters: Mapping[str, Tensor], support: Any, query: Any, policy: str
) -> Float[Tensor, "q way"]:
    """Logits of queries under a batch norm policy; without batch norm layers all policies are the same.

    Args:
        module: Gives logits of items.
        parameters: Adapted.
        support: Support items ``(s, *item)``.
        query: Queries ``(q, *item)``.
        policy: ``"query-batch"``: statistics of all queries (transductive). ``"support"``: those of the support under
            the same parameters. ``"each-query"``: those of the support and the one query, Reptile's way of not being
            transductive. ``"running"``: the module's running averages.
    """
    if policy in ("running", "query-batch") or not batch_norms(module):
        with support_statistics(module, policy):
            return run(module, parameters, query)
    if policy == "each-query":
        join: Callable[[Any], Any] = torch.cat if isinstance(query, Tensor) else np.concatenate
        with batch_statistics(module):
            batches = [join([support, query[k : k + 1]]) for k in range(len(query))]
            return torch.stack([run(module, parameters, batch)[-1] for batch in batches])
    record = Statistics()
    with batch_statistics(module, record):
        run(module, parameters, support)
    with recorded_statistics(module, record):
        return run(module, parameters, query)


def support_statistics(module: nn.Module, policy: str) -> AbstractContextManager[None]:
    """The context of a pass over the support: its own statistics, or running ones under that policy."""
    return running_statistics(module) if policy == "running" else batch_statistics(module)


def is_transductive(module: nn.Module, policy: str) -> bool:
    """Whether an answer depends on the other queries, through their batch statistics."""
    return policy == "query-batch" and bool(batch_norms(module))


def check_module(backbone: Any) -> None:
    """Refuse what has no parameters of its own to move.

    Raises:
        FewShotError: If it is not a module.
    """
    if not isinstance(backbone, nn.Module):
        raise FewShotError(f"backbone must be a module, got '{backbone}'; make one with load_backbone(name)")


def check_steps(lr: float, *steps: int | None) -> None:
    """Refuse a negative rate, or a negative number of inner steps.

    Raises:
        FewShotError: Says which.
    """
    if not (lr >= 0 and all((n or 0) >= 0 for n in steps)):
        raise FewShotError(f"rate and inner steps must not be negative, got lr {lr} and steps {list(steps)}")


def check_policy(policy: str) -> None:
    """Refuse a batch norm policy that is not known.

    Raises:
        FewShotError: Names the policies.
    """
    if policy not in POLICIES:
        raise FewShotError(f"batch_norm must be one of {', '.join(POLICIES)}, got '{policy}'")
