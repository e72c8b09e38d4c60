"""Attention over the support set, the classifier of matching networks.

Paper: Vinyals, Blundell, Lillicrap, Kavukcuoglu and Wierstra, "Matching Networks for One Shot Learning",
    NeurIPS 2016, section 2.1, eq. 1, and 2.1.1.
Code: none by the authors. The fully conditional embeddings of section 2.1.2 are no part of it.
    Intended differences: a temperature, and attention by squared distance as an option; the paper has the cosine at 1.
"""

from dataclasses import dataclass

from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_membership, require_every_class, squared_distances


@dataclass(frozen=True)
class MatchingAttention:
    """Scores are log Σ_i a(z, z_i) [y_i = k], with a the softmax over all support items of their similarity to z.

    The attention of a class adds up, it is not averaged: a class with twice the examples has twice the mass where
    all are equally similar.

    Attributes:
        metric: Similarity: ``"cosine"``, or ``"squared-euclidean"`` for its negative.
        temperature: Similarities are divided by it; the paper has 1.

    Raises:
        FewShotError: If the metric is neither, or the temperature is not above 0.
    """

    metric: str = "cosine"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.metric not in ("cosine", "squared-euclidean"):
            raise FewShotError(f"metric must be 'cosine' or 'squared-euclidean', got '{self.metric}'")
        if not self.temperature > 0:
            raise FewShotError(f"temperature must be above 0, got {self.temperature}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the support; the classifier returns log-probabilities.

        Raises:
            EpisodeError: If a class has no example.
        """
        require_every_class(support.y, support.n_way)
        return lambda query: log_attention(
            self._similarity(query, support.x) / self.temperature, support.y, support.n_way
        )  # (e, q, n_way)

    def _similarity(self, query: Tensor, x: Tensor) -> Tensor:
        if self.metric == "cosine":
            return normalize(query, dim=-1) @ normalize(x, dim=-1).mT
        return -squared_distances(query, x)


def log_attention(
    logits: Float[Tensor, "*e q s"], y: Integer[Tensor, "*e s"], n_way: int
) -> Float[Tensor, "*e q {n_way}"]:
    """Log of the attention that each class gets; every class has its own largest term taken out, so none underflows."""
    label = y.unsqueeze(-2).expand_as(logits)
    fixed = logits.detach()
    top = fixed.new_zeros(*logits.shape[:-1], n_way).scatter_reduce(-1, label, fixed, "amax", include_self=False)
    mass = (logits - top.gather(-1, label)).exp() @ class_membership(y, n_way, logits.dtype)
    return top + mass.log() - logits.logsumexp(-1, keepdim=True)
