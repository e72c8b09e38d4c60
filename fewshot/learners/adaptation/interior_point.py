"""Convex problems with bounds, by the primal-dual interior point method, in float64.

Paper: Boyd and Vandenberghe, "Convex Optimization", 2004, section 11.7 (no equality constraints here).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError

Solve = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Bounded:
    """A convex function of ``x (n,)`` where ``A x + b ≥ 0``; its author knows how to use the structure of both.

    Attributes:
        gradient: Of the function at x.
        system: From x and ``d (m,)`` to what solves ``(Hessian + Aᵀ diag(d) A) step = right``.
        slack: ``A x + b``.
        change: ``A step``.
        back: ``Aᵀ λ``.
    """

    gradient: Callable[[Tensor], Tensor]
    system: Callable[[Tensor, Tensor], Solve]
    slack: Callable[[Tensor], Tensor]
    change: Callable[[Tensor], Tensor]
    back: Callable[[Tensor], Tensor]

    def residual(self, x: Tensor, multiplier: Tensor, centre: float | Tensor) -> Tensor:
        """What the conditions of optimality miss, perturbed so that each slack times its multiplier is ``centre``."""
        return torch.cat([self.gradient(x) - self.back(multiplier), multiplier * self.slack(x) - centre])


def minimise(
    problem: Bounded, x: Float[Tensor, " n"], tolerance: float = 1e-10, steps: int = 200
) -> Float[Tensor, " n"]:
    """The least point, to within the tolerance of the duality gap and of each derivative.

    Args:
        problem: Scaled so that derivatives are about 1.
        x: Where to begin; every slack must be above 0 there.
        tolerance: Of the gap, the sum of slacks times multipliers, and of derivatives.
        steps: Most Newton steps.

    Raises:
        EpisodeError: If it is not found in so many steps.
    """
    slack = problem.slack(x)
    multiplier = 1 / slack / len(slack)
    for _ in range(steps):
        gap = slack @ multiplier
        missed = problem.gradient(x) - problem.back(multiplier)
        if bool(gap <= tolerance) and bool(missed.abs().max() <= tolerance):
            return x
        centre = gap / (10 * len(slack))
        step = problem.system(x, multiplier / slack)(problem.back(centre / slack) - problem.gradient(x))
        step_multiplier = centre / slack - multiplier - multiplier * problem.change(step) / slack
        x, multiplier = _descend(problem, x, multiplier, step, step_multiplier, centre)
        slack = problem.slack(x)
    raise EpisodeError(f"weights must be found in {steps} Newton steps; scale the features, or choose a larger width")


def _descend(
    problem: Bounded, x: Tensor, multiplier: Tensor, step: Tensor, step_multiplier: Tensor, centre: Tensor
) -> tuple[Tensor, Tensor]:
    """Nearly as far as slacks and multipliers stay above 0, halved until less is missed."""
    slack, change = problem.slack(x), problem.change(step)
    fastest = torch.stack([(-change / slack).max(), (-step_multiplier / multiplier).max()]).max()
    size = float((0.99 / fastest.clamp(min=1e-9)).clamp(max=1))
    before = torch.linalg.vector_norm(problem.residual(x, multiplier, centre))
    for _ in range(30):
        there, of_there = x + size * step, multiplier + size * step_multiplier
        if bool(torch.linalg.vector_norm(problem.residual(there, of_there, centre)) <= (1 - 0.01 * size) * before):
            break
        size /= 2
    return there, of_there
