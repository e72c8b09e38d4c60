"""k nearest neighbours: the classes of the nearest support items vote.

Paper: Cover and Hart, "Nearest neighbor pattern classification", IEEE Transactions on Information Theory 13 (1967);
    votes weighted by 1 / distance: Dudani, "The distance-weighted k-nearest-neighbor rule", IEEE Transactions on
    Systems, Man, and Cybernetics 6 (1976), eq. 2.
Code: as scikit-learn's ``KNeighborsClassifier``. Intended difference: ties. Items as near as the k-th all vote, and
    classes with equal votes are ranked by their nearest item; scikit-learn takes whichever comes first.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership, require_every_class
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class KNearestNeighbours:
    """Scores are the votes of the k nearest items; they only rank.

    Less than half a vote more goes to a class the nearer its nearest item is, so that it settles ties alone.
    With weights by distance, items that coincide with the query are the only ones that vote, once each.

    Attributes:
        k: Number of neighbours, at most the size of the support.
        weights: ``"uniform"``, or ``"distance"`` for votes of 1 / distance and no more than that.
        metric: ``"euclidean"``, or ``"cosine"``: the distance of features of norm 1, which rises as the cosine falls.

    Raises:
        FewShotError: If k is no whole number of at least 1, or weights or metric are none of these.
    """

    k: int = 1
    weights: str = "uniform"
    metric: str = "euclidean"

    scores = "rank"

    def __post_init__(self) -> None:
        keep_whole_numbers(self, k=1)
        if self.weights not in ("uniform", "distance"):
            raise FewShotError(f"weights must be 'uniform' or 'distance', got '{self.weights}'")
        if self.metric not in ("euclidean", "cosine"):
            raise FewShotError(f"metric must be 'euclidean' or 'cosine', got '{self.metric}'")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the support; the classifier counts votes.

        Raises:
            EpisodeError: If a class has no example, or there are fewer than k support items.
        """
        require_every_class(support.y, support.n_way)
        size = support.y.shape[-1]
        if self.k > size:
            raise EpisodeError(f"k must be at most the number of support items, {size}, got k={self.k}; lower k")
        return lambda query: self._votes(self._distances(query, support.x), support.y, support.n_way)

    def _distances(self, query: Float[Tensor, "*e q dim"], x: Float[Tensor, "*e s dim"]) -> Float[Tensor, "*e q s"]:
        if self.metric == "cosine":
            query, x = normalize(query, dim=-1), normalize(x, dim=-1)
        return _distances(query, x)

    def _votes(
        self, d: Float[Tensor, "*e q s"], y: Integer[Tensor, "*e s"], n_way: int
    ) -> Float[Tensor, "*e q {n_way}"]:
        near = d <= d.kthvalue(self.k, -1, keepdim=True).values
        member = class_membership(y, n_way, d.dtype)
        if self.weights == "distance":
            same = d == 0
            weight = torch.where(same.any(-1, keepdim=True), same.to(d.dtype), 1 / d)
            return weight.masked_fill(~near, 0) @ member
        label = y.unsqueeze(-2).expand_as(d)
        nearest = d.new_zeros(*d.shape[:-1], n_way).scatter_reduce(-1, label, d, "amin", include_self=False)
        total = nearest.sum(-1, keepdim=True).clamp(min=torch.finfo(d.dtype).tiny)
        return near.to(d.dtype) @ member + (1 - nearest / total) * 0.49


def _distances(a: Float[Tensor, "*e n dim"], b: Float[Tensor, "*e m dim"]) -> Float[Tensor, "*e n m"]:
    """Euclidean distances from differences, so that equal items are at 0 and ties are ties."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
