"""What inner loops of many steps need beside gradients: batches, items held out, and Adam without momentum."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Integer
from torch import Tensor, nn

from fewshot.errors import EpisodeError
from fewshot.functional import class_membership

Parameters = dict[str, Tensor]


def batches(items: int, size: int | None, count: int, generator: torch.Generator | None) -> list[Tensor]:
    """Rows of ``count`` batches that run through shuffled items again and again, across the ends of the passes.

    Args:
        items: How many there are.
        size: Of a batch; more than there are items is allowed, and repeats some. None is all items, in their order.
        count: Number of batches.
        generator: Decides the orders; not needed without a size.
    """
    if size is None:
        return [torch.arange(items)] * count
    passes = -(-size * count // items)
    rows = [torch.randperm(items, generator=generator) for _ in range(passes)]
    return list(torch.cat(rows)[: size * count].view(count, size)) if count else []


def held_out(y: Integer[Tensor, " s"], folds: int, generator: torch.Generator) -> Iterator[Bool[Tensor, " s"]]:
    """Masks of the items that are held out, fold after fold; each class keeps an example, and its only one for ever.

    Raises:
        EpisodeError: If no class has two examples.
    """
    order = torch.randperm(len(y), generator=generator).to(y.device)
    member = class_membership(y[order], int(y.max()) + 1, torch.int64)
    number = torch.empty_like(y)
    number[order] = ((member.cumsum(0) - 1) * member).sum(-1)  # in the class, by the random order
    several = torch.bincount(y)[y] > 1
    if not bool(several.any()):
        raise EpisodeError("folds need a class with two support examples, got one of each; choose the steps otherwise")
    for k in range(folds):
        mask = (number % folds == k) & several
        if bool(mask.any()):
            yield mask


def require_finite_weights(weights: Parameters, lr: float) -> None:
    """Let a step pass only if all that it led to are numbers.

    Raises:
        EpisodeError: If one is NaN or infinite.
    """
    if not all(bool(w.isfinite().all()) for w in weights.values()):
        raise EpisodeError(f"weights must stay finite, got NaN or infinity after a step; lower lr, which is {lr}")


class Moments(nn.Module):
    """Second moments of Adam without momentum (β₁ = 0), which outlive the weights that they belong to.

    Kingma and Ba, "Adam", 2015, algorithm 1. The ``state_dict`` holds a buffer for each parameter, and ``mass``: what
    moments of gradients of 1 would be, 1 - β₂ᵗ after t steps. To divide by it is the bias correction, and stays so
    for the mean of the moments that several tasks or processes end with.

    Args:
        parameters: By name; their shapes and types are taken.
        decay: β₂.
        epsilon: Added to the root of the second moment.
    """

    def __init__(self, parameters: Parameters, decay: float = 0.999, epsilon: float = 1e-8) -> None:
        super().__init__()
        self.decay, self.epsilon = decay, epsilon
        self.register_buffer("mass", torch.zeros(()))
        for name, parameter in parameters.items():
            self.register_buffer(_flat(name), torch.zeros_like(parameter))

    def scaled(self, gradients: Parameters) -> Parameters:
        """Each gradient over the root of its second moment, after this gradient has entered it.

        Args:
            gradients: By the names of the parameters; constants.
        """
        mass = self.get_buffer("mass").mul_(self.decay).add_(1 - self.decay)
        steep = {}
        for name, g in gradients.items():
            v = self.get_buffer(_flat(name)).mul_(self.decay).addcmul_(g, g, value=1 - self.decay)
            steep[name] = g / ((v / mass).sqrt() + self.epsilon)
        return steep


def _flat(name: str) -> str:
    """A parameter's name without dots, which a buffer must not have."""
    return name.replace(".", "/")
