"""Multinomial logistic regression with an L2 penalty, the linear head of many few-shot baselines.

Paper: Tian, Wang, Krishnan, Tenenbaum and Isola, "Rethinking Few-Shot Image Classification:
    a Good Embedding Is All You Need?", ECCV 2020, section 3.
Code: github.com/WangYueFt/rfs, ``eval/meta_eval.py`` calls scikit-learn's ``LogisticRegression(C=1.0)``,
    and so does nearly everyone. Its objective is minimised here, for a batch of episodes at once and to
    convergence; scikit-learn stops earlier, so that the last digits differ. Feature normalisation is left
    to the caller.
"""

from dataclasses import dataclass

import torch

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_membership, require_every_class, require_finite
from fewshot.learners.linear.convex import linear, multinomial_logistic


@dataclass(frozen=True)
class LogisticRegression:
    """Log-probabilities of the linear model with the least ``sum of losses + ‖W‖² / (2 C)``.

    The intercept is not penalised. With two classes the penalty is on one weight
    vector, the difference of the two, as in scikit-learn.

    Attributes:
        C: Inverse strength of the penalty.

    Raises:
        FewShotError: If C is not above 0.
    """

    C: float = 1.0

    def __post_init__(self) -> None:
        if not self.C > 0:
            raise FewShotError(f"C must be above 0, got {self.C}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Fit weights and intercepts in float64; the scores have the type of the support.

        The support is a constant here: no gradient flows back to it.

        Raises:
            EpisodeError: If a class has no example, or a feature is not finite.
            FewShotError: If a gradient with respect to the support is requested.
        """
        require_every_class(support.y, support.n_way)
        if torch.is_grad_enabled() and support.x.requires_grad:
            raise FewShotError("logistic regression cannot train a backbone through its support; adapt under no_grad")
        require_finite(support.x)
        # W1 = -W2 = w / 2 turns |W|^2 into |w|^2 / 2, and scikit-learn penalises w
        penalty = (2 if support.n_way == 2 else 1) / self.C
        target = class_membership(support.y, support.n_way, torch.float64)
        with torch.no_grad():
            weights, intercept = multinomial_logistic(support.x, target, penalty)
            logits = linear(weights, intercept, support.x.mean(-2, keepdim=True))
        return lambda query: logits(query).log_softmax(-1)
