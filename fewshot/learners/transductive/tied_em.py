"""Tied EM: a Gaussian for each class, all with one covariance, fitted to support and queries together.

Paper: Dempster, Laird and Rubin, "Maximum Likelihood from Incomplete Data via the EM Algorithm", Journal of the Royal
    Statistical Society B 39 (1977); with labelled items, Nigam, McCallum, Thrun and Mitchell, "Text Classification from
    Labeled and Unlabeled Documents using EM", Machine Learning 39 (2000), section 3; with a prior on the covariance,
    Fraley and Raftery, "Bayesian Regularization for Normal Mixture Estimation and Model-Based Clustering", Journal of
    Classification 24 (2007).
Code: scikit-learn's ``GaussianMixture(covariance_type="tied")``. Intended differences: support items keep their
    classes; the covariance is drawn towards a multiple of the identity; classes may be taken to be equally likely; the
    number of steps is fixed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import cholesky, class_membership, require_every_class
from fewshot.learners.transductive.gram import gram
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class TiedEM:
    """Log-probabilities of the classes under the fitted mixture, computed in float64.

    The M-step takes weighted means μ_k and Q = (1 − γ) W + γ τ I, where W is the covariance within classes of all n
    items and τ the variance of a feature, taken over all items and features: the mode under a Wishart prior on Q⁻¹
    that counts as much as n γ / (1 − γ) items. The start is the M-step from the support alone. All depends on inner
    products of the items, so that features may be many.

    Attributes:
        shrinkage: γ, above 0 and at most 1.
        prior: Of the classes of queries: ``"uniform"``, or ``"estimated"`` from the queries and one more of each class.
        steps: Of EM; without any the answers are those of the start.

    Raises:
        FewShotError: If a number is out of range, or the prior is neither.
    """

    shrinkage: float = 0.5
    prior: str = "uniform"
    steps: int = 20

    transductive = True

    def __post_init__(self) -> None:
        if not 0 < self.shrinkage <= 1:
            raise FewShotError(f"shrinkage must be above 0 and at most 1, got {self.shrinkage}")
        if self.prior not in ("uniform", "estimated"):
            raise FewShotError(f"prior must be 'uniform' or 'estimated', got '{self.prior}'")
        keep_whole_numbers(self, steps=0)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the support; the mixture is fitted when the queries come.

        Raises:
            EpisodeError: If a class has no example.
        """
        require_every_class(support.y, support.n_way)
        given = class_membership(support.y, support.n_way, torch.float64).mT
        return lambda query: self._fit(support.x, given, query).mT.to(query.dtype)

    def _fit(self, x: Tensor, given: Tensor, query: Tensor) -> Tensor:
        centre = x.mean(-2, keepdim=True)
        k = gram(x - centre, query - centre).double()
        s, n = given.shape[-1], k.shape[-1]
        spread = k.diagonal(dim1=-2, dim2=-1).sum(-1) - k.mean(-1).sum(-1)  # of all items and features around the mean
        pull = self.shrinkage * torch.where(spread > 0, spread, 1)[..., None, None] / x.shape[-1]
        logits = self._densities(self._products(k, s, pull), given)[..., s:]
        products = self._products(k, n, pull)
        for _ in range(self.steps):
            member = torch.cat([given, logits.softmax(-2)], -1)
            logits = self._densities(products, member)[..., s:]
            if self.prior == "estimated":
                logits = logits + member[..., s:].sum(-1, keepdim=True).log1p()
        return logits.log_softmax(-2)

    def _products(self, k: Tensor, counted: int, pull: Tensor) -> Tensor:
        """Inner products z'A⁻¹z of the items that count, the first ones, with all.

        A is n Q before class means are taken out of it.
        """
        eye = torch.eye(counted, dtype=k.dtype, device=k.device)
        factor = cholesky((1 - self.shrinkage) * k[..., :counted, :counted] + pull * eye)
        return torch.cholesky_solve(k[..., :counted, :], factor)

    def _densities(self, products: Tensor, member: Tensor) -> Tensor:
        """Log-densities of all items (e, n_way, n), up to what all classes share, from products of the members."""
        weight = member.sum(-1, keepdim=True)
        mean = member / weight
        with_items = mean @ products
        with_means = with_items[..., : member.shape[-1]] @ mean.mT
        # n Q = A − (1 − γ) Σ weight_k μ_k μ_k', by Woodbury's identity
        inner = torch.diag_embed(1 / weight.squeeze(-1)) - (1 - self.shrinkage) * with_means
        inverse = torch.cholesky_solve(torch.cat([with_items, with_means], -1), cholesky(inner)) / weight
        n = products.shape[-1]
        mass = (1 - self.shrinkage) * weight.sum(-2, keepdim=True) + self.shrinkage * n
        return mass * (inverse[..., :n] - inverse[..., n:].diagonal(dim1=-2, dim2=-1).unsqueeze(-1) / 2)
