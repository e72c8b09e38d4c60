"""Convex problems, solved to convergence for a batch of episodes at once."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError
from fewshot.functional import cholesky

LARGE = 1e7
"""Of squared sizes of an episode's features against a penalty: above, differences below rounding decide."""
CANCEL = 64.0
"""Sum of a score's terms from which on float32 has too few digits for it."""


def ridge(
    x: Float[Tensor, "*e s dim"], target: Float[Tensor, "*e s n"], penalty: float | Float[Tensor, ""]
) -> Float[Tensor, "*e dim n"]:
    """Weights W that minimise ``‖x W - target‖² + penalty ‖W‖²``; gradients flow to all three.

    ``xᵀ (x xᵀ + penalty)⁻¹ target`` with fewer items than features, else ``(xᵀ x + penalty)⁻¹ xᵀ target``. Where items
    are so large that squares lose the penalty, by singular values instead: ``V s (s² + penalty)⁻¹ Uᵀ target``.

    Args:
        x: Items, in float64 if they may be large; centre them, or add a column of ones, for an intercept.
        target: What each item is to be mapped to.
        penalty: Strength of the penalty on the weights, above 0.

    Raises:
        EpisodeError: If the penalty is too small for the precision of the items.
    """
    dual = x.shape[-2] < x.shape[-1]
    gram = x @ x.mT if dual else x.mT @ x
    large = bool((gram.detach().diagonal(dim1=-2, dim2=-1).sum(-1) > LARGE * penalty).any())
    if large and not (torch.is_grad_enabled() and x.requires_grad):
        u, s, vt = torch.linalg.svd(x, full_matrices=False)
        shrunk: Tensor = (s / (s.square() + penalty)).unsqueeze(-1)
        short: Tensor = vt.mT @ (shrunk * (u.mT @ target))
        return short
    factor = cholesky(gram + penalty * torch.eye(gram.shape[-1], dtype=x.dtype, device=x.device))
    solved: Tensor = torch.cholesky_solve(target if dual else x.mT @ target, factor)
    if dual:
        solved = x.mT @ solved
    return solved


def linear(
    weights: Float[Tensor, "*e dim n"], intercept: Float[Tensor, "*e 1 n"], centre: Float[Tensor, "*e 1 dim"]
) -> Callable[[Float[Tensor, "*e q dim"]], Float[Tensor, "*e q n"]]:
    """The function ``query W + b``, computed in the type of the query unless its terms would cancel there.

    Args:
        weights: W in float64.
        intercept: b in float64.
        centre: Where items lie.
    """
    terms = centre.detach().to(weights).abs() @ weights.detach().abs()
    cancel = not bool((terms < CANCEL).all())

    def scores(query: Tensor) -> Tensor:
        if cancel:
            return (query.to(weights) @ weights + intercept).to(query.dtype)
        return query @ weights.to(query) + intercept.to(query)

    return scores


def multinomial_logistic(
    x: Float[Tensor, "*e s dim"], target: Float[Tensor, "*e s n"], penalty: float
) -> tuple[Float[Tensor, "*e dim n"], Float[Tensor, "*e 1 n"]]:
    """Weights W and intercepts b that minimise ``-Σ target · log softmax(x W + b) + penalty ‖W‖² / 2``.

    The intercept is not penalised. All depends on inner products of centred
    items alone, so with fewer items than features the problem is solved in
    ``s`` coordinates that have the same ones. At the minimum
    ``W = xᵀ (target - weight · softmax(x W + b)) / penalty``, unless features are so large
    that these differences are below rounding: then W is a combination of orthonormal axes.
    Computed and returned in the type of the target, which should be float64; no gradient flows through.

    Args:
        x: Items.
        target: Share of each item that belongs to each class, not negative. A row's sum is the item's
            weight: one-hot rows are plain labels, other sums weigh items or classes.
        penalty: Strength of the penalty on the weights.

    Raises:
        EpisodeError: If Newton's method does not converge, as for classes without any weight, or features differ
            so much in size that float64 cannot hold the weights.
    """
    shares = target.mT.contiguous()  # from here on a row a class: the quicker way round
    centred = x.to(target.dtype, copy=True)
    centre = _centre(centred, shares)
    centred -= centre
    size = torch.linalg.vector_norm(centred, dim=(-2, -1), keepdim=True)
    unit = torch.where(size > 0, size / x.shape[-2], 1)  # of the intercept: as large as the features, for the solver
    coordinates, axes = _coordinates(centred, bool((size.square() > LARGE * penalty).any()))
    design = torch.cat([coordinates, unit.expand_as(x[..., :1])], -1)  # (*e, s, k + 1)
    strength = torch.full_like(design[..., :1, :], penalty)
    strength[..., -1] = 0
    problem = Logistic(design, shares, strength.repeat_interleave(target.shape[-1], -2), exact=axes is not None)
    theta, at = _newton(problem)
    if axes is None:
        coefficients = (shares - problem.mass * at.p) / penalty  # of an item for a class
        weights = (coefficients - coefficients.mean(-1, keepdim=True)) @ centred  # mean 0 at the minimum
    else:
        weights = theta[..., :-1] @ axes.mT
        _require_resolved(replace(problem, design=torch.cat([centred, design[..., -1:]], -1)), weights, theta, at.value)
    return weights.mT, (theta[..., -1:] * unit - weights @ centre.mT).mT


def logistic_towards(
    x: Float[Tensor, "*e s dim"], target: Float[Tensor, "*e s n"], start: Float[Tensor, "*e dim n"], penalty: float
) -> Float[Tensor, "*e dim n"]:
    """Weights W that minimise ``-Σ target · log softmax(x W) + penalty ‖W - start‖² / 2``; no intercept.

    Solved for ``W - start`` along the axes that the items span, for along others it is 0.

    Args:
        x: Items in float64; add a column of ones for an intercept.
        target: Share of each item that belongs to each class, as in `multinomial_logistic`.
        start: Weights at which there is no penalty.
        penalty: Strength of the penalty, above 0.

    Raises:
        EpisodeError: If Newton's method does not converge.
    """
    coordinates, axes = orthogonal(x)
    strength = torch.full_like(target[..., :1, :].mT * coordinates[..., :1, :], penalty)
    problem = Logistic(coordinates, target.mT.contiguous(), strength, exact=True, offset=(x @ start).mT)
    theta, _ = _newton(problem)
    return start + axes @ theta.mT


def _centre(x: Tensor, shares: Tensor) -> Tensor:
    """Mean item, weighted where weights differ: an item without weight may be anything."""
    mass = shares.sum(-2, keepdim=True)
    if bool((mass == mass[..., :1]).all()):
        return x.mean(-2, keepdim=True)
    return mass @ x / mass.sum(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)


def _coordinates(centred: Tensor, large: bool) -> tuple[Tensor, Tensor | None]:
    """Rows of no more numbers than items with the same inner products, and the orthonormal axes they count along.

    The Cholesky factor of the inner products is quick, and has no axes. Squares halve the digits, so large features,
    and those of which rounding spoils the factor, are turned by orthogonal matrices instead.
    """
    if centred.shape[-2] > centred.shape[-1]:
        coordinates, axes = orthogonal(centred)
        return coordinates, axes if large else None
    if not large:
        root, failed = _square_root(centred @ centred.mT)
        if not bool(failed.any()):
            return root, None
    return orthogonal(centred)


def orthogonal(x: Float[Tensor, "*e s dim"]) -> tuple[Float[Tensor, "*e s k"], Float[Tensor, "*e dim k"]]:
    """Coordinates along orthonormal axes, ``k = min(s, dim)``, in which ``xᵀ x`` is nearly diagonal; no digit is lost."""
    if x.shape[-2] > x.shape[-1]:
        axes = _principal_axes(x)
    else:
        span, triangle = torch.linalg.qr(x.mT)
        axes = span @ _principal_axes(triangle.mT)
    return x @ axes, axes


def _principal_axes(centred: Tensor) -> Tensor:
    """Directions in which the Hessian is nearly diagonal, so that its diagonal is a good guess of it."""
    axes: Tensor = torch.linalg.eigh(centred.mT @ centred)[1]
    return axes


def _square_root(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Rows with these inner products, up to rounding, and whether there are none: Cholesky, of singular matrices too."""
    size, eye = gram.shape[-1], torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    root, failed = torch.linalg.cholesky_ex(gram + (size * torch.finfo(gram.dtype).eps * trace + 1e-100) * eye)
    return root, failed


@dataclass(frozen=True)
class Point:
    """A value of the objective, probabilities ``(n, s)``, and what they miss: weight times p less target.

    Attributes:
        value: Of the objective.
        p: Probabilities, a row a class.
        missed: Derivatives of the loss by the logits.
        top: Each item's likeliest class ``(1, s)`` where numbers are exact, else None.
    """

    value: Tensor
    p: Tensor
    missed: Tensor
    top: Tensor | None


@dataclass(frozen=True)
class Logistic:
    """``-Σ target · log softmax(theta designᵀ) + Σ strength theta² / 2``.

    Attributes:
        design: Items, ``(s, k)``.
        target: Shares, ``(n, s)``.
        strength: Of the penalty on each coefficient, ``(n, k)``.
        exact: Whether a likeliest class may be so likely that 1 - p is below rounding; it is computed from the others.
        offset: Added to the logits, ``(n, s)``.
    """

    design: Tensor
    target: Tensor
    strength: Tensor
    exact: bool = False
    offset: Tensor | float = 0.0

    @cached_property
    def mass(self) -> Tensor:
        """Weights of the items, ``(1, s)``."""
        return self.target.sum(-2, keepdim=True)

    def at(self, theta: Tensor) -> Point:
        """The objective there."""
        logits = theta @ self.design.mT + self.offset
        penalty = _dot(self.strength * theta, theta) / 2
        if not self.exact:
            logp = logits.log_softmax(-2)
            p = logp.exp()
            return Point(penalty - _dot(self.target, logp), p, self.mass * p - self.target, None)
        highest, top = logits.max(-2, keepdim=True)
        below = logits - highest
        others = below.exp().scatter(-2, top, 0).sum(-2, keepdim=True)
        p = below.exp() / (1 + others)
        missed = _settled(self.mass * p - self.target, top)
        return Point(penalty - _dot(self.target, below - others.log1p()), p, missed, top)


def _settled(rows: Tensor, top: Tensor | None) -> Tensor:
    """Columns that sum to 0: that of the likeliest class, a small difference of large numbers, is what others leave."""
    if top is None:
        return rows
    rest = rows.scatter(-2, top, 0)
    return rest.scatter(-2, top, -rest.sum(-2, keepdim=True))


def _curvature(share: Tensor, at: Point) -> Tensor:
    """Diagonal of the loss's second derivatives by the logits: ``share (1 - p)``."""
    if at.top is None:
        return share - share * at.p
    return share * (1 - at.p).scatter(-2, at.top, at.p.scatter(-2, at.top, 0).sum(-2, keepdim=True))


def _require_resolved(problem: Logistic, weights: Tensor, theta: Tensor, value: Tensor) -> None:
    """Let weights of features pass only if they have the loss of the coordinates that they come from."""
    strength = torch.cat([problem.strength[..., :1].expand_as(weights), problem.strength[..., -1:]], -1)
    there = replace(problem, strength=strength).at(torch.cat([weights, theta[..., -1:]], -1)).value
    if not bool(((there - value).abs() <= 1e-7 * value).all()):
        raise EpisodeError(
            "features must not differ in size by more than float64 can hold, got columns or offsets "
            "some 1e8 times as large as others; scale the features"
        )


def _newton(problem: Logistic, steps: int = 100) -> tuple[Tensor, Point]:
    """Coefficients ``(n, k)``: Newton steps to within 1e-14 or so of the least objective."""
    theta = torch.zeros_like(problem.strength)
    at = problem.at(theta)
    for _ in range(steps):
        gradient = at.missed @ problem.design + problem.strength * theta
        direction = _newton_direction(problem, at, gradient)
        decrement = _dot(gradient, direction)  # twice what is left to gain, nearly; its square after the step
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


def _newton_direction(problem: Logistic, at: Point, gradient: Tensor, rounds: int = 500) -> Tensor:
    """Hessian's inverse times gradient by conjugate gradients, preconditioned by the Hessian's diagonal.

    Nothing depends on the classes' mean coefficient, and the penalty holds it at 0: all vectors have class mean 0.
    """
    z, p, strength = problem.design, at.p, problem.strength
    share, across = problem.mass * p, z.mT.contiguous().mT  # the same numbers, laid out for the other product
    least = torch.finfo(p.dtype).tiny if problem.exact else 1 / p.shape[-2]
    scale = (_curvature(share, at) @ z.square() + strength + least).reciprocal()

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
        moved = _settled(torch.addcmul(moved, p, moved.sum(-2, keepdim=True), value=-1), at.top)
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
