"""The multi-class support vector machine of MetaOptNet, solved in the dual, with gradients through the solution.

Paper: Lee, Maji, Ravichandran and Soatto, "Meta-Learning with Differentiable Convex Optimization", CVPR 2019,
    eqs. 6 to 10; Crammer and Singer, "On the Algorithmic Implementation of Multiclass Kernel-based Vector
    Machines", JMLR 2 (2001).
Code: github.com/kjunelee/MetaOptNet, ``models/classification_heads.py``, ``MetaOptNetHead_SVM_CS``: the same
    problem, without intercepts, and the learned scale. There qpth solves it as one system of items times classes;
    here an interior point method in float64 takes a system of items for each class. Gradients are those of the
    conditions of optimality (implicit differentiation), not of the iterations.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership, require_every_class, require_finite
from fewshot.learners.linear.convex import linear
from fewshot.learners.linear.margins import largest_margins

LARGE = 1e3  # inner products from which on the ridge would be felt
RIDGE = 1e-10  # of the largest inner product, added to the diagonal: more items than features leave it singular


class SVM(nn.Module):
    """Log-probabilities are ``scale · z W``, where W minimises ``‖W‖² / 2 + C Σ (largest margin violation)``.

    The violation of an item is ``max_m (w_m z + 1 for m ≠ y) - w_y z``.

    Args:
        C: Weight of the violations against the norm.
        scale: Of the scores to begin with; it is learned.

    Raises:
        FewShotError: If C is not above 0.
    """

    def __init__(self, C: float = 0.1, scale: float = 1.0) -> None:
        super().__init__()
        if not C > 0:
            raise FewShotError(f"C must be above 0, got {C}")
        self.C = C
        self.scale = nn.Parameter(torch.tensor(scale))

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Solve for the weights of all episodes in float64; the scores have the type of the support.

        Raises:
            EpisodeError: If a class has no example, a feature is not finite, or the solution is not found.
        """
        require_every_class(support.y, support.n_way)
        require_finite(support.x)
        x = support.x.double()
        target = class_membership(support.y, support.n_way, torch.float64).mT
        weights = self._weights(x, target).mT
        scores = linear(weights, torch.zeros_like(weights[..., :1, :]), x.mean(-2, keepdim=True))
        return lambda query: self.scale.to(query) * scores(query)

    def _weights(self, x: Tensor, target: Tensor) -> Tensor:
        """By the dual, which is quick and has gradients; by `largest_margins` where its ridge or rounding is in the way."""
        gram = self.C * x @ x.mT
        large = (gram.diagonal(dim1=-2, dim2=-1) > LARGE).any(-1)
        if (torch.is_grad_enabled() and x.requires_grad) or not bool(large.any()):
            return self.C * _dual(gram, target) @ x
        weights = x.new_empty(*target.shape[:-1], x.shape[-1])
        weights[large] = largest_margins(x[large], target[large], self.C)
        if not bool(large.all()):
            weights[~large] = self.C * _dual(gram[~large], target[~large]) @ x[~large]
        return weights


def _dual(gram: Tensor, target: Tensor) -> Tensor:
    """α ``(n, s)`` with the least ``tr(α K αᵀ) / 2 - Σ target α`` where ``α ≤ target`` and an item's α sum to 0.

    For the gradient, one Newton step from the solution on the conditions of optimality: its length is zero,
    and its derivative that of the solution.
    """
    with torch.no_grad():
        size = gram.diagonal(dim1=-2, dim2=-1).amax(-1)[..., None, None].clamp(min=1)
        regular = gram + RIDGE * size * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        alpha, barrier = _interior_point(regular, target, size)
    if not gram.requires_grad:
        return alpha
    slope = alpha @ gram
    step, _ = _system(regular, barrier)(slope - slope.detach())
    return alpha - step


def _interior_point(gram: Tensor, target: Tensor, size: Tensor, steps: int = 100) -> tuple[Tensor, Tensor]:
    """The solution, and the multipliers over the slacks there: huge where ``α = target``, nearly 0 elsewhere."""
    alpha = (target - 1 / target.shape[-2]) / size
    multiplier = 1 / (target.shape[-2] * size * (target - alpha))
    price = torch.zeros_like(target[..., :1, :])  # of an item's sum
    for _ in range(steps):
        slack, slope = target - alpha, alpha @ gram - target + price
        products, off = multiplier * slack, slope + multiplier
        value = (alpha * (target - alpha @ gram / 2)).sum((-2, -1), keepdim=True).clamp(min=0) + 0.01 / size
        unmet = off.abs().amax(-2, keepdim=True).sum(-1, keepdim=True)  # with the products, the gap to the primal
        done = (products.sum((-2, -1), keepdim=True) < 1e-11 * value) & (unmet < (1e-11 * value).clamp(min=1e-13))
        if bool(done.all()) and bool((unmet < 1e-4 * value).all()):
            return alpha, multiplier / slack
        wanted = 0.1 * products.mean((-2, -1), keepdim=True)
        step, price_step = _system(gram, multiplier / slack)(-slope - wanted / slack)
        multiplier_step = (wanted - products + multiplier * step) / slack
        length = torch.where(done, 0.0, _longest((slack, -step), (multiplier, multiplier_step)))
        alpha, price = alpha + length * step, price + length * price_step
        multiplier = multiplier + length * multiplier_step
    raise EpisodeError(f"the support vector machine must be solved in {steps} steps; scale the features or lower C")


def _system(gram: Tensor, barrier: Tensor) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Solves ``step K + barrier step + price = right`` where an item's steps sum to 0, by a system for each class."""
    factor, _ = torch.linalg.cholesky_ex(gram.unsqueeze(-3) + barrier.diag_embed())  # no number where it fails,
    inverse = torch.cholesky_inverse(factor)  # (n, s, s); then the steps end without a solution
    total, _ = torch.linalg.cholesky_ex(inverse.sum(-3))

    def solve(right: Tensor) -> tuple[Tensor, Tensor]:
        free = (inverse @ right.unsqueeze(-1)).sum(-3)
        price = torch.cholesky_solve(free, total).mT
        return (inverse @ (right - price).unsqueeze(-1)).squeeze(-1), price

    return solve


def _longest(*pairs: tuple[Tensor, Tensor]) -> Tensor:
    """The longest step, 1 at most, that keeps positive numbers positive in each episode."""
    shrinkage = [(-step / value).amax((-2, -1), keepdim=True) for value, step in pairs]
    return (0.99 / torch.stack(shrinkage).amax(0).clamp(min=1e-9)).clamp(max=1)
