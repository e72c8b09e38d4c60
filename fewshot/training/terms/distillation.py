"""Distillation: the predictions of an earlier network are targets.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015 (arXiv:1503.02531), section 2. For born-again generations
(Furlanello et al., ICML 2018; Tian et al., ECCV 2020) the teacher is a network of the same form, trained before.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div

from fewshot.plumbing.number_checks import keep_finite_numbers
from fewshot.training.terms.step import Step, Weight


@dataclass(frozen=True)
class Distillation:
    """Kullback-Leibler divergence of the softened predictions from the teacher's, times the squared temperature.

    Mean over the items, in nats; lower is better. With ``CrossEntropy(1 - share)`` and ``Distillation(teacher, share)``
    both parts weigh 1 together. The teacher is put in eval mode and is not trained.

    Attributes:
        teacher: A `fewshot.training.supervised.ClassHead` for the same classes; it goes to the device of the network.
        weight: A number, or a function of the progress.
        temperature: Divides both predictions' logits; the squared one keeps the size of the gradients.

    Raises:
        FewShotError: If the temperature is no positive number.
    """

    teacher: Any = field(repr=False)
    weight: Weight = 0.5
    temperature: float = 4.0

    def __post_init__(self) -> None:
        keep_finite_numbers(self, temperature="(0, inf)")
        self.teacher.eval()

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """Mean over the items of the step."""
        t = self.temperature
        self.teacher.to(step.logits.device)
        with torch.no_grad():
            wanted = (self.teacher.logits(self.teacher.embed(step.items)) / t).log_softmax(-1)
        return t**2 * kl_div((step.logits / t).log_softmax(-1), wanted, reduction="batchmean", log_target=True)
