"""Tip-Adapter: descriptions of classes, and a cache of the examples, read by similarity; nothing is trained.

Paper: Zhang, Fang, Zhang, Gao, Li, Dai, Qiao and Li, "Tip-Adapter: Training-Free Adaption of CLIP for Few-Shot
    Classification", ECCV 2022, sec. 3.1: affinities A = exp(-β (1 - f Fᵀ)) and logits α A L + f Wᵀ.
Code: github.com/gaopengcuhk/Tip-Adapter, ``run_tip_adapter`` in ``main.py``, which multiplies f Wᵀ by CLIP's 100.
    Intended differences: a key is one example, where the authors average ten augmented views; α and β are options,
    where the authors search them on validation data. Classes may have unequal numbers of examples, or none.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_membership
from fewshot.learners.described.descriptors import unit_items_and_descriptors


@dataclass(frozen=True)
class TipAdapter:
    """Scores are ``scale · f Wᵀ + α exp(-β (1 - f Fᵀ)) L``, with all vectors of length 1.

    f is a query, W has the descriptors of the classes, F the examples and L their classes, one-hot. Every example
    adds a vote, so a class with more of them can get more.

    Attributes:
        alpha: α, weight of the cache.
        beta: β, how quickly a vote falls with the distance.
        scale: Multiplies the cosines with the descriptors; 0 leaves the cache alone.

    Raises:
        FewShotError: If a number is below 0 or not finite.
    """

    alpha: float = 1.0
    beta: float = 5.5
    scale: float = 100.0

    def __post_init__(self) -> None:
        for name in ("alpha", "beta", "scale"):
            value = getattr(self, name)
            if not 0 <= value < torch.inf:
                raise FewShotError(f"{name} must be finite and 0 or more, got {value}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Remember examples as keys and their classes as values; without an example the descriptors answer alone.

        Raises:
            EpisodeError: If descriptors are missing or not as long as features, or a number is not finite.
        """
        keys, described = unit_items_and_descriptors(support)
        values = class_membership(support.y, support.n_way, keys.dtype)
        return self.classifier(described, keys, values)

    def classifier(
        self,
        described: Float[Tensor, "*e n_way dim"],
        keys: Float[Tensor, "*e s dim"],
        values: Float[Tensor, "*e s n_way"],
    ) -> Classifier:
        """Scores of queries of any length and precision."""

        def classify(query: Tensor) -> Tensor:
            parts = (part.to(query) for part in (described, keys, values))
            return self.logits(normalize(query, dim=-1), *parts)

        return classify

    def logits(
        self,
        f: Float[Tensor, "*e q dim"],
        described: Float[Tensor, "*e n_way dim"],
        keys: Float[Tensor, "*e s dim"],
        values: Float[Tensor, "*e s n_way"],
    ) -> Float[Tensor, "*e q n_way"]:
        """What the descriptors say of items of length 1, and what the cache adds."""
        affinity = (-self.beta * (1 - f @ keys.mT)).exp()
        scores: Tensor = self.scale * f @ described.mT + self.alpha * affinity @ values
        return scores
