"""A logistic regression that names the base class of an item, for learners that go by which of them it looks like."""

import torch
from jaxtyping import Float, Integer
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from fewshot.errors import FewShotError


def fit_base_classifier(
    x: Float[Tensor, "n dim"], y: Integer[Tensor, " n"], *, classes: int, C: float, name: str
) -> Float[Tensor, "z dim_and_one"]:
    """Weights of each base class and, in the last column, intercepts, which are not penalised.

    Args:
        x: Items.
        y: Their classes.
        classes: Number of classes, each of which has an item.
        C: Inverse strength of the penalty on the weights.
        name: Of the learner, for the error.

    Raises:
        FewShotError: If there is a single class.
    """
    if classes < 2:
        raise FewShotError(f"{name} needs two base classes or more, got {classes}")
    fitted = LogisticRegression(C=C, max_iter=1000).fit(x.cpu().numpy(), y.cpu().numpy())
    weight = torch.cat([torch.from_numpy(fitted.coef_), torch.from_numpy(fitted.intercept_)[:, None]], 1)
    if classes == 2:  # scikit-learn has one row for two classes: the log-odds of the second
        weight = torch.cat([torch.zeros_like(weight), weight])
    return weight.to(x.device)


def base_log_probabilities(
    query: Float[Tensor, "*e q dim"], weight: Float[Tensor, "z dim_and_one"]
) -> Float[Tensor, "*e q z"]:
    """Logarithm of p(k | x) for every base class k."""
    logits: Tensor = query @ weight[:, :-1].to(query).mT + weight[:, -1].to(query)
    return logits.log_softmax(-1)
