"""Rotation: which quarter turn of four was an image given?

Gidaris, Singh and Komodakis, "Unsupervised Representation Learning by Predicting Image Rotations", ICLR 2018. All four turns of each image
are shown and have its class, as in Mangla et al., "Charting the Right Manifold", WACV 2020.
"""

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewshot.training.augment.rotation import rotate
from fewshot.training.terms.step import Step, Weight


class Rotation(nn.Module):
    """Mean cross-entropy of the quarter turns, in nats; lower is better.

    Args:
        dim: Number of features.
        weight: A number, or a function of the progress.
    """

    def __init__(self, dim: int, weight: Weight = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.turns = nn.Linear(dim, 4)

    def extra_repr(self) -> str:
        """The weight, which a checkpoint is compared by."""
        return f"weight={self.weight}"

    def prepare(
        self, items: Shaped[Tensor, "n c h w"], labels: Integer[Tensor, " n"], generator: torch.Generator
    ) -> tuple[Shaped[Tensor, "four_n c h w"], Integer[Tensor, " four_n"]]:
        """The batch four times: as it is, then turned by one, two and three quarters, counter-clockwise.

        Raises:
            ShapeError: If images are not square.
        """
        turned = rotate(items.repeat(4, 1, 1, 1), _turn_of(labels.repeat(4)))
        return turned, labels.repeat(4)

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """Mean over the turned images of the step."""
        return cross_entropy(self.turns(step.features), _turn_of(step.labels))


def _turn_of(labels: Integer[Tensor, " four_n"]) -> Integer[Tensor, " four_n"]:
    return torch.arange(4, device=labels.device).repeat_interleave(len(labels) // 4)
