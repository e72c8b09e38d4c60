"""The gap between two domains in a linear map of their rows, and the maps that keep it small.

Pan, Tsang, Kwok and Yang, "Domain Adaptation via Transfer Component Analysis", IEEE TNN 22 (2011), eqs. 2 to 10; Long, Wang,
Ding, Sun and Yu, "Transfer Feature Learning with Joint Distribution Adaptation", ICCV 2013, eqs. 2 to 9.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership
from fewshot.learners.adaptation.subspaces import TALL, mean_of, products, require_rank, row_space
from fewshot.plumbing.number_checks import keep_finite_numbers, keep_whole_numbers, truth_value

FORMS = ("kernel", "primal")
EIGENVECTORS = ("unit", "constraint")


def marginal_gap(sources: int, targets: int, like: Tensor) -> Float[Tensor, "n 1"]:
    """The column e with ``‖Xᵀ e‖`` the distance of the two means; rows of the source come first."""
    return torch.cat([like.new_full((sources, 1), 1 / sources), like.new_full((targets, 1), -1 / targets)])


def class_gaps(
    y: Integer[Tensor, " s"], guess: Integer[Tensor, " u"], n_way: int, like: Tensor
) -> Float[Tensor, "n c"]:
    """A column for each class, with the distance of its means; of a class that nobody guesses, only the source's."""
    mine, theirs = (class_membership(labels, n_way, like.dtype) for labels in (y, guess))
    return torch.cat([mine / mine.sum(0), -theirs / theirs.sum(0).clamp(min=1)])


def unit_gaps(gaps: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """The same, with ``M = gaps gapsᵀ`` of Frobenius norm 1, whose weight does not depend on the number of rows."""
    normed: Tensor = gaps / torch.linalg.vector_norm(gaps.mT @ gaps).sqrt()
    return normed


@dataclass(frozen=True)
class Coordinates:
    """Rows of both domains in a basis of their own span, in which every map of theirs is small.

    Attributes:
        basis: ``(dim, r)`` with r the rank of the rows: orthonormal for the primal form, scaled by the singular values
            for that with a linear kernel, where an orthonormal step is one of the kernel's weights.
        totals: Sums of all rows in it, each sum with weights of its own: ``(n, c)`` to ``(r, c)``.
        spread: Their scatter around the mean, ``(r, r)``.
    """

    basis: Tensor
    totals: Callable[[Tensor], Tensor]
    spread: Tensor

    @classmethod
    def of(cls, parts: Sequence[Float[Tensor, "_ dim"]], form: str) -> "Coordinates":
        """Those of the rows of both domains, for a form of `FORMS`."""
        values, axes = row_space(parts)
        basis = axes * values if form == "kernel" else axes
        if sum(map(len, parts)) > TALL:
            spread = basis.mT @ products(parts, mean_of(parts)) @ basis
            return cls(basis, lambda weights: basis.mT @ _weighted(parts, weights), spread)
        rows = torch.cat(list(parts)) @ basis
        centred = rows - rows.mean(0)
        return cls(basis, lambda weights: rows.mT @ weights, centred.mT @ centred)

    def map(self, gaps: Float[Tensor, "n c"], penalty: float, dim: int, eigenvectors: str) -> Float[Tensor, "dim k"]:
        """The map of ``dim`` columns with the largest spread against ``gap + penalty``.

        Solved as the largest of (spread, gap + penalty), for the spread is singular; the smallest of the reverse are
        the same, but rounding makes them infinite or complex.

        Raises:
            EpisodeError: If the rank is below ``dim``, or the gap with its penalty is not positive.
        """
        require_rank(dim, len(self.spread))
        gap = self.totals(gaps)
        bottom = gap @ gap.mT
        bottom.diagonal().add_(penalty)
        factor, failed = torch.linalg.cholesky_ex(bottom)
        if int(failed):
            raise EpisodeError(
                f"gap and penalty together must be positive definite, got penalty {penalty:g}, too small for these rows; "
                "raise the penalty, or scale the rows"
            )
        half = torch.linalg.solve_triangular(factor, self.spread, upper=False)
        ratios, found = torch.linalg.eigh(torch.linalg.solve_triangular(factor, half.mT, upper=False))
        weights = torch.linalg.solve_triangular(factor.mT, found[:, -dim:], upper=True).flip(-1)
        length = (
            torch.linalg.vector_norm(weights, dim=0)
            if eigenvectors == "unit"
            else ratios[-dim:].flip(-1).clamp(min=1e-300).sqrt()
        )
        directions: Tensor = self.basis @ (weights / length)
        return directions


def _weighted(parts: Sequence[Tensor], weights: Float[Tensor, "n c"]) -> Float[Tensor, "dim c"]:
    """Sums of the rows of all parts with weights, without a table of all of them."""
    shares = torch.split(weights, [len(part) for part in parts])
    return sum(part.mT @ share for part, share in zip(parts, shares, strict=True))  # type: ignore[return-value]


def keep_pencil_options(learner: Any) -> None:
    """Check the options of a learner that solves such a problem, a frozen one too.

    Raises:
        FewShotError: If one is none of what is known.
    """
    keep_whole_numbers(learner, dim=1)
    keep_finite_numbers(learner, penalty="[0, inf)")
    for name, known in (("form", FORMS), ("eigenvectors", EIGENVECTORS)):
        if getattr(learner, name) not in known:
            raise FewShotError(f"{name} must be '{known[0]}' or '{known[1]}', got {getattr(learner, name)!r}")
    truth_value("unit_map", learner.unit_map)
