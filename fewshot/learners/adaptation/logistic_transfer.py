"""Logistic regression towards the source's weights: a Gaussian prior around what the source taught, by Newton's method.

Paper: Chelba and Acero, "Adaptation of Maximum Entropy Capitalizer: Little Data Can Help a Lot", EMNLP 2004, section 3.2.
Code: none of the authors' is at hand; adapt's ``RegularTransferLC`` minimises the same by gradient steps.
"""

from dataclasses import dataclass

import torch

from fewshot.contract import Classifier, SupportSet
from fewshot.functional import class_membership
from fewshot.learners.adaptation.labelled import on_labelled_domains, require_source_classes
from fewshot.learners.adaptation.ridge_transfer import with_ones
from fewshot.learners.linear.convex import linear, logistic_towards, multinomial_logistic
from fewshot.plumbing.number_checks import keep_finite_numbers


@dataclass(frozen=True)
class LogisticTransfer:
    """Log-probabilities of ``x W`` with the least ``Σ losses on the target + ‖W - W₀‖² / (2 C)``.

    W₀ is the source's logistic regression. Rows have a last column of ones, which is pulled to the source's intercept as
    all weights are, and start at the mean of the source. A small C leaves the source's model.

    Attributes:
        C: Weight of the target's labels against the prior; with two classes on the difference of the two weight
            vectors, as in scikit-learn.
        source_C: The same of the source's labels against a prior around 0; its intercept is free.

    Raises:
        FewShotError: If either is not above 0.
    """

    C: float = 1.0
    source_C: float = 1.0

    def __post_init__(self) -> None:
        keep_finite_numbers(self, C="(0, inf)", source_C="(0, inf)")

    @on_labelled_domains
    def adapt(self, source: SupportSet, target: SupportSet) -> Classifier:
        """Fit the source, then move its weights.

        Raises:
            EpisodeError: If a class has no example of the source, or Newton's method does not converge.
        """
        require_source_classes(source)
        twice, centre = 2 if source.n_way == 2 else 1, source.x.mean(0, keepdim=True)
        of_source, of_target = (class_membership(part.y, part.n_way, torch.float64) for part in (source, target))
        with torch.no_grad():
            start = torch.cat(multinomial_logistic(source.x - centre, of_source, twice / self.source_C))
            w = logistic_towards(with_ones(target.x - centre), of_target, start, twice / self.C)
            logits = linear(w[:-1], w[-1:] - centre @ w[:-1], centre)
        return lambda query: logits(query).log_softmax(-1)
