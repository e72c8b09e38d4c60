"""Ridge regression towards the source's weights, in closed form: the prior of the target is what the source taught.

Paper: Chelba and Acero, "Adaptation of Maximum Entropy Capitalizer: Little Data Can Help a Lot", EMNLP 2004, section 3.2,
    whose Gaussian prior around the weights of the source is put on the regression here.
Code: adapt's ``RegularTransferLR`` has the same closed form, without a penalty on the source's own weights by default.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.functional import class_membership
from fewshot.learners.adaptation.labelled import on_labelled_domains, require_source_classes
from fewshot.learners.linear.convex import linear, ridge
from fewshot.plumbing.number_checks import keep_finite_numbers


@dataclass(frozen=True)
class RidgeTransfer:
    """Scores are ``x W``, where ``W = W₀ + (Xᵀ X + λ)⁻¹ Xᵀ (Y - X W₀)`` on the target and W₀ is the source's ridge.

    Rows have a last column of ones, which is pulled to the source's intercept as all weights are, and start at the mean
    of the source. Large λ leave the source's model; λ near 0 fits the target, from W₀ where its rows are too few.

    Attributes:
        penalty: λ of the target.
        source_penalty: That of the source's ridge, whose intercept is free.

    Raises:
        FewShotError: If a penalty is not above 0.
    """

    penalty: float = 1.0
    source_penalty: float = 1.0
    scores = "rank"

    def __post_init__(self) -> None:
        keep_finite_numbers(self, penalty="(0, inf)", source_penalty="(0, inf)")

    @on_labelled_domains
    def adapt(self, source: SupportSet, target: SupportSet) -> Classifier:
        """Fit the source, then move its weights.

        Raises:
            EpisodeError: If a class has no example of the source.
        """
        require_source_classes(source)
        centre = source.x.mean(0, keepdim=True)
        of_source, of_target = (class_membership(part.y, part.n_way, torch.float64) for part in (source, target))
        share = of_source.mean(0, keepdim=True)
        start = torch.cat([ridge(source.x - centre, of_source - share, self.source_penalty), share])
        w = towards(with_ones(target.x - centre), of_target, start, self.penalty)
        return linear(w[:-1], w[-1:] - centre @ w[:-1], centre)


def with_ones(x: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim1"]:
    """A last column of ones."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def towards(
    x: Float[Tensor, "n dim"], y: Float[Tensor, "n k"], start: Float[Tensor, "dim k"], penalty: float
) -> Float[Tensor, "dim k"]:
    """The W with the least ``‖x W - y‖² + penalty ‖W - start‖²``."""
    return start + ridge(x, y - x @ start, penalty)
