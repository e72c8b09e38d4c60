"""Newton's method for logistic regression: steps by conjugate gradients, and how long each may be."""

import torch
from torch import Tensor

from fewshot.errors import EpisodeError
from fewshot.learners.linear.logistic_loss import Logistic, Point, curvature, dot, settled


def newton(problem: Logistic, steps: int = 100) -> tuple[Tensor, Point]:
    """Coefficients ``(n, k)``: Newton steps to within 1e-14 or so of the least objective."""
    theta = torch.zeros_like(problem.strength)
    at = problem.at(theta)
    for _ in range(steps):
        gradient = at.missed @ problem.design + problem.strength * theta
        direction = _direction(problem, at, gradient)
        decrement = dot(gradient, direction)  # twice what is left to gain, nearly; its square after the step
        theta, at = _descend(problem, theta, at.value, direction, decrement)
        if bool((decrement <= 1e-9 * at.value.clamp(max=1)).all()):
            return theta, at
    raise EpisodeError(f"logistic regression must converge in {steps} steps; scale the features or lower C")


def _descend(
    problem: Logistic, theta: Tensor, value: Tensor, direction: Tensor, decrement: Tensor
) -> tuple[Tensor, Point]:
    """A whole step, halved in each episode until the objective falls enough (Armijo) up to rounding."""
    size = torch.ones_like(decrement)
    for _ in range(40):
        there = theta - size * direction
        at = problem.at(there)
        too_far = at.value > value - 1e-4 * size * decrement + 1e-13 * value
        if not bool(too_far.any()):
            break
        size = torch.where(too_far, size / 2, size)
    return there, at


def _direction(problem: Logistic, at: Point, gradient: Tensor, rounds: int = 500) -> Tensor:
    """Hessian's inverse times gradient by conjugate gradients, preconditioned by the Hessian's diagonal.

    Nothing depends on the classes' mean coefficient, and the penalty holds it at 0: all vectors have class mean 0.
    """
    z, p, strength = problem.design, at.p, problem.strength
    share, across = problem.mass * p, z.mT.contiguous().mT  # the same numbers, laid out for the other product
    least = torch.finfo(p.dtype).tiny if problem.exact else 1 / p.shape[-2]
    scale = (curvature(share, at) @ z.square() + strength + least).reciprocal()

    def precondition(residual: Tensor) -> Tensor:
        scaled = scale * residual
        return scaled.sub_(scaled.mean(-2, keepdim=True))

    solution, residual = torch.zeros_like(gradient), gradient.clone()
    direction = precondition(residual)
    rho = dot(residual, direction)
    goal = rho * rho.clamp(1e-6, 3e-3)  # first roughly, then exactly
    for _ in range(rounds):
        unsolved = rho > goal
        if not bool(unsolved.any()):
            break
        moved = share * (direction @ z.mT)
        moved = settled(torch.addcmul(moved, p, moved.sum(-2, keepdim=True), value=-1), at.top)
        curved = torch.addcmul(moved @ across, strength, direction)
        alpha = torch.where(unsolved, rho / dot(direction, curved), 0.0)
        solution.addcmul_(alpha, direction)
        residual.addcmul_(alpha, curved, value=-1)
        preconditioned = precondition(residual)
        rho, before = dot(residual, preconditioned), rho
        direction = torch.addcmul(preconditioned, torch.where(unsolved, rho / before, 0.0), direction)
    return solution
