"""Convex problems, solved to convergence for a batch of episodes at once."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError


def ridge(
    x: Float[Tensor, "*e s dim"], target: Float[Tensor, "*e s n"], penalty: float | Float[Tensor, ""]
) -> Float[Tensor, "*e dim n"]:
    """Weights W that minimise ``‖x W - target‖² + penalty ‖W‖²``; gradients flow to all three.

    ``xᵀ (x xᵀ + penalty)⁻¹ target`` with fewer items than features, else ``(xᵀ x + penalty)⁻¹ xᵀ target``.

    Args:
        x: Items; centre them, or add a column of ones, for an intercept.
        target: What each item is to be mapped to.
        penalty: Strength of the penalty on the weights, above 0.
    """
    dual = x.shape[-2] < x.shape[-1]
    gram = x @ x.mT if dual else x.mT @ x
    factor = torch.linalg.cholesky(gram + penalty * torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device))
    solved: Tensor = torch.cholesky_solve(target if dual else x.mT @ target, factor)
    if dual:
        solved = x.mT @ solved
    return solved


def multinomial_logistic(
    x: Float[Tensor, "*e s dim"], target: Float[Tensor, "*e s n"], penalty: float
) -> tuple[Float[Tensor, "*e dim n"], Float[Tensor, "*e 1 n"]]:
    """Weights W and intercepts b that minimise ``-Σ target · log softmax(x W + b) + penalty ‖W‖² / 2``.

    The intercept is not penalised. All depends on inner products of centred
    items alone, so with fewer items than features the problem is solved in
    ``s`` coordinates that have the same ones. At the minimum
    ``W = xᵀ (target - weight · softmax(x W + b)) / penalty``.
    Computed in the type of the target, which should be float64, and returned in that of the items; no gradient
    flows through.

    Args:
        x: Items.
        target: Share of each item that belongs to each class, not negative. A row's sum is the item's
            weight: one-hot rows are plain labels, other sums weigh items or classes.
        penalty: Strength of the penalty on the weights.

    Raises:
        EpisodeError: If Newton's method does not converge, as for classes without any weight.
    """
    shares = target.mT.contiguous()  # from here on a row a class: the quicker way round
    centred = x.to(target.dtype, copy=True)
    centre = centred.mean(-2, keepdim=True)
    centred -= centre
    size = torch.linalg.vector_norm(centred, dim=(-2, -1), keepdim=True) / x.shape[-2]
    unit = torch.where(size > 0, size, 1)  # of the intercept: as large as the features, for the solver's sake
    many = x.shape[-2] > x.shape[-1]
    coordinates = centred @ _principal_axes(centred) if many else _square_root(centred @ centred.mT)
    design = torch.cat([coordinates, unit.expand_as(x[..., :1])], -1)  # (*e, s, k + 1)
    strength = torch.full_like(design[..., :1, :], penalty)
    strength[..., -1] = 0
    theta, p = _newton(design, shares, strength.repeat_interleave(target.shape[-1], -2))
    coefficients = (shares - shares.sum(-2, keepdim=True) * p) / penalty  # of an item for a class
    coefficients = coefficients - coefficients.mean(-1, keepdim=True)  # 0 at the minimum: the origin does not matter
    intercept = theta[..., -1:] * unit - coefficients @ (centred @ centre.mT)
    return (coefficients.to(x.dtype) @ x).mT, intercept.mT.to(x.dtype)


def _principal_axes(centred: Tensor) -> Tensor:
    """Directions in which the Hessian is nearly diagonal, so that its diagonal is a good guess of it."""
    axes: Tensor = torch.linalg.eigh(centred.mT @ centred)[1]
    return axes


def _square_root(gram: Tensor) -> Tensor:
    """Rows with these inner products, up to rounding: the Cholesky factor, of singular matrices too."""
    size, eye = gram.shape[-1], torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    root: Tensor = torch.linalg.cholesky(gram + (size * torch.finfo(gram.dtype).eps * trace + 1e-100) * eye)
    return root


def _newton(z: Tensor, target: Tensor, strength: Tensor, steps: int = 100) -> tuple[Tensor, Tensor]:
    """Coefficients ``(n, k)`` and probabilities ``(n, s)``: Newton steps to within 1e-14 or so of the least objective."""
    mass = target.sum(-2, keepdim=True)

    def objective(theta: Tensor) -> tuple[Tensor, Tensor]:
        logp = (theta @ z.mT).log_softmax(-2)
        return _dot(strength * theta, theta) / 2 - _dot(target, logp), logp.exp()

    theta = z.new_zeros(*z.shape[:-2], target.shape[-2], z.shape[-1])
    value, p = objective(theta)
    for _ in range(steps):
        gradient = (mass * p - target) @ z + strength * theta
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
        there = theta - size * direction
        after, p = objective(there)
        too_far = after > value - 1e-4 * size * decrement + 1e-13 * value
        if not bool(too_far.any()):
            break
        size = torch.where(too_far, size / 2, size)
    return there, after, p


def _newton_direction(
    z: Tensor, p: Tensor, mass: Tensor, strength: Tensor, gradient: Tensor, rounds: int = 500
) -> Tensor:
    """Hessian's inverse times gradient by conjugate gradients, preconditioned by the Hessian's diagonal.

    Nothing depends on the classes' mean coefficient, and the penalty holds it at 0: all vectors have class mean 0.
    """
    share, across = mass * p, z.mT.contiguous().mT  # the same numbers, laid out for the other product
    scale = ((share - share * p) @ z.square() + strength + 1 / p.shape[-2]).reciprocal()

    def precondition(residual: Tensor) -> Tensor:
        scaled = scale * residual
        return scaled.sub_(scaled.mean(-2, keepdim=True))

    solution, residual = torch.zeros_like(gradient), gradient.clone()
    direction = precondition(residual)
    rho = _dot(residual, direction)
    goal = rho * rho.clamp(1e-6, 3e-3)  # first roughly, then exactly
    for _ in range(rounds):
        unsolved = rho > goal
        if not bool(unsolved.any()):
            break
        moved = share * (direction @ z.mT)
        moved = torch.addcmul(moved, p, moved.sum(-2, keepdim=True), value=-1)
        curved = torch.addcmul(moved @ across, strength, direction)
        alpha = torch.where(unsolved, rho / _dot(direction, curved), 0.0)
        solution.addcmul_(alpha, direction)
        residual.addcmul_(alpha, curved, value=-1)
        preconditioned = precondition(residual)
        rho, before = _dot(residual, preconditioned), rho
        direction = torch.addcmul(preconditioned, torch.where(unsolved, rho / before, 0.0), direction)
    return solution


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the matrices of each episode."""
    return (a * b).sum((-2, -1), keepdim=True)
