"""The objective of multinomial logistic regression and its derivatives, without digits lost where classes are certain."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor


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
        penalty = dot(self.strength * theta, theta) / 2
        if not self.exact:
            logp = logits.log_softmax(-2)
            p = logp.exp()
            return Point(penalty - dot(self.target, logp), p, self.mass * p - self.target, None)
        highest, top = logits.max(-2, keepdim=True)
        below = logits - highest
        others = below.exp().scatter(-2, top, 0).sum(-2, keepdim=True)
        p = below.exp() / (1 + others)
        missed = settled(self.mass * p - self.target, top)
        return Point(penalty - dot(self.target, below - others.log1p()), p, missed, top)


def settled(rows: Tensor, top: Tensor | None) -> Tensor:
    """Columns that sum to 0: that of the likeliest class, a small difference of large numbers, is what others leave."""
    if top is None:
        return rows
    rest = rows.scatter(-2, top, 0)
    return rest.scatter(-2, top, -rest.sum(-2, keepdim=True))


def curvature(share: Tensor, at: Point) -> Tensor:
    """Diagonal of the loss's second derivatives by the logits: ``share (1 - p)``."""
    if at.top is None:
        return share - share * at.p
    return share * (1 - at.p).scatter(-2, at.top, at.p.scatter(-2, at.top, 0).sum(-2, keepdim=True))


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the matrices of each episode."""
    return (a * b).sum((-2, -1), keepdim=True)
