"""Heads that are trained on a support by gradient steps: what their learners share.

Gradient descent with momentum and weight decay never leaves the span of the support and of the weights it starts at, and
turns with its features. So it runs in coordinates of that span, which are fewer than features as a rule: the same
steps up to rounding. Gradients are written out. Classes lead, items follow: logits are ``(e, n_way, s)``.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.errors import FewShotError
from fewshot.functional import require_every_class, require_finite
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class StochasticDescent:
    """Gradient descent on batches of the support, all episodes at once, as ``torch.optim.SGD`` does it.

    Attributes:
        epochs: Passes over the support, each in an order of its own.
        batch_size: Items of a step; the last one of an epoch may have fewer.
        lr: Step size.
        momentum: Share of the last step's direction that is kept.
        dampening: Share of the gradient that is left out of the direction, save in the first step.
        weight_decay: Multiplies the parameters that are added to the gradient.

    Raises:
        FewShotError: If a number is out of range.
    """

    epochs: int
    batch_size: int
    lr: float
    momentum: float
    dampening: float
    weight_decay: float

    def __post_init__(self) -> None:
        keep_whole_numbers(self, epochs=0, batch_size=1)
        if not self.lr > 0:
            raise FewShotError(f"lr must be above 0, got {self.lr}")
        if not (0 <= self.momentum < 1 and 0 <= self.dampening <= 1 and self.weight_decay >= 0):
            raise FewShotError(
                "momentum must be 0 or more and below 1, dampening in 0..1 and weight_decay 0 or more, "
                f"got {self.momentum}, {self.dampening} and {self.weight_decay}"
            )

    def train(
        self,
        head: Float[Tensor, "*e n_way p"],
        z: Float[Tensor, "*e s k"],
        target: Float[Tensor, "*e n_way s"],
        orders: Integer[Tensor, "*e epochs s"],
        gradient: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> Float[Tensor, "*e n_way p"]:
        """Parameters after all steps; ``gradient(head, z, target)`` is that of the mean loss of a batch."""
        head = head.clone()
        sgd = torch.optim.SGD([head], self.lr, self.momentum, self.dampening, self.weight_decay)
        for order in orders.unbind(-2):
            items, labels = z.take_along_dim(order.unsqueeze(-1), -2), target.take_along_dim(order.unsqueeze(-2), -1)
            for k in range(0, z.shape[-2], self.batch_size):
                batch = slice(k, k + self.batch_size)
                head.grad = gradient(head, items[..., batch, :], labels[..., batch])
                sgd.step()
        return head.detach()


def trainable_support(support: SupportSet, what: str) -> Float[Tensor, "*e s dim"]:
    """The support's features, if a head can be trained on them; they are constants from here on.

    Args:
        support: Of one episode or of many.
        what: Name of the learner, for the sentence of an error.

    Raises:
        EpisodeError: If a class has no example, or a feature is not finite.
        FewShotError: If a gradient with respect to the support is requested.
    """
    require_every_class(support.y, support.n_way)
    x = constant_support(support, what).x
    require_finite(x)
    return x


def constant_support(support: SupportSet, what: str) -> SupportSet:
    """The same support, whose features are constants from here on.

    Args:
        support: Of one episode or of many.
        what: Name of the learner, for the sentence of an error.

    Raises:
        FewShotError: If a gradient with respect to the support is requested.
    """
    if torch.is_grad_enabled() and support.x.requires_grad:
        raise FewShotError(f"{what} cannot train a backbone through its support; adapt under no_grad")
    return replace(support, x=support.x.detach())


def coordinates(rows: Float[Tensor, "*e n dim"]) -> tuple[Float[Tensor, "*e n k"], Float[Tensor, "*e k dim"]]:
    """Rows of ``k = min(n, dim)`` numbers with the same inner products, and the orthonormal axes they count along."""
    axes, counted = torch.linalg.qr(rows.mT)
    return counted.mT, axes.mT


def slopes(logits: Float[Tensor, "*e n_way s"], target: Float[Tensor, "*e n_way s"]) -> Float[Tensor, "*e n_way s"]:
    """Derivatives of the mean cross-entropy by the logits."""
    return (logits.softmax(-2) - target) / logits.shape[-1]


def cosines(
    v: Float[Tensor, "*e n_way k"], z: Float[Tensor, "*e s k"]
) -> tuple[Float[Tensor, "*e n_way s"], Float[Tensor, "*e n_way 1"]]:
    """Products ``z · v / ‖v‖``, which are cosines for items of length 1, and the lengths ``‖v‖``."""
    length = torch.linalg.vector_norm(v, dim=-1, keepdim=True).clamp(min=1e-12)
    return v @ z.mT / length, length


def by_vectors(
    slopes: Float[Tensor, "*e n_way s"],
    cosine: Float[Tensor, "*e n_way s"],
    length: Float[Tensor, "*e n_way 1"],
    v: Float[Tensor, "*e n_way k"],
    z: Float[Tensor, "*e s k"],
) -> Float[Tensor, "*e n_way k"]:
    """Derivatives by ``v``, from the slopes by the `cosines`: the part across ``v`` over its length."""
    slopes = slopes / length
    along = (slopes * cosine).sum(-1, keepdim=True) / length
    return torch.addcmul(slopes @ z, along, v, value=-1)


def draws(support: SupportSet, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Uniform numbers from 0 to 1 by each episode's own generator, ``(e, *shape)``, for one shape after another.

    Raises:
        EpisodeError: If the support has no seeds.
    """
    lead = support.y.shape[:-1]
    episodes = [support[k] for k in range(len(support))] if lead else [support]
    generators = [episode.generator() for episode in episodes]
    drawn = [torch.stack([torch.rand(shape, generator=g, dtype=torch.float64) for g in generators]) for shape in shapes]
    return [numbers.reshape(*lead, *numbers.shape[1:]).to(support.y.device) for numbers in drawn]
