"""MetaOptNet: a backbone that is trained through the support vector machine of each episode.

Paper: Lee, Maji, Ravichandran and Soatto, "Meta-Learning with Differentiable Convex Optimization", CVPR 2019,
    eqs. 6 to 10 (the machine), the section on the meta-learning objective (the learned scale), section 4.
Code: github.com/kjunelee/MetaOptNet, ``train.py`` and ``models/classification_heads.py``. Smoothed labels as there: ε is
    shared by the *other* classes, while torch's own smoothing gives the true class its part. The machine's
    differences: `svm`.
"""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewshot.contract import Classifier, SupportSet
from fewshot.embedded import Embedded
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership
from fewshot.learners.linear.svm import SVM


def MetaOptNet(backbone: Callable[..., Any], C: float = 0.1, scale: float = 1.0, smoothing: float = 0.0) -> Embedded:
    """A backbone that is trained so that a support vector machine on its features classifies the queries.

    Args:
        backbone: A module that turns items ``(n, *item)`` into features ``(n, dim)``.
        C: Weight of the margin violations against the norm.
        scale: γ of the scores to begin with; it is learned.
        smoothing: ε of the labels in training; the paper has 0.1 on miniImageNet.

    Raises:
        FewShotError: If C is not above 0, or the smoothing is not in [0, 1).
    """
    return Embedded(backbone, SmoothedSVM(C, scale, smoothing))


class SmoothedSVM(nn.Module):
    """The machine with its loss on queries; gradients flow through the solution to the features.

    Args:
        C: Weight of the margin violations against the norm.
        scale: Of the scores to begin with.
        smoothing: Share of a label that the other classes get in the loss.

    Raises:
        FewShotError: If C is not above 0, or the smoothing is not in [0, 1).
    """

    def __init__(self, C: float = 0.1, scale: float = 1.0, smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= smoothing < 1:
            raise FewShotError(f"smoothing must lie in [0, 1), got {smoothing}")
        self.svm, self.smoothing = SVM(C, scale), smoothing

    def adapt(self, support: SupportSet) -> Classifier:
        """Solve for the weights of all episodes.

        Raises:
            EpisodeError: If a class has no example, a feature is not finite, or the solution is not found.
        """
        return self.svm.adapt(support)

    def loss(self, support: SupportSet, query: Tensor, labels: Integer[Tensor, "e q"]) -> Float[Tensor, ""]:
        """Mean cross-entropy of the queries to their smoothed labels; lower is better.

        Raises:
            EpisodeError: If labels are smoothed and there is but one class.
        """
        if self.smoothing and support.n_way < 2:
            raise EpisodeError(f"smoothing needs at least two classes, got {support.n_way}; use smoothing=0")
        target = class_membership(labels, support.n_way, query.dtype)
        if self.smoothing:
            target = target * (1 - self.smoothing) + (1 - target) * (self.smoothing / (support.n_way - 1))
        return cross_entropy(self.adapt(support)(query).flatten(0, 1), target.flatten(0, 1))
