"""Mahalanobis distance to class means, with a covariance that all classes share or one of their own.

Paper: tied: Fisher, "The use of multiple measurements in taxonomic problems", Annals of Eugenics 7 (1936); per class:
    Bateni, Goyal, Masrani, Wood and Sigal, "Improved Few-Shot Visual Classification", CVPR 2020, section 4.
Code: tied: scikit-learn's ``LinearDiscriminantAnalysis(solver="lsqr", shrinkage=...)``. Intended differences: classes
    are equally likely whatever their shots, and without two examples in any class the covariance is the identity.
    Per class: github.com/peymanbateni/simple-cnaps, ``simple-cnaps-src/simple_cnaps.py``. Intended difference:
    half of the squared distance as in the paper; that code has all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import cholesky, class_means, class_membership


@dataclass(frozen=True)
class Mahalanobis:
    """Scores are −½ (z − c_k)ᵀ Q_k⁻¹ (z − c_k) to the mean c_k of each class, computed in float64.

    Tied: Q = (1 − γ) S + γ (tr S / dim) I with the covariance S within classes, pooled over items (divisor s).
    Per class: Q_k = λ_k S_k + (1 − λ_k) S + β I with λ_k = n_k / (n_k + 1), the covariance S_k of the class
    and S of the whole support (divisors n_k − 1 and s − 1; 0 for a single item).

    Attributes:
        covariance: ``"tied"`` or ``"class"``.
        shrinkage: γ of the tied covariance, above 0 and at most 1.
        ridge: β of the covariances per class.
        log_determinant: Whether −½ log det Q_k is added, as Gaussian densities have it and the paper has not.

    Raises:
        FewShotError: If an option is out of its range.
    """

    covariance: str = "tied"
    shrinkage: float = 0.5
    ridge: float = 1.0
    log_determinant: bool = False

    def __post_init__(self) -> None:
        if self.covariance not in ("tied", "class"):
            raise FewShotError(f"covariance must be 'tied' or 'class', got '{self.covariance}'")
        if not 0 < self.shrinkage <= 1:
            raise FewShotError(f"shrinkage must be above 0 and at most 1, got {self.shrinkage}")
        if not self.ridge > 0:
            raise FewShotError(f"ridge must be above 0, got {self.ridge}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Find means and covariances; classify by distance.

        Raises:
            EpisodeError: If a class has no example.
        """
        x = support.x.double()
        means, centre = class_means(x, support.y, support.n_way), x.mean(-2, keepdim=True)
        member = class_membership(support.y, support.n_way, x.dtype)
        root, beta = self._covariance(x - centre, member)
        distance, log_det = inverse_form(x - centre, root, beta, means - centre)
        offset = log_det / 2 if self.log_determinant else torch.zeros_like(log_det)
        return lambda query: -(distance(query.double() - centre) / 2 + offset).mT.to(query.dtype)  # (e, q, n_way)

    def _covariance(self, x: Tensor, member: Tensor) -> tuple[Tensor, Tensor]:
        """R ``(e, n_way or 1, s, s)`` and β ``(e, 1, 1, 1)`` with Q = β I + x'R²x."""
        shots, size = member.sum(-2)[..., None, None], x.shape[-2]
        within = torch.diag_embed(member.mT) - member.mT.unsqueeze(-1) * (member.mT / shots[..., 0]).unsqueeze(-2)
        if self.covariance == "class":  # R² = a W_k + b I, for the projection W_k that centres class k
            b = 1 / (shots + 1) / max(size - 1, 1)
            a = torch.where(shots > 1, shots / (shots + 1) / (shots - 1), 0.0)
            eye = torch.eye(size, dtype=x.dtype, device=x.device)
            return b.sqrt() * eye + ((a + b).sqrt() - b.sqrt()) * within, torch.full_like(
                shots[..., :1, :, :], self.ridge
            )
        pooled = within.sum(-3, keepdim=True)
        scale = (pooled.squeeze(-3) @ x).square().mean((-2, -1))[..., None, None, None]
        beta = torch.where(scale > 0, self.shrinkage * scale, 1.0)
        return pooled * ((1 - self.shrinkage) / size) ** 0.5, beta


def inverse_form(
    x: Float[Tensor, "*e s dim"],
    root: Float[Tensor, "*e k s s"],
    beta: Float[Tensor, "*e 1 1 1"],
    means: Float[Tensor, "*e n_way dim"],
) -> tuple[Callable[[Tensor], Tensor], Float[Tensor, "*e k 1"]]:
    """(z − c)'Q⁻¹(z − c) as a function of z, and log det Q, of Q = β I + x'R²x.

    With fewer items than features no matrix is larger than the support (Woodbury's identity).
    """
    size, dim = x.shape[-2:]
    few = size < dim
    outer = root @ (x @ x.mT).unsqueeze(-3) @ root if few else x.mT.unsqueeze(-3) @ (root @ root) @ x.unsqueeze(-3)
    factor = cholesky(outer + beta * torch.eye(min(size, dim), dtype=x.dtype, device=x.device))
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1, keepdim=True)

    def whitened(columns: Tensor) -> Tensor:
        white: Tensor = torch.linalg.solve_triangular(factor, columns, upper=False)
        return white.square().sum(-2)

    def by_features(z: Tensor) -> Tensor:
        return whitened(z.mT.unsqueeze(-3) - means.unsqueeze(-1))

    def by_items(z: Tensor) -> Tensor:
        both = torch.cat([x, means], -2) @ z.mT
        length: Tensor = torch.linalg.vector_norm(z, dim=-1)
        apart = length.square().unsqueeze(-2) - 2 * both[..., size:, :] + means.square().sum(-1, keepdim=True)
        products = both[..., :size, :].unsqueeze(-3) - (means @ x.mT).unsqueeze(-1)  # (*e, n_way, s, q)
        return (apart - whitened(root @ products)) / beta.squeeze(-1)

    if few:
        return by_items, log_det + (dim - size) * beta.log().squeeze(-1)
    return by_features, log_det
