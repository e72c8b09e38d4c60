"""What adversarial terms share: a domain classifier whose gradient is reversed on its way into the features.

Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016), equations 9 to 14 and section 5.2.2.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits


def rising(progress: float) -> float:
    """The published schedule of the reversal, ``2 / (1 + exp(-10 p)) - 1``: from 0 to almost 1 (section 5.2.2)."""
    return 2 / (1 + math.exp(-10 * progress)) - 1


def discriminator(dim: int, hidden: Sequence[int]) -> nn.Sequential:
    """Features to one logit, higher for the pool; linear without hidden layers, else ReLUs between."""
    widths = [dim, *hidden]
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(widths[-1], 1))


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradient, None


def reversed_gradient(x: Float[Tensor, "n dim"], factor: float) -> Float[Tensor, "n dim"]:
    """The same numbers, whose gradient is multiplied by ``-factor`` (equations 12 and 13)."""
    reversed_one: Tensor = _Reversal.apply(x, factor)
    return reversed_one


def domain_loss(
    logits: Float[Tensor, " n"], domain: Integer[Tensor, " n"], importance: Float[Tensor, " n"] | None = None
) -> Float[Tensor, ""]:
    """Mean loss over the items plus mean loss over the pool, in nats (equation 9); ``2 log 2`` at chance.

    Args:
        logits: Higher for the pool.
        domain: 0 for items, 1 for the pool.
        importance: Of each row in its mean; all alike when left out.
    """
    losses = binary_cross_entropy_with_logits(logits, domain.to(logits.dtype), reduction="none")
    losses = losses if importance is None else importance * losses
    return losses[domain == 0].mean() + losses[domain == 1].mean()
