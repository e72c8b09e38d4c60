"""Convex problems, solved to convergence for a batch of episodes at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError


def multinomial_logistic(
    x: Float[Tensor, "*e s dim"], target: Float[Tensor, "*e s n"], penalty: float
) -> tuple[Float[Tensor, "*e 1 dim"], Float[Tensor, "*e dim n"], Float[Tensor, "*e 1 n"]]:
    """Centre, weights W and intercepts b that minimise ``-Σ target · log softmax((x - centre) W + b) + penalty ‖W‖² / 2``.

    The intercept is not penalised. The best weights lie in the span of the
    centred items, so the problem is solved there: ``min(s, dim)`` coordinates
    and the intercept. Give float64; no gradient flows through the solution.

    Args:
        x: Items.
        target: Share of each item that belongs to each class, not negative. A row's sum is the item's
            weight: one-hot rows are plain labels, other sums weigh items or classes.
        penalty: Strength of the penalty on the weights.

    Raises:
        EpisodeError: If Newton's method does not converge, as for classes without any weight.
    """
    centre = x.mean(-2, keepdim=True)
    basis, coordinates = torch.linalg.qr((x - centre).mT)
    design = torch.cat([coordinates.mT, torch.ones_like(x[..., :1])], -1)  # (*e, s, k + 1)
    strength = torch.full_like(design[..., :1, :].mT, penalty)
    strength[..., -1, :] = 0
    theta = _newton(design, target, strength)
    return centre, basis @ theta[..., :-1, :], theta[..., -1:, :]


def _newton(z: Tensor, target: Tensor, strength: Tensor, steps: int = 100) -> Tensor:
    """Newton's method with halved steps, until the objective is within 1e-14 or so of its minimum."""

    def objective(theta: Tensor) -> Tensor:
        losses = -(target * (z @ theta).log_softmax(-1)).sum((-2, -1), keepdim=True)
        return losses + (strength * theta.square()).sum((-2, -1), keepdim=True) / 2

    theta = z.new_zeros(*z.shape[:-2], z.shape[-1], target.shape[-1])
    mass = target.sum(-1, keepdim=True)
    for _ in range(steps):
        p = (z @ theta).softmax(-1)
        gradient = z.mT @ (mass * p - target) + strength * theta
        direction = _solve_newton(z, p, mass, strength, gradient)
        decrement = (gradient * direction).sum((-2, -1), keepdim=True)  # twice what is left to gain, nearly
        theta = theta - _step_size(objective, theta, direction, decrement) * direction
        if bool((decrement < 1e-14).all()):
            return theta
    raise EpisodeError(f"logistic regression must converge in {steps} steps; scale the features or lower C")


def _step_size(objective: Callable[[Tensor], Tensor], theta: Tensor, direction: Tensor, decrement: Tensor) -> Tensor:
    """One, halved in each episode until the objective falls enough (Armijo) up to rounding."""
    before, size = objective(theta), torch.ones_like(decrement)
    for _ in range(40):
        after = objective(theta - size * direction)
        too_far = after > before - 1e-4 * size * decrement + 1e-13 * before
        if not bool(too_far.any()):
            break
        size = torch.where(too_far, size / 2, size)
    return size


def _solve_newton(z: Tensor, p: Tensor, mass: Tensor, strength: Tensor, gradient: Tensor, rounds: int = 500) -> Tensor:
    """Newton direction by conjugate gradients, preconditioned by an estimate of the Hessian's diagonal."""

    def hessian(v: Tensor) -> Tensor:
        a = z @ v
        free = (strength == 0) * v.mean(-1, keepdim=True)  # nothing depends on the intercepts' mean: hold it still
        return z.mT @ (mass * p * (a - (p * a).sum(-1, keepdim=True))) + strength * v + free

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((-2, -1), keepdim=True)

    diagonal = z.square().mT @ (mass * p * (1 - p)) + strength + 1 / p.shape[-1]
    solution, residual = torch.zeros_like(gradient), gradient
    preconditioned = residual / diagonal
    direction, rho = preconditioned, dot(residual, preconditioned)
    goal = rho * rho.clamp(1e-8, 1e-2)  # first roughly, then exactly
    for _ in range(rounds):
        if bool((rho <= goal).all()):
            break
        curved = hessian(direction)
        alpha = torch.where(rho > goal, rho / dot(direction, curved), 0.0)
        solution, residual = solution + alpha * direction, residual - alpha * curved
        preconditioned = residual / diagonal
        rho, before = dot(residual, preconditioned), rho
        direction = preconditioned + torch.where(before > 0, rho / before, 0.0) * direction
    return solution
