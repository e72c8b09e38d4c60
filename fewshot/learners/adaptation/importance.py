"""What learners with importance weights share: weights that rest on enough rows, and a head that takes weights.

Paper: Kong, Liu and Wong, "Sequential Imputations and Bayesian Missing Data Problems", JASA 89 (1994): the effective
    sample size ``(Σ w)² / Σ w²``.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership
from fewshot.learners.linear.convex import linear, multinomial_logistic, ridge
from fewshot.plumbing.number_checks import keep_finite_numbers

LEAST_ROWS = 10
"""Effective rows below which weights are refused."""
LEAST_SHARE = 1e-9
"""Of the weights, that a class must keep."""

Fit = Callable[[Tensor, Tensor, int, Tensor, float], Classifier]


def effective_size(weights: Float[Tensor, " s"]) -> float:
    """``(Σ w)² / Σ w²``: as many equal weights would have a mean of the same variance; 0 where no weight is above 0."""
    return float(weights.sum().square() / weights.square().sum().clamp(min=torch.finfo(weights.dtype).tiny))


def keep_weighted_head(learner: Any) -> None:
    """Check ``head`` and ``C`` of a learner, a frozen one too.

    Raises:
        FewShotError: If the head is none of the known ones, or C is not above 0.
    """
    if learner.head not in HEADS:
        raise FewShotError(f"head must take weights: one of {', '.join(HEADS)}, got {learner.head!r}")
    keep_finite_numbers(learner, C="(0, inf)")


def head_scores(head: str) -> str:
    """What the scores of a head are, as a learner claims it."""
    return "log-probability" if head == "logistic" else "rank"


def on_weighted(learner: Any, support: SupportSet, weights: Float[Tensor, " s"]) -> Classifier:
    """The head of a learner, fitted to the rows of the source with their weights.

    Args:
        learner: Has ``head`` and ``C``.
        support: One episode in float64.
        weights: Of its rows, none below 0; only their ratios count.

    Raises:
        EpisodeError: If the weights rest on under ten rows, or leave a class without weight.
    """
    size = effective_size(weights)
    if not size >= LEAST_ROWS:
        raise EpisodeError(
            f"weights must rest on at least {LEAST_ROWS} rows of the source, got an effective size of {size:.1f} of "
            f"{len(weights)} rows; choose a larger width, or do not adapt: hardly a row of the source is like the target"
        )
    return fit_weighted(learner.head, support.x, support.y, support.n_way, weights, learner.C)


def fit_weighted(
    head: str,
    x: Float[Tensor, "s dim"],
    y: Integer[Tensor, " s"],
    n_way: int,
    weights: Float[Tensor, " s"],
    C: float,
) -> Classifier:
    """A head with a mean weight of 1; rows without weight are left out.

    Raises:
        EpisodeError: If a class is left without weight.
    """
    weights = weights / weights.mean()
    kept = weights @ class_membership(y, n_way, weights.dtype)
    if bool((kept <= LEAST_SHARE * len(weights)).any()):
        lost = (kept <= LEAST_SHARE * len(weights)).nonzero().flatten().tolist()
        raise EpisodeError(
            f"every class must keep weight, got none for classes {lost}; choose a larger width, or do not adapt"
        )
    held = weights > 0
    return HEADS[head](x[held], y[held], n_way, weights[held], C)


def logistic(x: Tensor, y: Tensor, n_way: int, weights: Tensor, C: float) -> Classifier:
    """Log-probabilities of the model with the least ``Σ weight · loss + ‖W‖² / (2 C)``, as scikit-learn has it."""
    target = class_membership(y, n_way, torch.float64) * weights.unsqueeze(-1)
    with torch.no_grad():
        w, intercept = multinomial_logistic(x, target, (2 if n_way == 2 else 1) / C)
        logits = linear(w, intercept, x.mean(-2, keepdim=True))
    return lambda query: logits(query).log_softmax(-1)


def weighted_ridge(x: Tensor, y: Tensor, n_way: int, weights: Tensor, C: float) -> Classifier:
    """Scores of the model with the least ``Σ weight ‖W z + b - onehot(y)‖² + ‖W‖² / C``."""
    target, root = class_membership(y, n_way, torch.float64), weights.sqrt().unsqueeze(-1)
    share = weights / weights.sum()
    centre, mean = (share @ x).unsqueeze(0), (share @ target).unsqueeze(0)
    w = ridge(root * (x - centre), root * (target - mean), 1 / C)
    return linear(w, mean - centre @ w, centre)


def linear_svm(x: Tensor, y: Tensor, n_way: int, weights: Tensor, C: float) -> Classifier:
    """Decision values of scikit-learn's ``SVC(kernel="linear")``, whose ``C`` a weight multiplies."""
    from sklearn.svm import SVC

    model = SVC(kernel="linear", C=C, tol=1e-6, random_state=0).fit(
        x.cpu().numpy(), y.cpu().numpy(), weights.cpu().numpy()
    )

    def scores(query: Tensor) -> Tensor:
        found = torch.from_numpy(model.decision_function(query.cpu().numpy())).to(query)
        return torch.stack([-found, found], -1) if n_way == 2 else found

    return scores


HEADS: dict[str, Fit] = {"logistic": logistic, "ridge": weighted_ridge, "svm": linear_svm}
