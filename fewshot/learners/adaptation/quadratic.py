"""The quadratic program of kernel mean matching: a box, and a band for the sum."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.functional import cholesky
from fewshot.learners.adaptation.interior_point import Bounded, Solve, minimise

JITTER = 1e-13  # on the diagonal, where the kernel is singular to rounding and no bound is near


def in_band(
    kernel: Float[Tensor, "n n"] | None,
    factor: Float[Tensor, "n r"] | None,
    linear: Float[Tensor, " n"],
    bound: float,
    low: float,
    high: float,
) -> Float[Tensor, " n"]:
    """The x with the least ``½ xᵀ K x - linearᵀ x`` where ``0 ≤ x ≤ bound`` and ``low ≤ Σ x ≤ high``.

    Args:
        kernel: K, or None.
        factor: F where ``K = F Fᵀ``; a step then costs ``n r²``, not ``n³``.
        linear: Of the objective.
        bound: Of each number.
        low: Of the sum.
        high: Of the sum, above ``low``.
    """
    n = len(linear)
    product, system = _dense(kernel / n) if kernel is not None else _low_rank(factor / n**0.5)

    def slack(x: Tensor) -> Tensor:
        total = x.sum().reshape(1)
        return torch.cat([x, bound - x, total - low, high - total])

    def change(step: Tensor) -> Tensor:
        total = step.sum().reshape(1)
        return torch.cat([step, -step, total, -total])

    problem = Bounded(
        gradient=lambda x: product(x) - linear / n,
        system=lambda _, d: system(d[:n] + d[n : 2 * n] + JITTER, d[2 * n] + d[2 * n + 1]),
        slack=slack,
        change=change,
        back=lambda m: m[:n] - m[n : 2 * n] + m[2 * n] - m[2 * n + 1],
    )
    middle = (max(low, 0.0) + min(high, n * bound)) / (2 * n)
    return minimise(problem, torch.full_like(linear, middle))


def _dense(kernel: Tensor) -> tuple[Solve, Callable[[Tensor, Tensor], Solve]]:
    """The product with K, and what solves with ``K + diag(d) + c 1 1ᵀ``."""

    def system(d: Tensor, c: Tensor) -> Solve:
        factor = cholesky(kernel + c + torch.diag(d))
        return lambda right: torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)

    return lambda x: kernel @ x, system


def _low_rank(factor: Tensor) -> tuple[Solve, Callable[[Tensor, Tensor], Solve]]:
    """The same for ``K = F Fᵀ``, by Woodbury's identity."""

    def system(d: Tensor, c: Tensor) -> Solve:
        wide = torch.cat([factor, c.sqrt() * torch.ones_like(factor[:, :1])], 1)
        over = wide / d.unsqueeze(-1)
        small = cholesky(torch.eye(wide.shape[1]).to(wide) + wide.mT @ over)

        def once(right: Tensor) -> Tensor:
            return right / d - over @ torch.cholesky_solve((over.mT @ right).unsqueeze(-1), small).squeeze(-1)

        def solve(right: Tensor) -> Tensor:
            step = once(right)
            return step + once(right - d * step - wide @ (wide.mT @ step))  # rounding of the identity, once more

        return solve

    return lambda x: factor @ (factor.mT @ x), system
