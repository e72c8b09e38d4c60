"""Tip-Adapter-F: Tip-Adapter whose keys are trained on the support, from the examples on.

Paper: Zhang, Fang, Zhang, Gao, Li, Dai, Qiao and Li, "Tip-Adapter: Training-Free Adaption of CLIP for Few-Shot
    Classification", ECCV 2022, sec. 3.2: keys start at the cached features and move for 20 epochs, all else stays.
Code: github.com/gaopengcuhk/Tip-Adapter, ``run_tip_adapter_F`` in ``main.py``: AdamW, rate 1e-3, ε 1e-4, a cosine down
    to 0, keys not brought back to length 1. Intended differences: a step takes the whole support, where the authors
    take 256 augmented images; the last keys count, where the authors keep the epoch that does best on test images,
    and search α and β again.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_membership
from fewshot.learners.described.descriptors import unit_items_and_descriptors
from fewshot.learners.described.tip_adapter import TipAdapter
from fewshot.learners.linear.heads import constant_support
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class TipAdapterF(TipAdapter):
    """Scores are those of `TipAdapter` with keys that lower the mean cross-entropy of the support.

    Attributes:
        alpha: α, weight of the cache.
        beta: β, how quickly a vote falls with the distance.
        scale: Multiplies the cosines with the descriptors.
        steps: Of AdamW; with 0 of them this is `TipAdapter`.
        lr: Step size at the start.
        weight_decay: Of AdamW.

    Raises:
        FewShotError: If a number is out of range.
    """

    steps: int = 20
    lr: float = 1e-3
    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        keep_whole_numbers(self, steps=0)
        if not (self.lr > 0 and self.weight_decay >= 0):
            raise FewShotError(
                f"lr must be above 0 and weight_decay 0 or more, got {self.lr} and {self.weight_decay}; "
                "the authors have 1e-3 and 0.01"
            )

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Train the keys on each episode's support; nothing is differentiated through.

        Raises:
            EpisodeError: If descriptors are missing or not as long as features, or a number is not finite.
            FewShotError: If a gradient with respect to the support is requested.
        """
        f, described = unit_items_and_descriptors(constant_support(support, "Tip-Adapter-F"))
        values = class_membership(support.y, support.n_way, f.dtype)
        keys = self._train(f, described.detach(), values) if self.steps and f.numel() else f
        return self.classifier(described, keys, values)

    def _train(self, f: Tensor, described: Tensor, values: Tensor) -> Tensor:
        keys = f.clone()
        adam = torch.optim.AdamW([keys], self.lr, eps=1e-4, weight_decay=self.weight_decay)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.steps)
        for _ in range(self.steps):
            keys.grad = self._gradient(keys, f, described, values)
            adam.step()
            cosine.step()
        return keys

    def _gradient(self, keys: Tensor, f: Tensor, described: Tensor, values: Tensor) -> Tensor:
        """Of the mean cross-entropy of each episode, which the keys of no other episode touch."""
        with torch.enable_grad():
            moving = keys.detach().requires_grad_()
            logits = self.logits(f, described, moving, values)
            loss = cross_entropy(logits.flatten(0, -2), values.flatten(0, -2), reduction="sum") / f.shape[-2]
            return torch.autograd.grad(loss, moving)[0]
