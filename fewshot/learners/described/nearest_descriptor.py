"""Nearest descriptor: items and descriptions of classes in one space, compared by their angle; nothing is learned.

Paper: Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", ICML 2021, section 3.1.2 and
    figure 3 (cosine times the scale 100, softmax); Yin, Hay and Roth, "Benchmarking Zero-shot Text Classification", EMNLP 2019
    (names of classes as texts).
Code: github.com/openai/CLIP, ``README.md``. No intended difference.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.learners.described.descriptors import class_descriptors


@dataclass(frozen=True)
class NearestDescriptor:
    """Scores are cosines between items and descriptors over a temperature; log-probabilities up to a constant per query.

    Items and descriptors must be embedded in one space: by one sentence model, or by both sides of an image-text model.

    Attributes:
        temperature: What cosines are divided by; no order depends on it.

    Raises:
        FewShotError: If the temperature is not above 0.
    """

    temperature: float = 0.01

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise FewShotError(f"temperature must be above 0, got {self.temperature}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Compare with the descriptors of the support; its items are not looked at.

        Raises:
            EpisodeError: If descriptors are missing, not finite, or not as long as the items.
        """
        s = normalize(class_descriptors(support, support.x.shape[-1]), dim=-1)

        def classify(query: torch.Tensor) -> torch.Tensor:
            return normalize(query, dim=-1) @ s.to(query).mT / self.temperature

        return classify
