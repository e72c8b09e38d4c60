"""Baseline: a new linear head for each episode, by stochastic gradient descent on frozen features.

Paper: Chen, Liu, Kira, Wang and Huang, "A Closer Look at Few-shot Classification", ICLR 2019, sec. 3.
Code: github.com/wyharveychen/CloserLookFewShot, ``methods/baselinefinetune.py``, whose settings are the defaults; the
    paper does not tell of the dampening. Its steps are taken in coordinates of the span of the support and the first
    weights, which changes rounding only. Random numbers come from the episode's seed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.functional import class_membership
from fewshot.learners.linear.heads import StochasticDescent, coordinates, draws, slopes, trainable_support


@dataclass(frozen=True)
class Baseline:
    """Logits W z + b, trained by cross-entropy from a random start.

    Attributes:
        epochs: Passes over the support, each in a random order.
        batch_size: Items of a step; the last one of an epoch may have fewer.
        lr: Step size.
        momentum: Share of the last step's direction that is kept.
        dampening: Share of the gradient that is left out of the direction, save in the first step.
        weight_decay: Weight of the penalty ``(‖W‖² + ‖b‖²) / 2``.

    Raises:
        FewShotError: If a number is out of range.
    """

    epochs: int = 100
    batch_size: int = 4
    lr: float = 0.01
    momentum: float = 0.9
    dampening: float = 0.9
    weight_decay: float = 1e-3

    def __post_init__(self) -> None:
        self._descent()

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Train a head on each episode's support; nothing is differentiated through.

        Raises:
            EpisodeError: If a class has no example, a feature is not finite, or the support has no seeds.
            FewShotError: If a gradient with respect to the support is requested.
        """
        x = trainable_support(support, "the baseline")
        with torch.no_grad():
            weights, bias = self._train(x, support)
        return lambda query: query @ weights.to(query).mT + bias.to(query).mT

    def _train(self, x: Tensor, support: SupportSet) -> tuple[Tensor, Tensor]:
        n, s, dim = support.n_way, x.shape[-2], x.shape[-1]
        start, keys = draws(support, (n, dim + 1), (self.epochs, s))
        start = ((2 * start - 1) / dim**0.5).to(x)  # as nn.Linear starts; the last column is the bias
        rows, axes = coordinates(torch.cat([x, start[..., :-1]], -2))
        z = torch.cat([rows[..., :s, :], torch.ones_like(x[..., :1])], -1)
        head = torch.cat([rows[..., s:, :], start[..., -1:]], -1)
        target = class_membership(support.y, n, x.dtype).mT
        head = self._descent().train(head, z, target, keys.argsort(-1), _gradient)
        return head[..., :-1] @ axes, head[..., -1:]

    def _descent(self) -> StochasticDescent:
        numbers = self.lr, self.momentum, self.dampening, self.weight_decay
        return StochasticDescent(self.epochs, self.batch_size, *numbers)


def _gradient(head: Tensor, z: Tensor, target: Tensor) -> Tensor:
    return slopes(head @ z.mT, target) @ z
