"""Transforms with statistics of base classes: centring, principal components, whitening."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from fewshot.errors import FewShotError, NotFittedError
from fewshot.plumbing.number_checks import keep_whole_numbers

Features = Float[Tensor, "*e n dim"]


@dataclass(frozen=True)
class Centre:
    """Features minus their mean over the base classes.

    Attributes:
        mean: Found by `fit`.
    """

    mean: Float[Tensor, " dim"] | None = field(default=None, repr=False)

    def fit(self, x: Float[Tensor, "n dim"]) -> "Centre":
        """The mean of all rows."""
        return Centre(x.mean(0))

    def __call__(self, x: Features) -> Features:
        """Centred features.

        Raises:
            NotFittedError: If no base classes were seen.
        """
        return x - _fitted(self.mean, self).to(x)


@dataclass(frozen=True)
class PCA:
    """Coordinates of centred features along the directions in which the base classes vary most.

    Attributes:
        dim: How many directions.
        mean: Found by `fit`, as are the directions, by falling variance.
        directions: Columns ``(features, dim)``.

    Raises:
        FewShotError: If ``dim`` is no whole number of at least 1.
    """

    dim: int = 64
    mean: Float[Tensor, " features"] | None = field(default=None, repr=False)
    directions: Float[Tensor, "features dim"] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        keep_whole_numbers(self, dim=1)

    def fit(self, x: Float[Tensor, "n features"]) -> "PCA":
        """Mean and principal directions of all rows.

        Raises:
            FewShotError: If rows or features are fewer than ``dim``.
        """
        if self.dim > min(x.shape):
            raise FewShotError(
                f"dim must be at most the number of base items and of features, {min(x.shape)}, got {self.dim}"
            )
        mean, directions, _ = _principal(x)
        return replace(self, mean=mean, directions=directions[:, : self.dim])

    def __call__(self, x: Features) -> Float[Tensor, "*e n k"]:
        """Coordinates.

        Raises:
            NotFittedError: If no base classes were seen.
        """
        return (x - _fitted(self.mean, self).to(x)) @ _fitted(self.directions, self).to(x)


@dataclass(frozen=True)
class Whiten:
    """Σ^(-1/2) (z - m), with mean m and covariance Σ = (1 - γ) S + γ (tr S / dim) I of the base classes.

    S is the covariance of all base items around their common mean, with divisor n - 1.

    Attributes:
        shrinkage: γ, from 0 to 1; above 0 where base items are not more than features.
        mean: Found by `fit`, as is the matrix.
        matrix: Symmetric, ``(dim, dim)``.

    Raises:
        FewShotError: If the shrinkage is out of range.
    """

    shrinkage: float = 0.0
    mean: Float[Tensor, " dim"] | None = field(default=None, repr=False)
    matrix: Float[Tensor, "dim dim"] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.shrinkage <= 1:
            raise FewShotError(f"shrinkage must be from 0 to 1, got {self.shrinkage}")

    def fit(self, x: Float[Tensor, "n dim"]) -> "Whiten":
        """Mean and inverse root of the covariance of all rows.

        Raises:
            FewShotError: If the covariance is singular.
        """
        mean, directions, deviations = _principal(x, full=True)
        variances = (1 - self.shrinkage) * deviations.square()
        variances = variances + self.shrinkage * deviations.square().mean()
        if float(variances.min()) <= 1e-12 * float(variances.max()):
            raise FewShotError(
                f"whitening needs a covariance of full rank, got {x.shape[0]} base items that do not fill "
                f"{x.shape[1]} features; set shrinkage above 0, or reduce the features first"
            )
        return replace(self, mean=mean, matrix=(directions * variances.rsqrt()) @ directions.mT)

    def __call__(self, x: Features) -> Features:
        """White features.

        Raises:
            NotFittedError: If no base classes were seen.
        """
        return (x - _fitted(self.mean, self).to(x)) @ _fitted(self.matrix, self).to(x)


def _fitted(statistic: Tensor | None, transform: Any) -> Tensor:
    if statistic is None:
        name = type(transform).__name__
        raise NotFittedError(f"{name} needs statistics of base classes, got none; call learner.with_base(base) first")
    return statistic


def _principal(x: Tensor, full: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, principal directions as columns, and standard deviations (divisor n - 1), largest first, in float64.

    Args:
        x: Rows.
        full: Give as many directions as features, also those without variance.
    """
    mean = x.double().mean(0)
    triangle = torch.linalg.qr(x.double() - mean, mode="r")[1]
    _, values, rows = torch.linalg.svd(triangle, full_matrices=full)
    values = pad(values, (0, len(rows) - len(values)))
    return mean, rows.mT, values / max(len(x) - 1, 1) ** 0.5
