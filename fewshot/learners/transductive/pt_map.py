"""PT-MAP: power transform, then class means and an optimal transport of the queries to them, in turn.

Paper: Hu, Gripon and Pateux, "Leveraging the Feature Distribution in Transfer-based Few-Shot Learning", ICANN 2021,
    eqs. 1 to 6 and algorithm 1.
Code: github.com/yhu01/PT-MAP, ``test_standard.py``, which knows that every class has as many queries; here that is
    ``marginal="uniform"``, and two other marginals are there. Features are taken to be 0 or more; a negative one gets
    the same power with its sign here. The reduction by QR changes nothing and is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership, require_every_class, sinkhorn
from fewshot.learners.transductive.gram import class_means, gram, moved, squared_distances, unit
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class PTMAP:
    """Log-probabilities of the transport plan from queries to class means.

    Attributes:
        marginal: Shares of the classes among the queries: ``"uniform"`` as published, ``"estimated"`` from the
            assignments, or one number a class.
        strength: Inverse weight of the plan's entropy.
        rate: Part of the way that class means go to the means of what is assigned to them.
        epochs: Rounds of transport and means.
        power: Of features; 1 leaves them.
        centre: Whether features get length 1, support and queries are centred separately, and get length 1 again.

    Raises:
        FewShotError: If a number is out of range, or a word unknown.
    """

    marginal: str | Sequence[float] = "uniform"
    strength: float = 10.0
    rate: float = 0.2
    epochs: int = 20
    power: float = 0.5
    centre: bool = True

    transductive = True

    @property
    def assumes_balanced_queries(self) -> bool:
        """Whether the shares of the classes are taken to be equal."""
        return isinstance(self.marginal, str) and self.marginal == "uniform"

    def __post_init__(self) -> None:
        if isinstance(self.marginal, str) and self.marginal not in ("uniform", "estimated"):
            raise FewShotError(f"marginal must be 'uniform', 'estimated' or numbers, got '{self.marginal}'")
        if not isinstance(self.marginal, str) and not all(share > 0 for share in self.marginal):
            raise FewShotError(f"every share of the marginal must be above 0, got {list(self.marginal)}")
        keep_whole_numbers(self, epochs=0)
        if not (self.strength > 0 and self.power > 0 and 0 < self.rate <= 1):
            raise FewShotError(
                f"strength, power and rate must be above 0, rate at most 1, got {self.strength}, {self.power}, {self.rate}"
            )

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the support; means and plan are found when the queries come.

        Raises:
            EpisodeError: If a class has no example, or the marginal has not one share a class; later, if a single
                query is to be centred.
        """
        require_every_class(support.y, support.n_way)
        if not isinstance(self.marginal, str) and len(self.marginal) != support.n_way:
            raise EpisodeError(f"the marginal must have {support.n_way} shares, one a class, got {len(self.marginal)}")
        return lambda query: self._classify(support, query)

    def _classify(self, support: SupportSet, query: Tensor) -> Tensor:
        s, q = support.y.shape[-1], query.shape[-2]
        k = gram(self._powered(support.x), self._powered(query))
        k = centred(k, s, q) if self.centre else k
        y = class_membership(support.y, support.n_way, k.dtype).mT
        means = class_means(support.y, support.n_way, k)
        shares = self._shares(k, support.n_way)
        for epoch in range(self.epochs + 1):
            cost = squared_distances(k, means)[..., s:]
            log_p, shares = self._assign(cost, shares)
            if epoch < self.epochs:
                assigned = torch.cat([y, log_p.exp()], -1)
                means = means + self.rate * (assigned / assigned.sum(-1, keepdim=True) - means)
        return log_p.log_softmax(-2).mT

    def _powered(self, z: Tensor) -> Tensor:
        if self.power == 1:
            return z
        return torch.where(z < 0, -1.0, 1.0).to(z.dtype) * (z.abs() + 1e-6).pow(self.power)

    def _shares(self, k: Tensor, n_way: int) -> Tensor:
        given = [1.0] * n_way if isinstance(self.marginal, str) else list(self.marginal)
        shares = k.new_tensor(given) / sum(given)
        return shares.expand(*k.shape[:-2], n_way)

    def _assign(self, cost: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        """Log of the plan, and shares for the next round. For estimated shares softmax is that plan already."""
        if self.marginal == "estimated":
            log_p = (shares.log().unsqueeze(-1) - self.strength * cost).log_softmax(-2)
            return log_p, log_p.exp().mean(-1)
        ones = cost.new_ones(*cost.shape[:-2], cost.shape[-1])
        return sinkhorn(cost, shares, ones, self.strength), shares


def centred(k: Tensor, s: int, q: int) -> Tensor:
    """Inner products after items got length 1, support and queries their own mean at 0, and items length 1 again.

    Raises:
        EpisodeError: If there is a single query, which would be 0 whatever it is.
    """
    if q < 2:
        raise EpisodeError(
            f"queries that are centred must be two or more, got {q}; answer them in one call, or set centre=False"
        )
    of_x = torch.cat([k.new_ones(s), k.new_zeros(q)])
    k = moved(unit(k), of_x, -of_x / s)
    return unit(moved(k, 1 - of_x, (of_x - 1) / q))
