"""DANN: features from which a domain classifier cannot tell source and target.

Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17 (2016). Code of the authors:
github.com/GRAAL-Research/domain_adversarial_neural_network (shallow) and github.com/ddtm/caffe (deep).
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from fewshot.training.terms.adversary import discriminator, domain_loss, reversed_gradient, rising
from fewshot.training.terms.step import Step, Weight, value_at


class DANN(nn.Module):
    """Loss of a domain classifier on features whose gradient is reversed (equations 9 to 14).

    The domain classifier lowers this loss, the features raise it. The defaults are those of the deep networks of section
    5.2.2, where the domain classifier learns with the factor 1 and the features with a rising one. The shallow networks
    of section 5.1 have a linear classifier and one constant for both: ``DANN(dim, hidden=(), weight=0.1, reversal=1.0)``.
    The published learning rate is the schedule ``"inverse"`` with SGD, momentum 0.9 and the rate 0.01.

    Args:
        dim: Number of features.
        hidden: Widths of the domain classifier's hidden layers; the paper has ``(100,)`` on MNIST.
        weight: Of the loss; a number, or a function of the progress.
        reversal: Factor of the gradient that goes into the features, further to ``weight``; a number, or a function
            of the progress. With 0 the features are those of a network without this term.
    """

    def __init__(
        self, dim: int, hidden: Sequence[int] = (1024, 1024), weight: Weight = 1.0, reversal: Weight = rising
    ) -> None:
        super().__init__()
        self.weight, self.reversal = weight, reversal
        self.discriminator = discriminator(dim, hidden)

    def extra_repr(self) -> str:
        """The settings, which a checkpoint is compared by."""
        return f"weight={self.weight}, reversal={self.reversal}"

    def forward(self, step: Step) -> Float[Tensor, ""]:
        """Of both domains of the step.

        Raises:
            FewShotError: If there is no pool.
        """
        z = reversed_gradient(step.both_features(), value_at(self.reversal, step.progress))
        return domain_loss(self.discriminator(z)[:, 0], step.domain)
