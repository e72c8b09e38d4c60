"""Prototype fine-tune: a head that starts at the prototypes and learns from the support by gradient steps.

Paper: Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, sec. 2.4, for the linear
    head that is the nearest mean; Triantafillou et al., "Meta-Dataset", ICLR 2020, sec. 3, for the steps from there.
Code: none of its own; github.com/google-research/meta-dataset has it as the inner loop of Proto-MAML, whose outer
    loop is absent here. ``head="cosine", optimiser="adam", lr=1e-4`` is easyfsl's ``Finetune``.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_means, class_membership
from fewshot.learners.linear.heads import by_vectors, coordinates, cosines, slopes, trainable_support
from fewshot.plumbing.device import has_fused_steps
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class PrototypeFineTune:
    """Logits W z + b from w_k = 2 c_k and b_k = −‖c_k‖², or cosines from w_k = c_k, over a temperature.

    Each step lowers the mean cross-entropy of the whole support.

    Attributes:
        head: ``"linear"`` or ``"cosine"``.
        steps: With 0 of them the answers are those of the nearest mean.
        lr: Step size.
        optimiser: ``"gradient-descent"``, or ``"adam"``, which takes each feature apart and is slower.
        weight_decay: Weight of the penalty ``(‖W‖² + ‖b‖²) / 2``.
        temperature: Logits are divided by it.

    Raises:
        FewShotError: If a number is out of range, or a name is unknown.
    """

    head: str = "linear"
    steps: int = 200
    lr: float = 0.01
    optimiser: str = "gradient-descent"
    weight_decay: float = 0.0
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.head not in ("linear", "cosine"):
            raise FewShotError(f"head must be 'linear' or 'cosine', got '{self.head}'")
        if self.optimiser not in ("gradient-descent", "adam"):
            raise FewShotError(f"optimiser must be 'gradient-descent' or 'adam', got '{self.optimiser}'")
        if not (self.lr > 0 and self.temperature > 0):
            raise FewShotError(f"lr and temperature must be above 0, got {self.lr} and {self.temperature}")
        keep_whole_numbers(self, steps=0)
        if not self.weight_decay >= 0:
            raise FewShotError(f"weight_decay must be 0 or more, got {self.weight_decay}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Train a head on each episode's support; nothing is differentiated through.

        Raises:
            EpisodeError: If a class has no example, or a feature is not finite.
            FewShotError: If a gradient with respect to the support is requested.
        """
        x = trainable_support(support, "a head that is fine-tuned")
        with torch.no_grad():
            head = self._train(x, support.y, support.n_way)
        return lambda query: self._logits(head.to(query), self._items(query))[0].mT / self.temperature

    def _train(self, x: Tensor, y: Tensor, n_way: int) -> Tensor:
        """The head after all steps; gradient descent takes them in coordinates of the span of the support."""
        if self.optimiser == "adam":
            head = self._start(class_means(x, y, n_way))
            adam = torch.optim.Adam([head], self.lr, weight_decay=self.weight_decay, fused=has_fused_steps(head))
            return self._descend(adam, head, x, y)
        rows, axes = coordinates(x)
        head = self._start(class_means(rows, y, n_way))
        self._descend(torch.optim.SGD([head], self.lr, weight_decay=self.weight_decay), head, rows, y)
        return torch.cat([head[..., : rows.shape[-1]] @ axes, head[..., rows.shape[-1] :]], -1)

    def _descend(self, optimiser: torch.optim.Optimizer, head: Tensor, x: Tensor, y: Tensor) -> Tensor:
        z, target = self._items(x), class_membership(y, head.shape[-2], x.dtype).mT
        for _ in range(self.steps):
            head.grad = self._gradient(head, z, target)
            optimiser.step()
        return head.detach()

    def _gradient(self, head: Tensor, z: Tensor, target: Tensor) -> Tensor:
        logits, length = self._logits(head, z)
        by_logits = slopes(logits / self.temperature, target) / self.temperature
        return by_logits @ z if length is None else by_vectors(by_logits, logits, length, head, z)

    def _logits(self, head: Tensor, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """At temperature 1, of every class for every item, (e, n_way, n); for cosines the lengths too."""
        return cosines(head, z) if self.head == "cosine" else (head @ z.mT, None)

    def _items(self, z: Tensor) -> Tensor:
        return normalize(z, dim=-1) if self.head == "cosine" else torch.cat([z, torch.ones_like(z[..., :1])], -1)

    def _start(self, means: Tensor) -> Tensor:
        return means if self.head == "cosine" else torch.cat([2 * means, -means.square().sum(-1, keepdim=True)], -1)
