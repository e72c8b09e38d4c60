"""DAP: direct attribute prediction, one classifier for each attribute; a class fits by the attributes that it has and has not.

Papers: Lampert, Nickisch and Harmeling, "Learning to Detect Unseen Object Classes by Between-Class Attribute Transfer",
    CVPR 2009, eqs. 1 and 2, and "Attribute-Based Classification for Zero-Shot Visual Object Categorization", TPAMI 2014.
Code: the authors' page has Python scripts. Intended differences: p(a_m | x) is a logistic regression on the features, where the
    papers have support vector machines with probabilities fitted to their scores; an attribute that no base classes differ
    in does not count.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import logsigmoid

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.learners.described.attributes import (
    attribute_prior,
    binary_attributes,
    check_attribute_options,
    signature_scores,
    signatures,
)
from fewshot.learners.described.descriptors import base_classes, require_base


@dataclass(frozen=True)
class DAP:
    """Scores are log p(c | x) = Σ_m log p(a_m = a_m^c | x) / p(a_m = a_m^c), up to a constant per query: classes are equally likely.

    Attributes:
        C: Inverse strength of the penalty on the weights of each logistic regression; intercepts are not penalised.
        threshold: A class has the attributes whose numbers are above ``"table-mean"``, the mean of all numbers of the base classes
            as published for Animals with Attributes; ``"attribute-mean"``, the attribute's own mean over them; or a number.
        prior: p(a_m = 1) is the share of the ``"base"`` classes that have the attribute, or ``"uniform"``, 1/2.
        weight: Weights of each attribute and, in the last column, intercepts, found by `with_base`.
        level: Thresholds, found by `with_base`.
        frequency: p(a_m = 1), found by `with_base`.

    Raises:
        FewShotError: If an option is out of its range.
    """

    C: float = 1.0
    threshold: str | float = "table-mean"
    prior: str = "base"
    weight: Float[Tensor, "length dim_and_one"] | None = None
    level: Float[Tensor, " length"] | None = None
    frequency: Float[Tensor, " length"] | None = None

    def __post_init__(self) -> None:
        check_attribute_options(self.threshold, self.prior, self.C)

    def with_base(self, base: SupportSet) -> "DAP":
        """The same learner with the classifiers of the attributes.

        Raises:
            EpisodeError: If a base class has no item or no descriptor, or all have the same attributes.
        """
        x, y, described = base_classes(base)
        level, share = binary_attributes(described, self.threshold)
        weight = torch.stack([self._attribute(x, has) for has in share[y].T])
        return replace(self, weight=weight, level=level, frequency=attribute_prior(share, self.prior))

    def _attribute(self, x: Float[Tensor, "n dim"], has: Float[Tensor, " n"]) -> Float[Tensor, " dim_and_one"]:
        if has[0] == 0.5:  # what base classes do not differ in stays as likely as before
            return x.new_zeros(x.shape[1] + 1)
        model = LogisticRegression(C=self.C, solver="newton-cholesky", tol=1e-6, max_iter=1000)
        fitted = model.fit(x.cpu().numpy(), has.cpu().numpy())
        return torch.cat([torch.from_numpy(fitted.coef_[0]), torch.from_numpy(fitted.intercept_)]).to(x.device)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Compare with the attributes of the support's classes; its items are not looked at.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or of another length.
        """
        weight, level, prior = (require_base(found, "DAP") for found in (self.weight, self.level, self.frequency))
        has = signatures(support, level)

        def classify(query: Tensor) -> Tensor:
            logits = query @ weight[:, :-1].to(query).mT + weight[:, -1].to(query)
            return signature_scores(logsigmoid(logits), logsigmoid(-logits), has, prior)

        return classify
