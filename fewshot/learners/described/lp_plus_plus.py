"""LP++: a linear probe whose weights are class vectors plus descriptors, each class with a multiplier of its own.

Paper: Huang, Shakeri, Dolz, Boudiaf, Bahig and Ben Ayed, "LP++: A Surprisingly Strong Linear Probe for Few-Shot CLIP",
    CVPR 2024: the cross-entropy of logits fᵀ (w_k + α_k t_k), block coordinate steps whose sizes are inverse Lipschitz
    constants (Prop. 2, eq. 13), multipliers that start at the affinity of examples and descriptors.
Code: github.com/FereshteShakeri/FewShot-CLIP-Strong-Baseline, ``methods/linear_probe_p2.py``. Intended differences: the
    constants are bounds that hold for softmax, so that no step raises the objective, where the code takes steps for w
    twice as large with momentum 0.9, and for α an eighth as large; no intercept; w_k starts at the mean, where the code
    has the sum; the last step counts, where the code keeps the best one on validation data; and a class without an
    example keeps w_k = 0 and the first α.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_membership
from fewshot.learners.described.descriptors import unit_items_and_descriptors
from fewshot.learners.linear.heads import constant_support, slopes
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class LPPlusPlus:
    """Scores are fᵀ (w_k + α_k t_k), with items f and descriptors t_k of length 1, after steps on the support.

    Attributes:
        steps: Of the class vectors w.
        every: So many steps of w come before each step of α.
        strength: α starts at so much times the mean cosine of an example and its class's descriptor.
        scale: α where no class has an example.

    Raises:
        FewShotError: If a number is out of range.
    """

    steps: int = 300
    every: int = 10
    strength: float = 250.0
    scale: float = 100.0

    def __post_init__(self) -> None:
        keep_whole_numbers(self, steps=0, every=1)
        if not (0 < self.strength < torch.inf and 0 < self.scale < torch.inf):
            raise FewShotError(f"strength and scale must be finite and above 0, got {self.strength} and {self.scale}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Take the steps on each episode's support; nothing is differentiated through.

        Raises:
            EpisodeError: If descriptors are missing or not as long as features, or a number is not finite.
            FewShotError: If a gradient with respect to the support is requested.
        """
        f, t = unit_items_and_descriptors(constant_support(support, "LP++"))
        with torch.no_grad():
            target = class_membership(support.y, support.n_way, f.dtype).mT  # (e, n_way, s)
            w, alpha = self._descend(f, t @ f.mT, target)
        head = w + alpha * t
        return lambda query: normalize(query, dim=-1) @ head.to(query).mT

    def _descend(self, f: Tensor, text: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Class vectors and multipliers ``(e, n_way, 1)`` after all steps."""
        w, alpha = self._start(f, text, target)
        if not f.numel():
            return w, alpha
        seen = target.any(-1, keepdim=True)
        items = f.shape[-2]  # below: 1 / L, where the Hessian of softmax cross-entropy by logits is at most 1/2
        step_w = 2 * items / torch.linalg.matrix_norm(f, 2)[..., None, None].square().clamp(min=1e-12)
        step_alpha = 2 * items / text.square().sum(-1, keepdim=True).amax(-2, keepdim=True).clamp(min=1e-12)
        for k in range(1, self.steps + 1):
            w = w - seen * step_w * (slopes(w @ f.mT + alpha * text, target) @ f)
            if k % self.every == 0:
                by_alpha = (slopes(w @ f.mT + alpha * text, target) * text).sum(-1, keepdim=True)
                alpha = alpha - seen * step_alpha * by_alpha
        return w, alpha

    def _start(self, f: Tensor, text: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Means of the classes, and one multiplier for all of them."""
        share = target / target.sum(-1, keepdim=True).clamp(min=1)
        classes = target.any(-1).sum(-1)[..., None, None]
        affinity = (share * text).sum((-2, -1), keepdim=True) / classes.clamp(min=1)
        alpha = torch.where(classes > 0, self.strength * affinity, self.scale)
        return share @ f, alpha.expand(*target.shape[:-1], 1)
