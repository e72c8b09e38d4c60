"""Gradient steps on an unmodified module: what MAML and its family, Reptile and fine-tuning share.

A module is run with other parameters than its own through ``torch.func.functional_call``; it is never changed. By which statistics
its batch norm layers normalise is a policy of the learner; see `fewshot.learners.gradient.batch_norm`.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy

from fewshot.contract import SupportSet, require_one_device
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.gradient.batch_norm import (
    Statistics,
    batch_norms,
    batch_statistics,
    recorded_statistics,
    support_statistics,
)
from fewshot.plumbing.number_checks import whole_number

Parameters = dict[str, Tensor]


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
    with torch.enable_grad(), _twice_differentiable(keep and second_order):
        here = {n: p.view_as(p) if p.requires_grad else p.detach().requires_grad_() for n, p in parameters.items()}
        slopes = torch.autograd.grad(
            loss_of(here), list(here.values()), create_graph=keep and second_order, allow_unused=True
        )
    rate = rates if isinstance(rates, Mapping) else dict.fromkeys(here, rates)
    moved = {n: p if g is None else p - rate[n] * g for (n, p), g in zip(here.items(), slopes, strict=True)}
    _require_finite(moved, rate)
    return moved if keep else {n: p.detach() for n, p in moved.items()}


def _twice_differentiable(wanted: bool) -> AbstractContextManager[Any]:
    """Attention by plain products where gradients are differentiated: its fused kernels have no second derivative."""
    return sdpa_kernel(SDPBackend.MATH) if wanted else nullcontext()


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

    Raises:
        EpisodeError: If support and queries are joined and on two devices.
    """
    if policy in ("running", "query-batch") or not batch_norms(module):
        with support_statistics(module, policy):
            return run(module, parameters, query)
    if policy == "each-query":
        if isinstance(query, Tensor):
            require_one_device("support and queries", support, query)
        join: Callable[[Any], Any] = torch.cat if isinstance(query, Tensor) else np.concatenate
        with batch_statistics(module):
            batches = [join([support, query[k : k + 1]]) for k in range(len(query))]
            return torch.stack([run(module, parameters, batch)[-1] for batch in batches])
    record = Statistics()
    with batch_statistics(module, record):
        run(module, parameters, support)
    with recorded_statistics(module, record):
        return run(module, parameters, query)


def check_steps(lr: float, *steps: int | None) -> None:
    """Refuse a negative rate, or a number of inner steps that is negative or not whole.

    Raises:
        FewShotError: Says which.
    """
    if not lr >= 0:
        raise FewShotError(f"lr must be 0 or more, got {lr}")
    for number in steps:
        if number is not None:
            whole_number("the number of inner steps", number, 0)
