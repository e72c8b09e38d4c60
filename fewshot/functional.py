"""Formulas of few-shot learning, one each, batched over episodes."""

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor

from fewshot.errors import EpisodeError


def class_means(
    x: Float[Tensor, "*e s dim"], y: Integer[Tensor, "*e s"], n_way: int
) -> Float[Tensor, "*e {n_way} dim"]:
    """Mean feature of every class: the prototypes of Snell et al. (2017), eq. 1. Shots may differ.

    Args:
        x: Support features.
        y: Class of each support row, in ``0..n_way-1``.
        n_way: Number of classes.

    Raises:
        EpisodeError: If a class has no example.
    """
    require_every_class(y, n_way)
    member = class_membership(y, n_way, x.dtype)
    return member.mT @ x / member.sum(-2).unsqueeze(-1)


def require_every_class(y: Integer[Tensor, "*e s"], n_way: int) -> None:
    """Let an episode pass only if each of its classes has a support example.

    Raises:
        EpisodeError: If a class has none.
    """
    missing = class_membership(y, n_way, torch.bool).any(-2).logical_not()
    if bool(missing.any()):
        absent = sorted(set(missing.nonzero()[:, -1].tolist()))
        raise EpisodeError(f"every class needs a support example, got none for classes {absent}")


def require_finite(x: Float[Tensor, "*e s dim"]) -> None:
    """Let support features pass only if all are numbers.

    Raises:
        EpisodeError: If one is NaN or infinite.
    """
    if not bool(x.sum(-1).isfinite().all()):
        raise EpisodeError("features must be finite, got NaN or infinity in the support")


def cholesky(matrix: Float[Tensor, "*e n n"]) -> Float[Tensor, "*e n n"]:
    """Lower factor L with L Lᵀ the matrix; what is batched is solved with it, since batched LU is wrong on some CPUs.

    Raises:
        EpisodeError: If a matrix is not positive definite, as where rounding of large features outgrows a penalty.
    """
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(matrix)
    if bool(failed.any()):
        raise EpisodeError(
            "a matrix of inner products must be positive definite, got one that rounding spoils: features are too large "
            "against the penalty or shrinkage; scale the features, or raise the penalty"
        )
    return factor


def class_membership(y: Integer[Tensor, "*e s"], n_way: int, dtype: torch.dtype) -> Shaped[Tensor, "*e s {n_way}"]:
    """One where a support row belongs to a class, else zero."""
    return (y.unsqueeze(-1) == torch.arange(n_way, device=y.device)).to(dtype)


def squared_distances(a: Float[Tensor, "*e n dim"], b: Float[Tensor, "*e m dim"]) -> Float[Tensor, "*e n m"]:
    """Squared Euclidean distance of every row of ``a`` to every row of ``b``; never negative.

    Expanded as ``|a|² - 2ab + |b|²`` around the mean of ``b``, which costs one matrix
    product and keeps the rounding error small when all features share a large offset.
    """
    centre = b.mean(-2, keepdim=True)
    a, b = a - centre, b - centre
    a2, b2 = a.square().sum(-1, keepdim=True), b.square().sum(-1).unsqueeze(-2)
    return (a2 + b2 - 2 * (a @ b.mT)).clamp(min=0)


def rectifying_weights(
    near: Float[Tensor, "*e n_way n"], y: Integer[Tensor, "*e s"], over: str = "members"
) -> Float[Tensor, "*e n_way n"]:
    """Weights of support and queries in the rectified mean of each class: Liu et al. (2020), eqs. 5 and 6.

    Support items count for their own class, every query for the nearest one.

    Args:
        near: Scaled cosines of the support's class means to all items, support first.
        y: Class of each support row.
        over: The exponentials of the cosines are divided by their sum over the ``"members"`` of a class (the
            paper), or over the ``"classes"`` and by the number of members (the code of LaplacianShot).
    """
    label = torch.cat([y, near[..., y.shape[-1] :].max(-2).indices], -1)
    member = class_membership(label, near.shape[-2], torch.bool).mT
    if over == "members":
        return near.masked_fill(~member, -torch.inf).softmax(-1)
    return near.softmax(-2) * member / member.sum(-1, keepdim=True)


def sinkhorn(
    cost: Float[Tensor, "*e n m"],
    rows: Float[Tensor, "*e n"],
    columns: Float[Tensor, "*e m"],
    strength: float,
    tolerance: float = 1e-8,
    steps: int = 1000,
) -> Float[Tensor, "*e n m"]:
    """Logarithm of the plan P with the least ``sum of P · cost − entropy of P / strength`` (Cuturi, 2013).

    Columns of P sum to the given numbers exactly, rows to within the tolerance. Scales stay logarithms, in double
    precision, so that nothing underflows. Every step is Sinkhorn's update of the rows or Newton's, whichever gains
    more: Sinkhorn's alone can take thousands where classes are far apart.

    Args:
        cost: Of moving from a row to a column; rows should be few, the classes.
        rows: Sums of the rows, above 0; scaled to the total of the columns.
        columns: Sums of the columns, above 0.
        strength: Inverse of the entropy's weight.
        tolerance: An episode is done when no row is farther from its sum; it is not touched afterwards.
        steps: Most updates.
    """
    log_k, b = -strength * cost.double(), columns.double()
    a = rows.double() / rows.double().sum(-1, keepdim=True) * b.sum(-1, keepdim=True)

    def gain(f: Tensor) -> Tensor:
        return (a * f).sum(-1, keepdim=True) - (b * (log_k + f.unsqueeze(-1)).logsumexp(-2)).sum(-1, keepdim=True)

    f, reach = torch.zeros_like(a), torch.full_like(a[..., :1], 16.0)
    for _ in range(steps):
        log_p = (log_k + f.unsqueeze(-1)).log_softmax(-2) + b.log().unsqueeze(-2)
        p = log_p.exp()
        missing = a - p.sum(-1)
        done = missing.abs().amax(-1, keepdim=True) <= tolerance
        if bool(done.all()):
            break
        curvature = p.sum(-1).diag_embed() - (p / b.unsqueeze(-2)) @ p.mT + a.mean(-1)[..., None, None]
        factor, singular = torch.linalg.cholesky_ex(curvature)
        newton = torch.cholesky_solve(missing.unsqueeze(-1), factor).squeeze(-1)
        newton = torch.where(singular.unsqueeze(-1) > 0, torch.nan, newton)
        newton = f + newton * (reach / newton.abs().amax(-1, keepdim=True)).clamp(max=1)
        plain = f + a.log() - log_p.logsumexp(-1)
        least = gain(plain)
        better = gain(newton) >= least - 1e-12 * least.abs()  # not so where the curvature is singular
        reach = torch.where(better, reach * 2, reach / 4).clamp(min=1)
        f = torch.where(done, f, torch.where(better, newton, plain))
    return log_p.to(cost.dtype)
