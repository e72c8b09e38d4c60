"""Nearest class mean, the head of prototypical networks.

Paper: Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning",
    NeurIPS 2017, eqs. 1 and 2.
Code: github.com/jakesnell/prototypical-networks, ``protonets/models/few_shot.py``. No intended difference.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_means, squared_distances


@dataclass(frozen=True)
class NearestMean:
    """Scores are −‖z − c_k‖² to the mean c_k of each class, or their cosine over a temperature.

    Attributes:
        metric: ``"squared-euclidean"`` or ``"cosine"``.
        temperature: Scores are divided by it; the paper's distance has 1.

    Raises:
        FewShotError: If the metric is neither, or the temperature is not above 0.
    """

    metric: str = "squared-euclidean"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.metric not in ("squared-euclidean", "cosine"):
            raise FewShotError(f"metric must be 'squared-euclidean' or 'cosine', got '{self.metric}'")
        if not self.temperature > 0:
            raise FewShotError(f"temperature must be above 0, got {self.temperature}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Average each class; classify by distance to the averages.

        Raises:
            EpisodeError: If a class has no example.
        """
        prototypes = class_means(support.x, support.y, support.n_way)  # (e, n_way, dim)
        return lambda query: self._similarity(query, prototypes) / self.temperature  # (e, q, n_way)

    def _similarity(self, query: Tensor, prototypes: Tensor) -> Tensor:
        if self.metric == "cosine":
            return normalize(query, dim=-1) @ normalize(prototypes, dim=-1).mT
        return -squared_distances(query, prototypes)
