"""CoOp: vectors in front of the class names, the same for all classes, learned on the support; the text encoder stays.

Paper: Zhou, Yang, Loy and Liu, "Learning to Prompt for Vision-Language Models", IJCV 2022, sec. 3.2: a unified context
    of M = 16 vectors with the class name at its end, eqs. 2 and 3.
Code: github.com/KaiyangZhou/CoOp, ``trainers/coop.py``: vectors start at N(0, 0.02²); SGD with momentum, rate 2e-3 along
    half a cosine, after a first epoch at 1e-5. Intended differences: features of items are given, and a step takes all
    of them, where the code takes batches of 32 augmented images; no full stop behind the name; no context where there
    is no example.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from fewshot.contract import Classifier, SupportSet, per_episode
from fewshot.errors import FewShotError
from fewshot.functional import require_finite
from fewshot.learners.described.descriptors import class_texts
from fewshot.learners.linear.heads import constant_support
from fewshot.plumbing.number_checks import whole_number


class CoOp(nn.Module):
    """Scores are ``scale · cos(f, g("V_1 … V_M name"))`` for items f and a text encoder g, with V learned by cross-entropy.

    Descriptors are the names of the classes, as texts; items are features in the space of the encoder's texts.

    Args:
        encoder: Embeds texts behind context vectors: it has ``prompted(texts, context)``, and ``width``, the length of
            such a vector, as models of sentence-transformers and CLIP's ``text`` have.
        context: M.
        steps: Of gradient descent.
        lr: The first step has 1e-5, step k of K thereafter ``lr (1 + cos(π k / K)) / 2``.
        momentum: Share of the last step's direction that is kept.
        weight_decay: Multiplies the vectors that are added to the gradient.
        scale: Multiplies the cosines.

    Raises:
        FewShotError: If a number is out of range.
    """

    def __init__(
        self,
        encoder: Any,
        context: int = 16,
        steps: int = 50,
        lr: float = 2e-3,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        scale: float = 100.0,
    ) -> None:
        super().__init__()
        context, steps = whole_number("context", context, 1), whole_number("steps", steps, 0)
        if not (lr > 0 and scale > 0 and 0 <= momentum < 1 and weight_decay >= 0):
            raise FewShotError(
                "lr and scale must be above 0, momentum 0 or more and below 1, and weight_decay 0 or more, "
                f"got {lr}, {scale}, {momentum} and {weight_decay}"
            )
        self.encoder, self.context, self.steps, self.scale = encoder, context, steps, scale
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay

    @per_episode
    def adapt(self, support: SupportSet) -> Classifier:
        """Learn the context on the support; without an example the names stand alone.

        Raises:
            EpisodeError: If descriptors are no texts, a feature is not finite, or the support has no seed.
            FewShotError: If the encoder takes no context, or a gradient with respect to the support is requested.
        """
        if not hasattr(self.encoder, "prompted"):
            got = type(self.encoder).__name__
            raise FewShotError(
                f"CoOp needs an encoder of texts that takes context vectors, got {got}; load one of sentence-transformers"
            )
        names, f = class_texts(support), normalize(constant_support(support, "CoOp").x, dim=-1)
        require_finite(f)
        context = self._learn(f, support, names) if len(f) else torch.zeros(0, self.encoder.width)
        described = normalize(self.encoder.prompted(names, context), dim=-1)
        return lambda query: self.scale * normalize(query, dim=-1) @ described.to(query).mT

    def _learn(self, f: Float[Tensor, "s dim"], support: SupportSet, names: list[str]) -> Float[Tensor, "m width"]:
        context = 0.02 * torch.randn(self.context, self.encoder.width, generator=support.generator())
        descent = torch.optim.SGD([context], self.lr, self.momentum, weight_decay=self.weight_decay)
        for k in range(self.steps):
            descent.param_groups[0]["lr"] = self.lr * (1 + math.cos(math.pi * k / self.steps)) / 2 if k else 1e-5
            context.grad = self._slope(context, f, support.y, names)
            descent.step()
        return context

    def _slope(self, context: Tensor, f: Tensor, y: Tensor, names: list[str]) -> Tensor:
        with torch.enable_grad():
            moving = context.detach().requires_grad_()
            described = normalize(self.encoder.prompted(names, moving), dim=-1)
            return torch.autograd.grad(cross_entropy(self.scale * f.to(described) @ described.mT, y), moving)[0]
