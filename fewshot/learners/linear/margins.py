"""Largest margins for features of any scale: the machine of Crammer and Singer (2001) by its weights.

The dual has a system of items for each class, which is quick, but rebuilds weights from differences of multipliers;
where features are large those are below rounding. Here an interior point method moves weights, slacks and multipliers
together, in coordinates along principal axes, each of unit size. Slower: one system of classes times coordinates.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.errors import EpisodeError
from fewshot.learners.linear.coordinates import orthogonal

GENTLE = 1e-7
"""Strength of a coordinate's penalty against violations from which on steps resolve the objective."""
RELAXED = 1e-5
"""By how much stronger penalties are weakened at once, where they let margins be violated."""
FILLED = 1e-9
"""Violation that is rounding, where other violations are none."""


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
        return _weights(x, target, C, steps)
    each = zip(x, target, strict=True)  # alone: a large column amplifies the rounding by which a batch differs
    return torch.stack([_weights(*episode, C, steps) for episode in each])


def _weights(x: Tensor, target: Tensor, C: float, steps: int) -> Tensor:
    z, axes = orthogonal(x)
    size = z.abs().amax(-2, keepdim=True)
    size = torch.where(size > 0, size, 1)
    weights = _relaxed(Margins(z / size, target, 1 / (C * size.square())), steps) / size @ axes.mT
    return _filled(weights, x, target)


@dataclass(frozen=True)
class Margins:
    """Σ strength W² / 2 + Σ ξ under (w_y - w_m) z + ξ - (1 for m ≠ y) = t, all t ≥ 0.

    Attributes:
        z: Items, ``(s, k)``.
        target: One where an item belongs to a class, ``(n, s)``.
        strength: Of the penalty on each coordinate, ``(1, k)``.
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
        return (self.strength * w.square()).sum() / 2 + xi.sum()


def _relaxed(problem: Margins, steps: int) -> Tensor:
    """W ``(n, k)``: by penalties that are weakened until they are the problem's own, or violate no margin.

    Weights of the least penalty among those without violation are best for all weaker penalties, too.
    """
    factor = max(1.0, GENTLE / float(problem.strength.max()))
    while True:
        w = _solve(replace(problem, strength=factor * problem.strength), steps)
        if factor == 1 or bool(_violation(w, problem.z, problem.target).max() <= FILLED):
            return w
        factor = max(1.0, RELAXED * factor)


def _solve(problem: Margins, steps: int) -> Tensor:
    """W ``(n, k)`` by primal and dual steps of one length."""
    n = problem.target.shape[-2]
    w = problem.z.new_zeros(*problem.target.shape[:-1], problem.z.shape[-1])
    xi, mu = torch.full_like(problem.target[..., :1, :], 2.0), torch.full_like(problem.target, 1 / n)
    t = problem.gaps(w, xi)
    for _ in range(steps):
        others = (1 - problem.target) * mu  # all multipliers of an item sum to 1
        off = problem.strength * w - (problem.target * others.sum(-2, keepdim=True) - others) @ problem.z
        unmet, value = problem.gaps(w, xi) - t, problem.value(w, xi)
        gap = (mu * t).sum()
        if bool((gap <= 1e-11 * value) & ((off * w).sum().abs() <= 1e-7 * value) & (unmet.abs().max() <= 1e-11)):
            return w
        wanted = 0.1 * gap / mu.shape[-1] / n - mu * t
        dw, dxi, dt, dmu = _step(problem, off, unmet, wanted, mu, t)
        length = _longest((mu, dmu), (t, dt))
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
    across = (1 - eye) * d.unsqueeze(-2) * (d / total).unsqueeze(-3)  # (n, n, s)
    across = eye * across.sum(-2, keepdim=True) - across  # the diagonal from the others loses no digits
    blocks = (z.mT * across.unsqueeze(-2)) @ z  # (n, n, k, k)
    blocks = blocks + eye.unsqueeze(-1) * problem.strength[0].diag()
    own = blocks.diagonal(0, 0, 1).diagonal(0, 0, 1).mean(0)  # (k,)
    blocks = blocks + own.diag() / n  # the classes' mean, which is 0 and stays so
    whole = blocks.transpose(-3, -2).reshape(n * k, n * k)
    scale = whole.diagonal().rsqrt()
    even = scale.unsqueeze(-1) * whole * scale
    factor, _ = torch.linalg.cholesky_ex(even + 1e-14 * torch.eye(n * k, dtype=z.dtype, device=z.device))
    flat = scale * right.flatten()
    return (scale * torch.cholesky_solve(flat.unsqueeze(-1), factor).squeeze(-1)).reshape_as(right)


def _longest(*pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The longest step, 1 at most, that keeps positive numbers positive."""
    shrinkage = torch.stack([(-step / value).max() for value, step in pairs]).max()
    return (0.99 / shrinkage.clamp(min=1e-9)).clamp(max=1)


def _filled(weights: Tensor, x: Tensor, target: Tensor) -> Tensor:
    """Weights of features, larger by as much as rounding of scores may violate a margin where nothing else does."""
    most = _violation(weights, x, target).max()
    rounding = 4 * torch.finfo(x.dtype).eps * (weights.abs() @ x.abs().mT).max()
    return torch.where(most < FILLED, weights * (1 + most.clamp(min=0) + rounding), weights)


def _violation(weights: Tensor, x: Tensor, target: Tensor) -> Tensor:
    scores = weights @ x.mT
    return (scores + (1 - target)).amax(-2) - (scores * target).sum(-2)
