"""Descriptor mix: the prototype of a class lies between the mean of its examples and its description.

Paper: Xing, Rostamzadeh, Oreshkin and Pinheiro, "Adaptive Cross-Modal Few-Shot Learning" (AM3), NeurIPS 2019:
    p'_c = λ_c p_c + (1 - λ_c) w_c.
Code: github.com/ElementAI/am3. Intended differences: AM3 learns two networks on base episodes, one that maps a word
    vector to w_c and one that makes λ_c of it, so that λ_c depends on the class and not on the number of examples.
    Here nothing is learned: descriptors lie in the space of the features already, and λ_c is an option or follows the
    number of examples. Vectors have length 1 before and after the mix, and scores are cosines, where AM3 takes squared
    distances.
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
class DescriptorMix:
    """Scores are cosines with λ_k c_k + (1 - λ_k) t_k over a temperature, with mean c_k and descriptor t_k of length 1.

    λ_k = n_k / (n_k + m) for n_k examples: the description counts for m examples, less and less the more there are.

    Attributes:
        strength: m; 0 ignores the description of a class that has an example.
        weight: λ of every class that has an example, instead; None leaves it to ``strength``.
        temperature: Divides the cosines; 0.01 is CLIP's.

    Raises:
        FewShotError: If a number is out of range.
    """

    strength: float = 1.0
    weight: float | None = None
    temperature: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.strength < torch.inf:
            raise FewShotError(f"strength must be finite and 0 or more, got {self.strength}")
        if self.weight is not None and not 0 <= self.weight <= 1:
            raise FewShotError(f"weight must lie in 0..1, or be None, got {self.weight}")
        if not self.temperature > 0:
            raise FewShotError(f"temperature must be above 0, got {self.temperature}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Mix mean and descriptor of each class; a class without an example is its descriptor.

        Raises:
            EpisodeError: If descriptors are missing or not as long as features, or a number is not finite.
        """
        _, t = unit_items_and_descriptors(support)
        member = class_membership(support.y, support.n_way, support.x.dtype)  # (e, s, n_way)
        share = self._share(member.sum(-2).unsqueeze(-1))
        prototypes = normalize(share * normalize(member.mT @ support.x, dim=-1) + (1 - share) * t, dim=-1)
        return lambda query: normalize(query, dim=-1) @ prototypes.to(query).mT / self.temperature

    def _share(self, examples: Float[Tensor, "*e n_way 1"]) -> Float[Tensor, "*e n_way 1"]:
        """λ of classes with so many examples; 0 for none."""
        if self.weight is not None:
            return self.weight * (examples > 0).to(examples)
        return examples / (examples + self.strength).clamp(min=torch.finfo(examples.dtype).tiny)
