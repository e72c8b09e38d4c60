"""Ridge regression onto one-hot labels, in closed form.

Paper: Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems",
    Technometrics 12 (1970), eq. 2.1.
Code: scikit-learn's ``Ridge`` on one-hot targets; its ``RidgeClassifier`` has targets -1 and 1, whose scores
    are twice ours less 1. Solved in the items where they are fewer than the features, else in the features.
"""

from dataclasses import dataclass

import torch

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_membership, require_every_class, require_finite
from fewshot.learners.linear.convex import linear, ridge


@dataclass(frozen=True)
class Ridge:
    """Scores are the linear map of the features that comes nearest to one-hot labels; gradients flow.

    The intercept is not penalised.

    Attributes:
        penalty: λ of ``Σ |W z + b - onehot(y)|² + λ ‖W‖²``.

    Raises:
        FewShotError: If the penalty is not above 0.
    """

    penalty: float = 1.0
    scores = "rank"

    def __post_init__(self) -> None:
        if not self.penalty > 0:
            raise FewShotError(f"penalty must be above 0, got {self.penalty}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Fit weights and intercepts in float64; the scores have the type of the support.

        Raises:
            EpisodeError: If a class has no example, or a feature is not finite.
        """
        require_every_class(support.y, support.n_way)
        require_finite(support.x)
        x, target = support.x.double(), class_membership(support.y, support.n_way, torch.float64)
        centre, share = x.mean(-2, keepdim=True), target.mean(-2, keepdim=True)
        weights = ridge(x - centre, target - share, self.penalty)
        return linear(weights, share - centre @ weights, centre)
