"""SAE: one matrix that takes items to their descriptors, and whose transpose takes descriptors back to items.

Paper: Kodirov, Xiang and Gong, "Semantic Autoencoder for Zero-Shot Learning", CVPR 2017, eqs. 4 to 8.
Code: github.com/Elyorcv/SAE, ``SAE.m`` and the demo on AwA. Intended differences: no normalisation is hidden in here (the demo
    gives items and projected descriptors unit length; `Transformed` does where it is wanted), and λ has no value of its own for
    each data set.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from scipy.linalg import solve_sylvester
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.learners.described.descriptors import base_classes, class_descriptors, require_base

DIRECTIONS = ("to-descriptors", "to-features")


@dataclass(frozen=True)
class SAE:
    """Scores are cosines between an item and the descriptors, on either side of the matrix W.

    W has the least ‖X - Wᵀ S‖² + λ ‖W X - S‖² over the base items, with items as columns of X and their descriptors as columns of
    S; that is the solution of S Sᵀ W + W λ X Xᵀ = (1 + λ) S Xᵀ.

    Attributes:
        lam: λ, the weight of the way to the descriptors.
        direction: ``"to-descriptors"`` compares W x with s, ``"to-features"`` compares x with Wᵀ s.
        encoder: W, found by `with_base`.

    Raises:
        FewShotError: If λ is not above 0, or the direction is none of the two.
    """

    lam: float = 1.0
    direction: str = "to-descriptors"
    encoder: Float[Tensor, "length dim"] | None = None

    scores = "rank"

    def __post_init__(self) -> None:
        if not self.lam > 0:
            raise FewShotError(f"lam must be above 0, got {self.lam}")
        if self.direction not in DIRECTIONS:
            raise FewShotError(f"direction must be one of {', '.join(DIRECTIONS)}, got '{self.direction}'")

    def with_base(self, base: SupportSet) -> "SAE":
        """The same learner with W of the base classes.

        Raises:
            EpisodeError: If a base class has no item or no descriptor.
        """
        x, y, s = base_classes(base)
        own = s[y]  # the descriptor of each item
        products = own.T @ own, self.lam * x.T @ x, (1 + self.lam) * own.T @ x
        found = solve_sylvester(*(product.cpu().numpy() for product in products))
        return replace(self, encoder=torch.from_numpy(found).to(x.device))

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Compare with the descriptors of the support; its items are not looked at.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or of another length.
        """
        w = require_base(self.encoder, "SAE")
        s = class_descriptors(support, w.shape[0])
        if self.direction == "to-features":
            return lambda query: normalize(query, dim=-1) @ normalize(s.to(query) @ w.to(query), dim=-1).mT
        return lambda query: normalize(query @ w.to(query).mT, dim=-1) @ normalize(s.to(query), dim=-1).mT
