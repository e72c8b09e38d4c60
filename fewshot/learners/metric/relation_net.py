"""Relation networks end to end: an encoder of feature maps and the network that compares them, trained together.

Paper: Sung, Yang, Zhang, Xiang, Torr and Hospedales, "Learning to Compare: Relation Network for Few-Shot Learning",
    CVPR 2018, section 3 (eqs. 1 and 2) and figure 2.
Code: github.com/floodsung/LearningToCompare_FSL, ``omniglot/omniglot_train_one_shot.py``, ``CNNEncoder``: the first two
    blocks without padding. No bias before batch norm, which would subtract it. Other differences: `relation`.
"""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewshot.embedded import Embedded
from fewshot.errors import FewShotError
from fewshot.learners.metric.relation import RelationNet


def EndToEndRelationNet(
    encoder: nn.Module | None = None,
    in_channels: int = 1,
    size: int = 28,
    combine: str = "sum",
    width: int = 64,
    hidden: int = 8,
    seed: int = 0,
) -> Embedded:
    """An encoder whose maps a small network compares, by the mean squared error of its relations.

    Args:
        encoder: A module that turns images into maps ``(n, channels, rows, columns)``; that of the paper if left out.
        in_channels: Of the images: 1 for grey ones, 3 for colour.
        size: Side of the images in pixels.
        combine: How the maps of a class become one: ``"sum"`` as in the paper, or ``"mean"``.
        width: Channels of encoder and comparison.
        hidden: Units of the layer before the last.
        seed: Of the initial weights.

    Raises:
        FewShotError: If the encoder does not give maps of at least 4 pixels a side for such images.
    """
    if encoder is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = MapEncoder(in_channels, width)
    return Embedded(encoder, RelationNet(_shape_of_maps(encoder, in_channels, size), combine, width, hidden, seed))


class MapEncoder(nn.Module):
    """Four blocks of convolution, batch norm and ReLU, with pooling in the first two: 28 × 28 become 5 × 5."""

    def __init__(self, in_channels: int = 1, width: int = 64) -> None:
        super().__init__()
        early = [_block(in_channels, width, 0), nn.MaxPool2d(2), _block(width, width, 0), nn.MaxPool2d(2)]
        self.blocks = nn.Sequential(*early, _block(width, width, 1), _block(width, width, 1))

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n maps rows columns"]:
        """Feature maps of images with values in [0, 1]."""
        maps: Tensor = self.blocks(x)
        return maps


def _block(in_channels: int, width: int, padding: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, width, 3, padding=padding, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


def _shape_of_maps(encoder: nn.Module, in_channels: int, size: int) -> tuple[int, ...]:
    """What a copy of the encoder gives for an image without ink."""
    parameter = next(encoder.parameters(), torch.zeros(()))
    try:
        with torch.no_grad():
            shape = tuple(deepcopy(encoder).eval()(parameter.new_zeros(1, in_channels, size, size)).shape[1:])
    except RuntimeError as error:
        raise FewShotError(
            f"the encoder must take images of {in_channels} channels and {size} pixels a side, got '{error}'"
        ) from error
    if len(shape) != 3 or min(shape[1:]) < 4:
        raise FewShotError(
            "the encoder must give maps (channels, rows, columns) of at least 4 pixels a side, "
            f"got {shape} of an image of {size} pixels a side"
        )
    return shape
