"""Raw pixels as features: what any backbone has to beat."""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn


class Pixels(nn.Module):
    """Items flattened to rows; uint8 pixels are divided by 255.

    Args:
        dim: Number of values of an item, where that is known; nothing depends on it.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Shaped[Tensor, " n *item"]) -> Shaped[Tensor, "n dim"]:
        """The values of each item in one row."""
        return x.flatten(1)

    def preprocess(self, pixels: Shaped[Tensor, " n *item"]) -> Float[Tensor, " n *item"]:
        """uint8 pixels as floats in [0, 1]; floats as they are."""
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels

    def fingerprint(self) -> str:
        """Names what is done, for the feature cache: there are no weights."""
        return "pixels"
