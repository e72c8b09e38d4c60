"""Multinomial logistic regression with an L2 penalty, the linear head of many few-shot baselines.

Paper: Tian, Wang, Krishnan, Tenenbaum and Isola, "Rethinking Few-Shot Image Classification:
    a Good Embedding Is All You Need?", ECCV 2020, section 3.
Code: github.com/WangYueFt/rfs, ``eval/meta_eval.py`` calls scikit-learn's ``LogisticRegression(C=1.0)``,
    and so does nearly everyone. Its objective is minimised here, for a batch of episodes at once and to
    convergence; scikit-learn stops earlier, so that the last digits differ. Feature normalisation is left
    to the caller.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership, require_every_class


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

    def adapt(self, support: SupportSet) -> Classifier:
        """Fit weights and intercepts in float64; the scores have the type of the queries.

        The support is a constant here: no gradient flows back to it.

        Raises:
            EpisodeError: If a class has no example, or a feature is not finite.
            FewShotError: If a gradient with respect to the support is asked for.
        """
        require_every_class(support.y, support.n_way)
        if torch.is_grad_enabled() and support.x.requires_grad:
            raise FewShotError("logistic regression cannot train a backbone through its support; adapt under no_grad")
        if not bool(support.x.isfinite().all()):
            raise EpisodeError("features must be finite, got NaN or infinity in the support")
        # W1 = -W2 = w / 2 turns |W|^2 into |w|^2 / 2, and scikit-learn penalises w
        penalty = (2 if support.n_way == 2 else 1) / self.C
        with torch.no_grad():
            centre, weights, intercept = fit(support.x.double(), support.y, support.n_way, penalty)

        def classify(query: Tensor) -> Tensor:
            logits = (query.double() - centre) @ weights + intercept
            return logits.log_softmax(-1).to(query.dtype)

        return classify


def fit(
    x: Float[Tensor, "*e s dim"], y: Integer[Tensor, "*e s"], n_way: int, penalty: float
) -> tuple[Float[Tensor, "*e 1 dim"], Float[Tensor, "*e dim {n_way}"], Float[Tensor, "*e 1 {n_way}"]]:
    """Centre, weights and intercepts that minimise ``sum of losses + penalty ‖W‖² / 2``.

    The best weights lie in the span of the centred support, so the problem is
    solved in its singular vectors: ``min(s, dim)`` coordinates and the intercept.
    """
    centre = x.mean(-2, keepdim=True)
    basis, coordinates = torch.linalg.qr((x - centre).mT)
    design = torch.cat([coordinates.mT, torch.ones_like(x[..., :1])], -1)  # (*e, s, k + 1)
    strength = torch.full_like(design[..., :1, :].mT, penalty)
    strength[..., -1, :] = 0
    theta = _newton(design, class_membership(y, n_way, x.dtype), strength)
    return centre, basis @ theta[..., :-1, :], theta[..., -1:, :]


def _newton(z: Tensor, target: Tensor, strength: Tensor, steps: int = 100) -> Tensor:
    """Newton's method with halved steps, until the objective is within 1e-14 or so of its minimum."""

    def objective(theta: Tensor) -> Tensor:
        losses = -(target * (z @ theta).log_softmax(-1)).sum((-2, -1), keepdim=True)
        return losses + (strength * theta.square()).sum((-2, -1), keepdim=True) / 2

    theta = z.new_zeros(*z.shape[:-2], z.shape[-1], target.shape[-1])
    for _ in range(steps):
        p = (z @ theta).softmax(-1)
        gradient = z.mT @ (p - target) + strength * theta
        direction = _solve_newton(z, p, strength, gradient)
        decrement = (gradient * direction).sum((-2, -1), keepdim=True)  # twice what is left to gain, nearly
        theta = theta - _step_size(objective, theta, direction, decrement) * direction
        if bool((decrement < 1e-14).all()):
            return theta
    raise EpisodeError(f"logistic regression must converge in {steps} steps; scale the features or lower C")


def _step_size(objective: Callable[[Tensor], Tensor], theta: Tensor, direction: Tensor, decrement: Tensor) -> Tensor:
    """One, halved in each episode until the objective falls enough (Armijo) up to rounding."""
    before, size = objective(theta), torch.ones_like(decrement)
    for _ in range(40):
        after = objective(theta - size * direction)
        too_far = after > before - 1e-4 * size * decrement + 1e-13 * before
        if not bool(too_far.any()):
            break
        size = torch.where(too_far, size / 2, size)
    return size


def _solve_newton(z: Tensor, p: Tensor, strength: Tensor, gradient: Tensor, rounds: int = 500) -> Tensor:
    """Newton direction by conjugate gradients, preconditioned by an estimate of the Hessian's diagonal."""

    def hessian(v: Tensor) -> Tensor:
        a = z @ v
        free = (strength == 0) * v.mean(-1, keepdim=True)  # nothing depends on the intercepts' mean: hold it still
        return z.mT @ (p * (a - (p * a).sum(-1, keepdim=True))) + strength * v + free

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a * b).sum((-2, -1), keepdim=True)

    diagonal = z.square().mT @ (p * (1 - p)) + strength + 1 / p.shape[-1]
    solution, residual = torch.zeros_like(gradient), gradient
    preconditioned = residual / diagonal
    direction, rho = preconditioned, dot(residual, preconditioned)
    goal = rho * rho.clamp(1e-8, 1e-2)  # first roughly, then exactly
    for _ in range(rounds):
        if bool((rho <= goal).all()):
            break
        curved = hessian(direction)
        alpha = torch.where(rho > goal, rho / dot(direction, curved), 0.0)
        solution, residual = solution + alpha * direction, residual - alpha * curved
        preconditioned = residual / diagonal
        rho, before = dot(residual, preconditioned), rho
        direction = preconditioned + torch.where(before > 0, rho / before, 0.0) * direction
    return solution
