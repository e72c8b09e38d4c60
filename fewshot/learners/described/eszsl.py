"""ESZSL: items and class descriptors are compared through one matrix, found in closed form.

Paper: Romera-Paredes and Torr, "An embarrassingly simple approach to zero-shot learning", ICML 2015, eqs. 2 to 5.
Code: the authors' page gives five lines of MATLAB, which are eq. 5. No intended difference; targets of 0 and 1 are an option,
    and change the ranking.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.learners.described.descriptors import base_classes, class_descriptors, require_base

TARGETS = ("signs", "zero-one")


@dataclass(frozen=True)
class ESZSL:
    """Scores are xᵀ V s for an item x and the descriptor s of a class; they only rank.

    V has the least ‖Xᵀ V S - Y‖² + γ ‖V S‖² + λ ‖Xᵀ V‖² + γ λ ‖V‖² over the base classes, with items as columns of X,
    descriptors as columns of S, and 1 in Y for an item's own class, -1 for every other.

    Attributes:
        gamma: γ, which keeps the image of a descriptor among items short.
        lam: λ, which keeps the image of an item among descriptors short.
        targets: ``"signs"``, 1 and -1 as published, or ``"zero-one"``.
        compatibility: V, found by `with_base`.

    Raises:
        FewShotError: If γ or λ is not above 0, or targets are none of the two.
    """

    gamma: float = 1.0
    lam: float = 1.0
    targets: str = "signs"
    compatibility: Float[Tensor, "dim length"] | None = None

    scores = "rank"

    def __post_init__(self) -> None:
        if not (self.gamma > 0 and self.lam > 0):
            raise FewShotError(f"gamma and lam must be above 0, got {self.gamma} and {self.lam}")
        if self.targets not in TARGETS:
            raise FewShotError(f"targets must be one of {', '.join(TARGETS)}, got '{self.targets}'")

    def with_base(self, base: SupportSet) -> "ESZSL":
        """The same learner with V = (X Xᵀ + γ)⁻¹ X Y Sᵀ (S Sᵀ + λ)⁻¹ of the base classes.

        Raises:
            EpisodeError: If a base class has no item or no descriptor.
        """
        x, y, s = base_classes(base)  # rows here are the paper's columns
        wanted = one_hot(y, len(s)).to(x)
        wanted = 2 * wanted - 1 if self.targets == "signs" else wanted
        left = torch.linalg.solve(x.T @ x + self.gamma * torch.eye(x.shape[1]).to(x), x.T @ wanted @ s)
        v = torch.linalg.solve(s.T @ s + self.lam * torch.eye(s.shape[1]).to(s), left, left=False)
        return replace(self, compatibility=v)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Compare with the descriptors of the support; its items are not looked at.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or of another length.
        """
        v = require_base(self.compatibility, "ESZSL")
        s = class_descriptors(support, v.shape[1])  # (e, n_way, length)
        return lambda query: query @ (v.to(query) @ s.to(query).mT)
