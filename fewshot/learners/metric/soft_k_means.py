"""Prototypes refined by soft k-means on a pool without labels.

Paper: Ren, Triantafillou, Ravi, Snell, Swersky, Tenenbaum, Larochelle and Zemel, "Meta-Learning for Semi-Supervised
    Few-Shot Classification", ICLR 2018, sections 3.1.1 to 3.1.3.
Code: github.com/renmengye/few-shot-ssl-public, ``fewshot/models/kmeans_*.py``. Intended differences: squared distances
    are not halved beside a distractor cluster, as in the paper, whose radius is an option here and not learned; that
    cluster stays at the origin in every step; the soft mask counts once in the refined means, where that code squares it.
"""

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_means, class_membership, squared_distances
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class SoftKMeans:
    """Scores are −‖z − c̃_k‖² to class means that the pool has refined; without a pool, to class means.

    Every item of the pool belongs to each class by p_k = softmax_k −‖x − c_k‖², and the support to its own
    (section 3.1.1). With a radius r there is one more cluster, at the origin, that takes items away: its
    logit is −‖x‖² / r² − log r (section 3.1.2).

    Attributes:
        steps: Refinements; the paper has 1.
        radius: Of the cluster of distractors, in units of the features; none without it.

    Raises:
        FewShotError: If steps are no whole number of at least 0, or the radius is not above 0.
    """

    steps: int = 1
    radius: float | None = None

    def __post_init__(self) -> None:
        keep_whole_numbers(self, steps=0)
        if self.radius is not None and not self.radius > 0:
            raise FewShotError(f"radius must be above 0, got {self.radius}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Refine the class means; classify by distance to them.

        Raises:
            EpisodeError: If a class has no example.
        """
        means = class_means(support.x, support.y, support.n_way)
        for _ in range(self.steps if _has_pool(support) else 0):
            means = refined(support, self._shares(cast(Tensor, support.unlabelled), means))
        return lambda query: -squared_distances(query, means)  # (e, q, n_way)

    def _shares(self, pool: Float[Tensor, "*e u dim"], means: Float[Tensor, "*e n dim"]) -> Float[Tensor, "*e u n"]:
        logits = -squared_distances(pool, means)
        if self.radius is None:
            return logits.softmax(-1)
        r = torch.tensor(self.radius, dtype=pool.dtype, device=pool.device)
        other = -(pool / r).square().sum(-1, keepdim=True) - r.log()
        return torch.cat([logits, other], -1).softmax(-1)[..., :-1]


class MaskedSoftKMeans(nn.Module):
    """Soft k-means whose items count the less, the farther they are from a class beside the other items.

    The share of an item in a class is multiplied by sigmoid(γ_k (β_k − d_k)), where d_k is its squared distance to
    the class mean over the mean of the pool's; a small network reads β_k and γ_k off the least, largest, variance,
    skewness and kurtosis of d_k (section 3.1.3). The network is trained with the backbone; as it starts, β = γ = 1.

    Args:
        hidden: Units of the network.
    """

    def __init__(self, hidden: int = 20) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(5, hidden), nn.Tanh(), nn.Linear(hidden, 2))
        last = cast(nn.Linear, self.network[2])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Refine the class means once; classify by distance to them.

        Raises:
            EpisodeError: If a class has no example.
        """
        means = class_means(support.x, support.y, support.n_way)
        if _has_pool(support):
            means = refined(support, self._shares(squared_distances(cast(Tensor, support.unlabelled), means)))
        return lambda query: -squared_distances(query, means)  # (e, q, n_way)

    def _shares(self, d: Float[Tensor, "*e u n"]) -> Float[Tensor, "*e u n"]:
        mean = d.mean(-2, keepdim=True)
        relative = d / torch.where(mean > 0, mean, 1)
        own = next(self.network.parameters())
        read: Tensor = self.network(moments(relative.detach()).to(own)).exp().to(d).unsqueeze(-3)  # (*e, 1, n, 2)
        beta, gamma = read[..., 0], read[..., 1]
        return (-d).softmax(-1) * (gamma * (beta - relative)).sigmoid()


def refined(support: SupportSet, shares: Float[Tensor, "*e u n"]) -> Float[Tensor, "*e n dim"]:
    """Means over support and pool, each item weighted by its share in the class: eq. 4."""
    pool, member = cast(Tensor, support.unlabelled), class_membership(support.y, support.n_way, shares.dtype)
    weight = member.sum(-2) + shares.sum(-2)
    return (member.mT @ support.x + shares.mT @ pool) / weight.unsqueeze(-1)


def moments(d: Float[Tensor, "*e u n"]) -> Float[Tensor, "*e n 5"]:
    """Least, largest, variance, skewness and excess kurtosis over the pool; the last two 0 without variance."""
    apart = d - d.mean(-2, keepdim=True)
    variance = apart.square().mean(-2)
    spread = torch.where(variance > 0, variance, 1)
    skewness, kurtosis = apart.pow(3).mean(-2) / spread.pow(1.5), apart.pow(4).mean(-2) / spread.square() - 3
    return torch.stack([d.amin(-2), d.amax(-2), variance, skewness, kurtosis * (variance > 0)], -1)


def _has_pool(support: SupportSet) -> bool:
    return support.unlabelled is not None and support.unlabelled.shape[support.y.ndim - 1] > 0
