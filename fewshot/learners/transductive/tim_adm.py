"""TIM-ADM: the objective of TIM by alternating directions, some ten times as quick as by gradient steps.

Paper: Boudiaf, Masud, Rony, Dolz, Piantanida and Ben Ayed, "Transductive Information Maximization For Few-Shot
    Learning", NeurIPS 2020, eqs. 5 to 7.
Code: github.com/mboudiaf/TIM, ``src/tim.py``, ``TIM_ADM`` with its default settings. As there, exponents follow the
    weights, and features have length 1. Intended difference: where features differ little, as around a large common
    offset, prototypes leap to and fro for ever; where a late step trebles the misfit, an episode is solved with shorter
    steps, in float64.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_membership, require_every_class
from fewshot.learners.transductive.gram import class_means, gram, unit
from fewshot.plumbing.number_checks import keep_whole_numbers

SETTLED = 18  # steps, a multiple of 3, after which the misfit falls on ordinary features


@dataclass(frozen=True)
class TIMADM:
    """Log-probabilities after alternating between assignments and prototypes, both in closed form (eqs. 5 to 7).

    The marginal entropy prefers queries that are shared evenly by the classes.

    Attributes:
        temperature: Scores are ``−temperature / 2 · ‖z − w‖²``.
        support_weight: Of the cross-entropy of the support.
        marginal_weight: Of the entropy of the mean prediction, which is maximised.
        conditional_weight: Of the mean entropy of predictions, which is minimised.
        steps: Alternations.

    Raises:
        FewShotError: If a number is out of range.
    """

    temperature: float = 15.0
    support_weight: float = 0.1
    marginal_weight: float = 1.0
    conditional_weight: float = 0.1
    steps: int = 150

    transductive = True

    @property
    def assumes_balanced_queries(self) -> bool:
        """Whether the entropy of the mean prediction counts, which is largest for classes that are equally frequent."""
        return self.marginal_weight > 0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise FewShotError(f"temperature must be above 0, got {self.temperature}")
        if not self.support_weight > 0:
            raise FewShotError(f"support_weight must be above 0, got {self.support_weight}")
        keep_whole_numbers(self, steps=0)
        for name in ("marginal_weight", "conditional_weight"):
            if not getattr(self, name) >= 0:
                raise FewShotError(f"{name} must be 0 or more, got {getattr(self, name)}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the support; prototypes and assignments are found when the queries come.

        Raises:
            EpisodeError: If a class has no example.
        """
        require_every_class(support.y, support.n_way)
        return lambda query: self._classify(support, query)

    def _classify(self, support: SupportSet, query: Tensor) -> Tensor:
        k = unit(gram(support.x, query))
        w, leaps = self._alternate(k, support, damped=False)
        if bool(leaps.any()):
            exact = unit(gram(support.x.double(), query.double()))
            w = torch.where(leaps, self._alternate(exact, support, damped=True)[0].to(w), w)
        return self._log_p(k, w)[..., support.y.shape[-1] :].mT

    def _alternate(self, k: Tensor, support: SupportSet, damped: bool) -> tuple[Tensor, Tensor]:
        """Prototypes as sums of items, and in which episodes they leapt to and fro."""
        s, n = support.y.shape[-1], k.shape[-1]
        y = class_membership(support.y, support.n_way, k.dtype).mT
        w, leaps = class_means(support.y, support.n_way, k), torch.zeros_like(k[..., :1, :1], dtype=torch.bool)
        weight = torch.full_like(k[..., :1, :], self.support_weight / (1 + self.conditional_weight))
        weight[..., s:] = s / (n - s)
        q, before = torch.zeros_like(w), torch.zeros_like(k[..., :1, :1])
        for step in range(self.steps):
            log_p = self._log_p(k, w)
            if step > SETTLED and step % 3 == 1:
                leaps = leaps | ((q * log_p).sum((-2, -1), keepdim=True) < 3 * before)
            p = log_p.exp()
            q = weight * torch.cat([y, self._assignments(p[..., s:])], -1)
            if step >= SETTLED and step % 3 == 0:
                before = (q * log_p).sum((-2, -1), keepdim=True)  # minus the misfit that the step is to make smaller
            mass = q.sum(-1, keepdim=True)
            after = (q - weight * p + w * (weight * p).sum(-1, keepdim=True)) / mass
            if damped:
                after = w + (after - w) / (1 + self._curvature(k, w, weight * p * (1 - p) / mass))
            w = after
        return w, leaps

    def _curvature(self, k: Tensor, w: Tensor, share: Tensor) -> Tensor:
        """Bound of how much the misfit bends along a whole step; it falls without leaps on steps shorter than 2 over that."""
        products = w @ k
        apart = k.diagonal(dim1=-2, dim2=-1).unsqueeze(-2) - 2 * products + (products * w).sum(-1, keepdim=True)
        return self.temperature * (share * apart).sum(-1, keepdim=True).amax(-2, keepdim=True)

    def _log_p(self, k: Tensor, w: Tensor) -> Tensor:
        products = w @ k
        return (self.temperature * (products - (products * w).sum(-1, keepdim=True) / 2)).log_softmax(-2)

    def _assignments(self, p: Tensor) -> Tensor:
        """Eq. 6: sharper than p, and less of what many queries take."""
        sharp = p.pow(1 + self.conditional_weight)
        even = sharp / sharp.sum(-1, keepdim=True).pow(self.marginal_weight / (1 + self.marginal_weight))
        return even / even.sum(-2, keepdim=True)
