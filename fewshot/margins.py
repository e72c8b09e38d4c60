"""Largest margins for features of any scale: the machine of Crammer and Singer (2001) by its weights.

The dual has a system of items for each class, which is quick, but rebuilds weights from differences of multipliers;
where features are large those are below rounding. Here an interior point method moves weights, slacks and multipliers
together, in coordinates along principal axes, each of unit size. Slower: one system of classes times coordinates.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.convex import orthogonal
from fewshot.errors import EpisodeError

TOGETHER = 2**22  # numbers of the systems that are assembled at once


def largest_margins(
    x: Float[Tensor, "*e s dim"], target: Float[Tensor, "*e n s"], C: float, steps: int = 300
) -> Float[Tensor, "*e n dim"]:
    """Weights W that minimise ``‖W‖² / 2 + C Σ_i max_m (w_m x_i + 1 for m ≠ y - w_y x_i)``; no gradient flows.

    Args:
        x: Items in float64.
        target: One where an item belongs to a class.
        C: Weight of the violations against the norm.
        steps: Most of the interior point method.

    Raises:
        EpisodeError: If the solution is not found, or float64 cannot hold it.
    """
    if x.ndim == 2:
        return largest_margins(x[None], target[None], C, steps)[0]
    z, axes = orthogonal(x)
    size = z.abs().amax(-2, keepdim=True)
    size = torch.where(size > 0, size, 1)
    each = max(1, TOGETHER // (target.shape[-2] ** 2 * z.shape[-1] * z.shape[-2]))
    parts = (torch.split(part, each) for part in (z / size, target, 1 / (C * size.square())))
    chunks = zip(*parts, strict=True)
    weights = torch.cat([_solve(Margins(*chunk), steps) for chunk in chunks]) / size @ axes.mT
    return _filled(weights, x, target)


@dataclass(frozen=True)
class Margins:
    """Σ strength W² / 2 + Σ ξ under (w_y - w_m) z + ξ - (1 for m ≠ y) = t, all t ≥ 0.

    Attributes:
        z: Items, ``(e, s, k)``.
        target: One where an item belongs to a class, ``(e, n, s)``.
        strength: Of the penalty on each coordinate, ``(e, 1, k)``.
    """

    z: Tensor
    target: Tensor
    strength: Tensor

    def gaps(self, w: Tensor, xi: Tensor) -> Tensor:
        """What the slacks t are to be."""
        scores = w @ self.z.mT
        return (self.target * scores).sum(-2, keepdim=True) - scores + xi - (1 - self.target)

    def value(self, w: Tensor, xi: Tensor) -> Tensor:
        """The objective."""
        return (self.strength * w.square()).sum((-2, -1), keepdim=True) / 2 + xi.sum((-2, -1), keepdim=True)


def _solve(problem: Margins, steps: int) -> Tensor:
    """W ``(e, n, k)`` by primal and dual steps of one length; solved episodes stay."""
    n = problem.target.shape[-2]
    w = problem.z.new_zeros(*problem.target.shape[:-1], problem.z.shape[-1])
    xi, mu = torch.full_like(problem.target[..., :1, :], 2.0), torch.full_like(problem.target, 1 / n)
    t = problem.gaps(w, xi)
    for _ in range(steps):
        others = (1 - problem.target) * mu  # all multipliers of an item sum to 1
        off = problem.strength * w - (problem.target * others.sum(-2, keepdim=True) - others) @ problem.z
        unmet, value = problem.gaps(w, xi) - t, problem.value(w, xi)
        gap = (mu * t).sum((-2, -1), keepdim=True)
        done = (gap <= 1e-8 * value) & ((off * w).sum((-2, -1), keepdim=True).abs() <= 1e-7 * value)
        done &= unmet.abs().amax((-2, -1), keepdim=True) <= 1e-11
        if bool(done.all()):
            return w
        wanted = 0.1 * gap / mu.shape[-1] / n - mu * t
        dw, dxi, dt, dmu = _step(problem, off, unmet, wanted, mu, t)
        length = torch.where(done, 0.0, _longest((mu, dmu), (t, dt)))
        w, xi, t, mu = w + length * dw, xi + length * dxi, t + length * dt, mu + length * dmu
    raise EpisodeError(f"the support vector machine must be solved in {steps} steps; scale the features or lower C")


def _step(problem: Margins, off: Tensor, unmet: Tensor, wanted: Tensor, mu: Tensor, t: Tensor) -> tuple[Tensor, ...]:
    """Newton's step on the conditions of optimality: of weights, of ξ, of slacks and of multipliers."""
    z, d = problem.z, mu / t
    total = d.sum(-2, keepdim=True)
    h = wanted / t - d * unmet
    free = problem.target * (d >= d.amax(-2, keepdim=True))  # no violation: of its class an item keeps all multiplier
    short = torch.where(free.sum(-2, keepdim=True) > 0, 0, mu.sum(-2, keepdim=True) - 1)
    known = (h.sum(-2, keepdim=True) + short) / total
    dw = _system(problem, d, total, -off - (h - d * known) @ z)
    moved = dw @ z.mT
    own = known + (d * moved).sum(-2, keepdim=True) / total  # of w_y z + ξ
    dt = own - moved + unmet
    dmu = wanted / t - d * dt
    dmu = torch.where(free > 0, -((1 - free) * dmu).sum(-2, keepdim=True), dmu)
    dt = torch.where(free > 0, (wanted / t - dmu) / d, dt)  # and ξ is what is left of it, however small
    return dw, (problem.target * dt).sum(-2, keepdim=True), dt, dmu


def _system(problem: Margins, d: Tensor, total: Tensor, right: Tensor) -> Tensor:
    """Solves ``strength W + Σ_i (diag d - d dᵀ / Σ d) W z zᵀ = right``, whose columns sum to 0, by Cholesky."""
    z, (n, k) = problem.z, right.shape[-2:]
    eye = torch.eye(n, dtype=z.dtype, device=z.device).unsqueeze(-1)
    across = (1 - eye) * d.unsqueeze(-2) * (d / total).unsqueeze(-3)  # (e, n, n, s)
    across = eye * across.sum(-2, keepdim=True) - across  # the diagonal from the others loses no digits
    blocks = (z.mT[:, None, None] * across.unsqueeze(-2)) @ z[:, None, None]  # (e, n, n, k, k)
    blocks = blocks + eye.unsqueeze(-1) * problem.strength.squeeze(-2).diag_embed()[:, None, None]
    own = blocks.diagonal(0, 1, 2).diagonal(0, 1, 2).mean(-2)  # (e, k)
    blocks = blocks + own.diag_embed()[:, None, None] / n  # the classes' mean, which is 0 and stays so
    whole = blocks.transpose(-3, -2).reshape(-1, n * k, n * k)
    scale = whole.diagonal(dim1=-2, dim2=-1).rsqrt()
    even = scale.unsqueeze(-1) * whole * scale.unsqueeze(-2)
    factor, _ = torch.linalg.cholesky_ex(even + 1e-14 * torch.eye(n * k, dtype=z.dtype, device=z.device))
    flat = scale * right.reshape(-1, n * k)
    return (scale * torch.cholesky_solve(flat.unsqueeze(-1), factor).squeeze(-1)).reshape_as(right)


def _longest(*pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The longest step, 1 at most, that keeps positive numbers positive in each episode."""
    shrinkage = [(-step / value).amax((-2, -1), keepdim=True) for value, step in pairs]
    return (0.99 / torch.stack(shrinkage).amax(0).clamp(min=1e-9)).clamp(max=1)


def _filled(weights: Tensor, x: Tensor, target: Tensor) -> Tensor:
    """Weights of features, a little larger where only rounding is in the way of all margins."""
    scores = weights @ x.mT
    violation = (scores + 1 - target).amax(-2) - (scores * target).sum(-2)
    most = violation.amax(-1)[..., None, None]
    return torch.where((most > 0) & (most < 1e-9), weights * (1 + most + 1e-16), weights)
