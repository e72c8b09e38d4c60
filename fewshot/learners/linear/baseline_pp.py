"""Baseline++: a new cosine head for each episode, by stochastic gradient descent on frozen features.

Paper: Chen, Liu, Kira, Wang and Huang, "A Closer Look at Few-shot Classification", ICLR 2019, sec. 3.
Code: github.com/wyharveychen/CloserLookFewShot, ``methods/baselinefinetune.py`` and ``distLinear`` in ``backbone.py``,
    whose settings are the defaults; the paper does not tell of the dampening, nor of the length of each class, which
    is learnt too, by PyTorch's weight norm. Its steps are taken in coordinates of the span of the support and the
    first weights, which changes rounding only. Random numbers come from the episode's seed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_membership
from fewshot.learners.linear.heads import (
    StochasticDescent,
    by_vectors,
    coordinates,
    cosines,
    draws,
    slopes,
    trainable_support,
)


@dataclass(frozen=True)
class BaselinePlusPlus:
    """Logits ``scale · g_k cos(z, v_k)``, directions and lengths trained by cross-entropy from a random start.

    Attributes:
        epochs: Passes over the support, each in a random order.
        batch_size: Items of a step; the last one of an epoch may have fewer.
        lr: Step size.
        momentum: Share of the last step's direction that is kept.
        dampening: Share of the gradient that is left out of the direction, save in the first step.
        weight_decay: Weight of the penalty ``(‖v‖² + ‖g‖²) / 2``.
        scale: Multiplies the logits; the code has 10 for more than 200 classes.

    Raises:
        FewShotError: If a number is out of range.
    """

    epochs: int = 100
    batch_size: int = 4
    lr: float = 0.01
    momentum: float = 0.9
    dampening: float = 0.9
    weight_decay: float = 1e-3
    scale: float = 2.0

    def __post_init__(self) -> None:
        self._descent()
        if not self.scale > 0:
            raise FewShotError(f"scale must be above 0, got {self.scale}")

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Train a head on each episode's support; nothing is differentiated through.

        Raises:
            EpisodeError: If a class has no example, a feature is not finite, or the support has no seeds.
            FewShotError: If a gradient with respect to the support is requested.
        """
        x = _unit(trainable_support(support, "Baseline++"))
        with torch.no_grad():
            weights = self._train(x, support)
        return lambda query: self.scale * _unit(query) @ weights.to(query).mT

    def _train(self, x: Tensor, support: SupportSet) -> Tensor:
        n, s, dim = support.n_way, x.shape[-2], x.shape[-1]
        start, keys = draws(support, (n, dim), (self.epochs, s))
        rows, axes = coordinates(torch.cat([x, ((2 * start - 1) / dim**0.5).to(x)], -2))  # as nn.Linear starts
        z, v = rows[..., :s, :], rows[..., s:, :]
        head = torch.cat([v, torch.linalg.vector_norm(v, dim=-1, keepdim=True)], -1)
        target = class_membership(support.y, n, x.dtype).mT
        head = self._descent().train(head, z, target, keys.argsort(-1), self._gradient)
        return head[..., -1:] * normalize(head[..., :-1], dim=-1) @ axes

    def _gradient(self, head: Tensor, z: Tensor, target: Tensor) -> Tensor:
        v, g = head[..., :-1], head[..., -1:]
        cosine, length = cosines(v, z)
        by_logits = self.scale * slopes(self.scale * g * cosine, target)
        by_g = (by_logits * cosine).sum(-1, keepdim=True)
        return torch.cat([by_vectors(g * by_logits, cosine, length, v, z), by_g], -1)

    def _descent(self) -> StochasticDescent:
        numbers = self.lr, self.momentum, self.dampening, self.weight_decay
        return StochasticDescent(self.epochs, self.batch_size, *numbers)


def _unit(z: Tensor) -> Tensor:
    """Of length 1, nearly: as the authors divide."""
    return z.div(torch.linalg.vector_norm(z, dim=-1, keepdim=True) + 1e-5)
