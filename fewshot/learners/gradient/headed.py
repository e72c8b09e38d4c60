"""A backbone with a linear head, which learners adapt as one network."""

from typing import Any

import torch
from torch import Tensor, nn

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import require_every_class
from fewshot.plumbing.number_checks import whole_number


class Headed(nn.Module):
    """Logits of a linear head on the features of a backbone.

    Args:
        backbone: A module that turns prepared items into features ``(n, dim)``.
        way: Number of classes.
        dim: Number of features; the backbone's own ``dim`` when left out.
        seed: Of the initial weights of the head; the global random state is untouched.

    Raises:
        FewShotError: If the backbone is no module, nobody says how many features there are, or there is no class.
    """

    def __init__(self, backbone: nn.Module, way: int, dim: int | None = None, seed: int = 0) -> None:
        super().__init__()
        check_module(backbone)
        way = whole_number("way", way, 1)
        dim = dim if dim is not None else getattr(backbone, "dim", None)
        if dim is None:
            raise FewShotError(f"a head must know the number of features, got a {type(backbone).__name__}; pass dim")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.backbone, self.head = backbone, nn.Linear(int(dim), way)

    def forward(self, items: Any) -> Tensor:
        """Logits ``(n, way)`` of prepared items."""
        logits: Tensor = self.head(self.backbone(items))
        return logits

    def require_ways(self, support: SupportSet[Any]) -> None:
        """Let an episode pass only if it has the classes of the head, each with an example.

        Raises:
            EpisodeError: If it has not.
        """
        way = self.head.out_features
        if support.n_way != way:
            raise EpisodeError(
                f"the head is of {way} ways, got an episode of {support.n_way}; train another, or evaluate with way={way}"
            )
        require_every_class(support.y, support.n_way)


def check_module(backbone: Any) -> None:
    """Refuse what has no parameters of its own to move.

    Raises:
        FewShotError: If it is not a module.
    """
    if not isinstance(backbone, nn.Module):
        raise FewShotError(f"backbone must be a module, got '{backbone}'; make one with load_backbone(name)")
