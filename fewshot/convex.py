"""Convex problems, solved to convergence for a batch of episodes at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError


def multinomial_logistic(
    x: Float[Tensor, "*e s dim"], target: Float[Tensor, "*e s n"], penalty: float
) -> tuple[Float[Tensor, "*e dim n"], Float[Tensor, "*e 1 n"]]:
    """Weights W and intercepts b that minimise ``-Σ target · log softmax(x W + b) + penalty ‖W‖² / 2``.

    The intercept is not penalised. All depends on inner products of centred
    items alone, so with fewer items than features the problem is solved in
    ``s`` coordinates that have the same ones. At the minimum
    ``W = xᵀ (target - weight · softmax(x W + b)) / penalty``.
    Give float64; no gradient flows through the solution.

    Args:
        x: Items.
        target: Share of each item that belongs to each class, not negative. A row's sum is the item's
            weight: one-hot rows are plain labels, other sums weigh items or classes.
        penalty: Strength of the penalty on the weights.

    Raises:
        EpisodeError: If Newton's method does not converge, as for classes without any weight.
    """
    centre = x.mean(-2, keepdim=True)
    x = x - centre
    coordinates = x if x.shape[-2] > x.shape[-1] else _square_root(x @ x.mT)
    design = torch.cat([coordinates, torch.ones_like(x[..., :1])], -1)  # (*e, s, k + 1)
    strength = torch.full_like(design[..., :1, :].mT, penalty)
    strength[..., -1, :] = 0
    theta, p = _newton(design, target, strength)
    residual = target - target.sum(-1, keepdim=True) * p
    weights = (residual.mT.contiguous() @ x / penalty).mT  # rows in memory are classes: products with it are quick
    return weights, theta[..., -1:, :] - centre @ weights


def _square_root(gram: Tensor) -> Tensor:
    """Rows with these inner products, up to rounding: the Cholesky factor, of singular matrices too."""
    size, eye = gram.shape[-1], torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    return torch.linalg.cholesky(gram + (size * torch.finfo(gram.dtype).eps * trace + 1e-100) * eye)


def _newton(z: Tensor, target: Tensor, strength: Tensor, steps: int = 100) -> tuple[Tensor, Tensor]:
    """Coefficients and probabilities by Newton's method, within 1e-14 or so of the least objective."""
    mass = target.sum(-1, keepdim=True)

    def objective(theta: Tensor) -> tuple[Tensor, Tensor]:
        logp = (z @ theta).log_softmax(-1)
        return _dot(strength * theta, theta) / 2 - _dot(target, logp), logp.exp()

    theta = z.new_zeros(*z.shape[:-2], z.shape[-1], target.shape[-1])
    value, p = objective(theta)
    for _ in range(steps):
        gradient = z.mT @ (mass * p - target) + strength * theta
        direction = _newton_direction(z, p, mass, strength, gradient)
        decrement = _dot(gradient, direction)  # twice what is left to gain, nearly; its square after the step
        theta, value, p = _descend(objective, theta, value, direction, decrement)
        if bool((decrement < 1e-9).all()):
            return theta, p
    raise EpisodeError(f"logistic regression must converge in {steps} steps; scale the features or lower C")


def _descend(
    objective: Callable[[Tensor], tuple[Tensor, Tensor]],
    theta: Tensor,
    value: Tensor,
    direction: Tensor,
    decrement: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """A whole step, halved in each episode until the objective falls enough (Armijo) up to rounding."""
    size = torch.ones_like(decrement)
    for _ in range(40):
        after, p = objective(theta - size * direction)
        too_far = after > value - 1e-4 * size * decrement + 1e-13 * value
        if not bool(too_far.any()):
            break
        size = torch.where(too_far, size / 2, size)
    return theta - size * direction, after, p


def _newton_direction(
    z: Tensor, p: Tensor, mass: Tensor, strength: Tensor, gradient: Tensor, rounds: int = 500
) -> Tensor:
    """Hessian's inverse times gradient by conjugate gradients, preconditioned by the Hessian's diagonal.

    Nothing depends on the classes' mean coefficient, and the penalty holds it at 0: all vectors have class mean 0.
    """
    share = mass * p
    diagonal = z.square().mT @ (share - share * p) + strength + 1 / p.shape[-1]

    def precondition(residual: Tensor) -> Tensor:
        scaled = residual / diagonal
        return scaled - scaled.mean(-1, keepdim=True)

    solution, residual = torch.zeros_like(gradient), gradient
    direction = precondition(residual)
    rho = _dot(residual, direction)
    goal = rho * rho.clamp(1e-6, 3e-3)  # first roughly, then exactly
    for _ in range(rounds):
        open_ = rho > goal
        if not bool(open_.any()):
            break
        moved = share * (z @ direction)
        curved = z.mT @ torch.addcmul(moved, p, moved.sum(-1, keepdim=True), value=-1) + strength * direction
        alpha = torch.where(open_, rho / _dot(direction, curved), 0.0)
        solution = torch.addcmul(solution, alpha, direction)
        residual = torch.addcmul(residual, alpha, curved, value=-1)
        preconditioned = precondition(residual)
        rho, before = _dot(residual, preconditioned), rho
        direction = torch.addcmul(preconditioned, torch.where(before > 0, rho / before, 0.0), direction)
    return solution


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the matrices of each episode."""
    return (a * b).sum((-2, -1), keepdim=True)
