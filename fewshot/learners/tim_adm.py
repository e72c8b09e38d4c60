"""TIM-ADM: the objective of TIM by alternating directions, some ten times as quick as by gradient steps.

Paper: Boudiaf, Masud, Rony, Dolz, Piantanida and Ben Ayed, "Transductive Information Maximization For Few-Shot
    Learning", NeurIPS 2020, eqs. 5 to 7.
Code: github.com/mboudiaf/TIM, ``src/tim.py``, ``TIM_ADM`` with its default settings. No intended difference: as there,
    exponents follow the weights, and features have length 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import FewShotError
from fewshot.functional import class_membership, require_every_class
from fewshot.gram import class_means, gram, unit


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
        for name in ("marginal_weight", "conditional_weight", "steps"):
            if not getattr(self, name) >= 0:
                raise FewShotError(f"{name} must be 0 or more, got {getattr(self, name)}")

    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the support; prototypes and assignments are found when the queries come.

        Raises:
            EpisodeError: If a class has no example.
        """
        require_every_class(support.y, support.n_way)
        return lambda query: self._classify(support, query)

    def _classify(self, support: SupportSet, query: Tensor) -> Tensor:
        s, k = support.y.shape[-1], unit(gram(support.x, query))
        y = class_membership(support.y, support.n_way, k.dtype).mT
        w = class_means(support.y, support.n_way, k)  # prototypes are sums of items
        of_support, of_query = self.support_weight / (1 + self.conditional_weight), s / query.shape[-2]
        for _ in range(self.steps):
            p = self._log_p(k, w).exp()
            q = torch.cat([of_support * y, of_query * self._assignments(p[..., s:])], -1)
            p = torch.cat([of_support * p[..., :s], of_query * p[..., s:]], -1)
            w = (q - p + w * p.sum(-1, keepdim=True)) / q.sum(-1, keepdim=True)
        return self._log_p(k, w)[..., s:].mT

    def _log_p(self, k: Tensor, w: Tensor) -> Tensor:
        products = w @ k
        return (self.temperature * (products - (products * w).sum(-1, keepdim=True) / 2)).log_softmax(-2)

    def _assignments(self, p: Tensor) -> Tensor:
        """Eq. 6: sharper than p, and less of what many queries take."""
        sharp = p.pow(1 + self.conditional_weight)
        even = sharp / sharp.sum(-1, keepdim=True).pow(self.marginal_weight / (1 + self.marginal_weight))
        return even / even.sum(-2, keepdim=True)
