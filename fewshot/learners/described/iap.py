"""IAP: indirect attribute prediction, an item has the attributes of the base classes that it looks like.

Papers: Lampert, Nickisch and Harmeling, "Learning to Detect Unseen Object Classes by Between-Class Attribute Transfer",
    CVPR 2009, eqs. 2 and 3, and "Attribute-Based Classification for Zero-Shot Visual Object Categorization", TPAMI 2014.
Code: the authors' page has Python scripts. Intended differences: p(k | x) is a logistic regression on the features, where the
    papers have a multi-class support vector machine or kernel logistic regression; an attribute that no base classes
    differ in does not count.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.learners.described.attributes import (
    attribute_prior,
    binary_attributes,
    check_attribute_options,
    signature_scores,
    signatures,
)
from fewshot.learners.described.base_classifier import base_log_probabilities, fit_base_classifier
from fewshot.learners.described.descriptors import base_classes, require_base


@dataclass(frozen=True)
class IAP:
    """Scores are log p(c | x) = Σ_m log p(a_m = a_m^c | x) / p(a_m = a_m^c), up to a constant per query: classes are equally likely.

    The probability of an attribute is that of the base classes which have it: p(a_m | x) = Σ_k p(a_m | k) p(k | x).

    Attributes:
        C: Inverse strength of the penalty on the weights of the logistic regression.
        threshold: A class has the attributes whose numbers are above ``"table-mean"``, the mean of all numbers of the base classes
            as published for Animals with Attributes; ``"attribute-mean"``, the attribute's own mean over them; or a number.
        prior: p(a_m = 1) is the share of the ``"base"`` classes that have the attribute, or ``"uniform"``, 1/2.
        weight: Weights of each base class and, in the last column, intercepts, found by `with_base`.
        level: Thresholds, found by `with_base`.
        share: p(a_m = 1 | k) of each base class, found by `with_base`.

    Raises:
        FewShotError: If an option is out of its range.
    """

    C: float = 1.0
    threshold: str | float = "table-mean"
    prior: str = "base"
    weight: Float[Tensor, "z dim_and_one"] | None = None
    level: Float[Tensor, " length"] | None = None
    share: Float[Tensor, "z length"] | None = None

    def __post_init__(self) -> None:
        check_attribute_options(self.threshold, self.prior, self.C)

    def with_base(self, base: SupportSet) -> "IAP":
        """The same learner with the classifier of the base classes.

        Raises:
            EpisodeError: If a base class has no item or no descriptor, or all have the same attributes.
            FewShotError: If there is a single base class.
        """
        x, y, described = base_classes(base)
        weight = fit_base_classifier(x, y, classes=len(described), C=self.C, name="IAP")
        level, share = binary_attributes(described, self.threshold)
        return replace(self, weight=weight, level=level, share=share)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Compare with the attributes of the support's classes; its items are not looked at.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or of another length.
        """
        weight, level, share = (require_base(found, "IAP") for found in (self.weight, self.level, self.share))
        has, prior = signatures(support, level), attribute_prior(share, self.prior)

        def classify(query: Tensor) -> Tensor:
            looks = base_log_probabilities(query, weight).unsqueeze(-2)  # (e, q, 1, z)
            of = share.mT.to(query)  # (length, z)
            present, absent = (torch.logsumexp(looks + part.log(), -1) for part in (of, 1 - of))
            return signature_scores(present, absent, has, prior)

        return classify
