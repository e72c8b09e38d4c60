"""Shares of a mixture under which rows are likeliest, by an interior point method."""

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.functional import cholesky
from fewshot.learners.adaptation.interior_point import Bounded, Solve, minimise


def mixture_shares(values: Float[Tensor, "m b"]) -> Float[Tensor, " b"]:
    """θ ≥ 0 with sum 1 and the largest mean ``log(values θ)``.

    Without the sum's constraint, ``Σ θ - mean log(values θ)`` is least there as well, for scaling θ by a scales it by
    ``a Σ θ - log a``, which is least where the sum is 1.
    """
    values = values / values.amax(1, keepdim=True).clamp(
        min=torch.finfo(values.dtype).tiny
    )  # changes the log by constants
    problem = Bounded(
        gradient=lambda x: 1 - (values / (values @ x).unsqueeze(-1)).mean(0),
        system=lambda x, d: _system(values / (values @ x).unsqueeze(-1), d),
        slack=lambda x: x,
        change=lambda step: step,
        back=lambda multiplier: multiplier,
    )
    theta = minimise(problem, torch.full_like(values[0], 1 / values.shape[1]))
    return theta / theta.sum()


def _system(rows: Tensor, d: Tensor) -> Solve:
    factor = cholesky(rows.mT @ rows / len(rows) + torch.diag(d))
    return lambda right: torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)
