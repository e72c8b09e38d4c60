"""Prototypes that gain information about the queries' classes by gradient descent: what TIM and alpha-TIM share.

Boudiaf et al. (2020), eqs. 1 to 4, with the entropies of Veilleux et al. (2021), which are Shannon's at alpha 1.
Gradients are written out, since automatic differentiation takes about twice as long. Classes lead, items follow:
``(e, n_way, n)``.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.errors import FewShotError
from fewshot.plumbing.device import has_fused_steps
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class Information:
    """Minimises ``support · cross-entropy − marginal · H(mean of p) + conditional · mean of H(p)`` over prototypes.

    Attributes:
        support: Weight of the cross-entropy of the support.
        marginal: Weight of the entropy of the mean prediction of the queries.
        conditional: Weight of the mean entropy of their predictions.
        alpha: Of both entropies of the queries; 1 is Shannon's.
        temperature: ``p = softmax(−temperature / 2 · ‖z − w‖²)``, or of ``temperature · cosine``.
        classifier: ``"l2"`` or ``"cosine"``.
        lr: Step size of Adam.
        steps: Of Adam.

    Raises:
        FewShotError: If a number is out of range, or the classifier is neither.
    """

    support: float
    marginal: float
    conditional: float
    alpha: float
    temperature: float
    classifier: str
    lr: float
    steps: int

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and self.temperature > 0 and self.lr > 0):
            raise FewShotError(
                f"alpha, temperature and lr must be above 0, got {self.alpha}, {self.temperature}, {self.lr}"
            )
        keep_whole_numbers(self, steps=0)
        if not min(self.support, self.marginal, self.conditional) >= 0:
            raise FewShotError(f"weights must be 0 or more, got {(self.support, self.marginal, self.conditional)}")
        if self.classifier not in ("l2", "cosine"):
            raise FewShotError(f"classifier must be 'l2' or 'cosine', got '{self.classifier}'")

    def improve(
        self, w: Float[Tensor, "e n_way dim"], z: Float[Tensor, "e n dim"], target: Float[Tensor, "e n_way s"]
    ) -> Float[Tensor, "e n_way dim"]:
        """Prototypes after all steps, from ``w``; items of length 1, the support with its labels first."""
        w = w.detach().clone()
        adam = torch.optim.Adam([w], lr=self.lr, fused=has_fused_steps(w))
        for _ in range(self.steps):
            logits = self.logits(w, z)
            w.grad = self._toward(w, z, logits, self._slopes(logits.log_softmax(-2), target))
            adam.step()
        return w

    def logits(self, w: Float[Tensor, "e n_way dim"], z: Float[Tensor, "e n dim"]) -> Float[Tensor, "e n_way n"]:
        """Scores of the items, up to what all classes share."""
        if self.classifier == "cosine":
            return self.temperature * normalize(w, dim=-1) @ z.mT
        half = w.square().sum(-1, keepdim=True) / 2
        return torch.baddbmm(half, w, z.mT, beta=-self.temperature, alpha=self.temperature)

    def _slopes(self, log_p: Tensor, target: Tensor) -> Tensor:
        """Derivatives of the objective by the logits."""
        p, s = log_p.exp(), target.shape[-1]
        of_support = (self.support / s) * (p[..., :s] - target)
        p, log_p = p[..., s:], log_p[..., s:]
        mean = p.mean(-1, keepdim=True)
        least = torch.finfo(mean.dtype).tiny  # a class that no query wants: its slope is steep, but a number
        of_mean = self._entropy_slope(mean, mean.clamp(min=least).log())
        by_p = self.conditional * self._entropy_slope(p, log_p) - self.marginal * of_mean
        by_p = by_p / p.shape[-1]
        return torch.cat([of_support, p * (by_p - (p * by_p).sum(-2, keepdim=True))], -1)

    def _entropy_slope(self, p: Tensor, log_p: Tensor) -> Tensor:
        """Derivative of (1 − Σ p^alpha) / (alpha − 1) by p, up to a constant, which probabilities do not feel."""
        if self.alpha == 1:
            return -log_p
        return p.pow(self.alpha - 1).mul(-self.alpha / (self.alpha - 1))

    def _toward(self, w: Tensor, z: Tensor, logits: Tensor, slopes: Tensor) -> Tensor:
        """Derivatives by the prototypes."""
        if self.classifier == "cosine":
            length = torch.linalg.vector_norm(w, dim=-1, keepdim=True).clamp(min=1e-12)
            along = (slopes * logits).sum(-1, keepdim=True) * normalize(w, dim=-1)
            return (self.temperature * slopes @ z - along).div(length)
        t = self.temperature
        return torch.baddbmm(slopes.sum(-1, keepdim=True) * w, slopes, z, beta=-t, alpha=t)


def informed_scores(
    information: Information,
    w: Float[Tensor, "*e n_way dim"],
    z: Float[Tensor, "*e n dim"],
    target: Float[Tensor, "*e n_way s"],
    chunk: int = 16,
) -> Float[Tensor, "*e q n_way"]:
    """Log-probabilities of the queries, a few episodes at a time so that their items stay in the cache."""
    if z.ndim == 2:
        return informed_scores(information, w[None], z[None], target[None])[0]
    queries = []
    with torch.no_grad():
        for k in range(0, len(z), chunk):
            items, labels = z[k : k + chunk], target[k : k + chunk]
            logits = information.logits(information.improve(w[k : k + chunk], items, labels), items)
            queries.append(logits[..., target.shape[-1] :].log_softmax(-2).mT)
    return torch.cat(queries)
