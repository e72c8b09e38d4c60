"""Cross-entropy on the classes, the main term of supervised training."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from fewshot.training.terms.step import Step, Weight


@dataclass(frozen=True)
class CrossEntropy:
    """Mean cross-entropy of the items' classes, in nats; lower is better.

    Attributes:
        weight: A number, or a function of the progress.
    """

    weight: Weight = 1.0

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """Mean over the items of the step."""
        return cross_entropy(step.logits, step.labels)
