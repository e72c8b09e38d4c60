"""CDAN: as DANN, with a domain classifier that also sees what the network predicts.

Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018 (arXiv:1705.10667), equations 1 to 8. Code of the authors:
github.com/thuml/CDAN.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewshot.training.terms.adversary import discriminator, domain_loss, reversed_gradient, rising
from fewshot.training.terms.step import Step, Weight, value_at

MOST = 4096
"""Columns of the outer product above which it is taken at random (section 3.2)."""


class CDAN(nn.Module):
    """Loss of a domain classifier on the outer product of features and predictions, reversed.

    Above 4,096 columns, the product of two random projections with 1,024 columns takes its place (equation 5). Differences
    from the paper: predictions and their entropies are constants for the gradient, as predictions are in the authors'
    code; with ``entropy``, weights are as in equation 8, not divided by their sum as in the code.

    Args:
        dim: Number of features.
        classes: Number of classes.
        hidden: Widths of the domain classifier's hidden layers.
        entropy: Whether sure predictions count more: ``1 + exp(-entropy)``, called CDAN+E.
        width: Columns of the random projections.
        weight: Of the loss; a number, or a function of the progress.
        reversal: Factor of the gradient that goes into the features; a number, or a function of the progress.
    """

    of_features: Tensor
    of_predictions: Tensor

    def __init__(
        self,
        dim: int,
        classes: int,
        hidden: Sequence[int] = (1024, 1024),
        entropy: bool = False,
        width: int = 1024,
        weight: Weight = 1.0,
        reversal: Weight = rising,
    ) -> None:
        super().__init__()
        self.weight, self.reversal, self.entropy = weight, reversal, entropy
        self.random = dim * classes > MOST
        if self.random:
            self.register_buffer("of_features", torch.randn(dim, width))
            self.register_buffer("of_predictions", torch.randn(classes, width))
        self.discriminator = discriminator(width if self.random else dim * classes, hidden)

    def extra_repr(self) -> str:
        """The settings, which a checkpoint is compared by."""
        return f"weight={self.weight}, reversal={self.reversal}, entropy={self.entropy}"

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """Of both domains of the step.

        Raises:
            FewShotError: If there is no pool.
        """
        z = reversed_gradient(step.both_features(), value_at(self.reversal, step.progress))
        p = step.both_logits().detach().softmax(-1)
        logits = self.discriminator(self.product(z, p))[:, 0]
        importance = 1 + (p * p.clamp_min(1e-30).log()).sum(-1).exp() if self.entropy else None
        return domain_loss(logits, step.domain, importance)

    def product(self, z: Float[Tensor, "n dim"], p: Float[Tensor, "n classes"]) -> Float[Tensor, "n columns"]:
        """The outer product of each row, or a random one with the same expected inner products."""
        if not self.random:
            return (p[:, :, None] * z[:, None, :]).flatten(1)
        product: Tensor = (z @ self.of_features) * (p @ self.of_predictions) / self.of_features.shape[1] ** 0.5
        return product
