"""Regression to descriptors: ridge regression says what the descriptor of an item would be; the nearest class is the answer.

Papers: Hoerl and Kennard, "Ridge Regression", Technometrics 1970; as the plainest zero-shot learner, Palatucci, Pomerleau, Hinton
    and Mitchell, "Zero-Shot Learning with Semantic Output Codes", NeurIPS 2009, section 5.2 (regression, then the nearest code).
Code: none.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import squared_distances
from fewshot.learners.described.descriptors import base_classes, class_descriptors, require_base

METRICS = ("cosine", "squared-euclidean")


@dataclass(frozen=True)
class DescriptorRegression:
    """Scores are cosines, or negative squared distances, between a predicted descriptor A x + b and those of the classes.

    A and b have the least Σ ‖A x_i + b - s_i‖² + α ‖A‖² over the base items, whose descriptors s_i are those of their classes.

    Attributes:
        alpha: α; the intercept b is not penalised.
        metric: ``"cosine"`` or ``"squared-euclidean"``, the nearest code of Palatucci et al.
        weight: A and, in its last column, b; found by `with_base`.

    Raises:
        FewShotError: If α is negative, or the metric is none of the two.
    """

    alpha: float = 1.0
    metric: str = "cosine"
    weight: Float[Tensor, "length dim_and_one"] | None = None

    scores = "rank"

    def __post_init__(self) -> None:
        if not self.alpha >= 0:
            raise FewShotError(f"alpha must not be negative, got {self.alpha}")
        if self.metric not in METRICS:
            raise FewShotError(f"metric must be one of {', '.join(METRICS)}, got '{self.metric}'")

    def with_base(self, base: SupportSet) -> "DescriptorRegression":
        """The same learner with A and b of the base classes.

        Raises:
            EpisodeError: If a base class has no item or no descriptor.
        """
        x, y, s = base_classes(base)
        mean, own = x.mean(0), s[y]
        centred = x - mean  # takes the intercept out of the problem
        gram = centred.T @ centred + self.alpha * torch.eye(x.shape[1]).to(x)
        a = torch.linalg.lstsq(gram, centred.T @ (own - own.mean(0)), driver="gelsd").solution.T
        return replace(self, weight=torch.cat([a, (own.mean(0) - a @ mean)[:, None]], 1))

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Compare with the descriptors of the support; its items are not looked at.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or of another length.
        """
        weight = require_base(self.weight, "DescriptorRegression")
        s = class_descriptors(support, len(weight))

        def classify(query: Tensor) -> Tensor:
            predicted = query @ weight[:, :-1].to(query).mT + weight[:, -1].to(query)
            if self.metric == "cosine":
                return normalize(predicted, dim=-1) @ normalize(s.to(query), dim=-1).mT
            return -squared_distances(predicted, s.to(query))

        return classify
