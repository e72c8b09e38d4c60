"""Convex problems, solved to convergence for a batch of episodes at once."""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError
from fewshot.functional import cholesky
from fewshot.learners.linear.coordinates import coordinates_of, orthogonal
from fewshot.learners.linear.logistic_loss import Logistic
from fewshot.learners.linear.newton import newton

LARGE = 1e7
"""Of squared sizes of an episode's features against a penalty: above, differences below rounding decide."""
LARGEST = 1e13
"""Of a singular value against the root of the penalty: above, rounding in float64 is no longer small against it."""
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
        EpisodeError: If the penalty is too small for the precision of the items, or for their size.
    """
    dual = x.shape[-2] < x.shape[-1]
    gram = x @ x.mT if dual else x.mT @ x
    large = bool((gram.detach().diagonal(dim1=-2, dim2=-1).sum(-1) > LARGE * penalty).any())
    if large and not (torch.is_grad_enabled() and x.requires_grad):
        u, s, vt = torch.linalg.svd(x, full_matrices=False)
        if float(s.amax()) > LARGEST * float(penalty) ** 0.5:
            raise EpisodeError(
                f"features must be small against the root of the penalty, got {float(s.amax()):.0e} where it is "
                f"{float(penalty) ** 0.5:g}; scale the features, or raise the penalty"
            )
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
    coordinates, axes = coordinates_of(centred, bool((size.square() > LARGE * penalty).any()))
    design = torch.cat([coordinates, unit.expand_as(x[..., :1])], -1)  # (*e, s, k + 1)
    strength = torch.full_like(design[..., :1, :], penalty)
    strength[..., -1] = 0
    problem = Logistic(design, shares, strength.repeat_interleave(target.shape[-1], -2), exact=axes is not None)
    theta, at = newton(problem)
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
    theta, _ = newton(problem)
    return start + axes @ theta.mT


def _centre(x: Tensor, shares: Tensor) -> Tensor:
    """Mean item, weighted where weights differ: an item without weight may be anything."""
    mass = shares.sum(-2, keepdim=True)
    if bool((mass == mass[..., :1]).all()):
        return x.mean(-2, keepdim=True)
    return mass @ x / mass.sum(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)


def _require_resolved(problem: Logistic, weights: Tensor, theta: Tensor, value: Tensor) -> None:
    """Let weights of features pass only if they have the loss of the coordinates that they come from."""
    strength = torch.cat([problem.strength[..., :1].expand_as(weights), problem.strength[..., -1:]], -1)
    there = replace(problem, strength=strength).at(torch.cat([weights, theta[..., -1:]], -1)).value
    if not bool(((there - value).abs() <= 1e-7 * value).all()):
        raise EpisodeError(
            "features must not differ in size by more than float64 can hold, got columns or offsets "
            "some 1e8 times as large as others; scale the features"
        )
