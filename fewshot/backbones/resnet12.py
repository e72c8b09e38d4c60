"""ResNet-12: four residual blocks of three convolutions each.

Papers: Oreshkin et al. (2018), Lee et al., "Meta-Learning with Differentiable Convex
    Optimization", CVPR 2019, section 4.1.
Code: github.com/kjunelee/MetaOptNet, ``models/ResNet12_embedding.py``; parameters have the
    names used there, so that published weights load. Differences: pooling comes before the
    activation (they commute, and it is a quarter of the work); the last map is averaged unless
    ``flatten=True`` (there it is flattened for miniImageNet); DropBlock as in `fewshot.backbones.dropblock`.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, max_pool2d

from fewshot.backbones.dropblock import DropBlock
from fewshot.backbones.weights import weights_hash
from fewshot.errors import FewShotError

NARROW = (64, 128, 256, 512)  # Chen et al. (2021), Meta-Baseline
WIDE = (64, 160, 320, 640)  # Lee et al. (2019), MetaOptNet; Ye et al. (2020), FEAT


class ResNet12(nn.Module):
    """Four residual blocks; 84 × 84 images give as many features as the last block has channels.

    Args:
        widths: Channels of the four blocks: ``NARROW`` (8.0 million parameters) or ``WIDE`` (12.4 million).
        in_channels: 3 for colour images.
        drop_rate: Dropout after the first two blocks and DropBlock after the last two, as Lee et al. (2019)
            with 0.1; 0 for none.
        block_size: Side of DropBlock's squares: 5 for images of 84 pixels, 2 for 32.
        ramp: Training passes over which DropBlock's rate grows to ``drop_rate``.
        flatten: Concatenate the positions of the last map, or else average them.
        size: Side of the images that ``dim`` speaks of, in pixels; the network takes any from 16.

    Raises:
        FewShotError: If there are not four widths, or `DropBlock` refuses its settings.
    """

    def __init__(
        self,
        widths: Sequence[int] = NARROW,
        in_channels: int = 3,
        drop_rate: float = 0.0,
        block_size: int = 5,
        ramp: int = 40_000,
        flatten: bool = False,
        size: int = 84,
    ) -> None:
        super().__init__()
        if len(widths) != 4:
            raise FewShotError(f"ResNet-12 has four blocks and needs four widths, got {tuple(widths)}")
        DropBlock(drop_rate, block_size, ramp)  # checks the settings, also those of the plain dropout
        plain = [nn.Dropout(drop_rate) if drop_rate else nn.Identity() for _ in range(2)]
        squares = [DropBlock(drop_rate, block_size, ramp) if drop_rate else nn.Identity() for _ in range(2)]
        ins = (in_channels, *widths)
        for i, drop in enumerate([*plain, *squares]):
            self.add_module(f"layer{i + 1}", nn.Sequential(_Block(ins[i], ins[i + 1], drop)))
        self.widths, self.flatten, self.size = tuple(widths), flatten, size
        self.apply(_initialise)
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n dim"]:
        """Features of images with values in [0, 1]."""
        maps = x.contiguous(memory_format=torch.channels_last)
        for block in self.children():
            maps = block(maps)
        return maps.flatten(1) if self.flatten else maps.mean((2, 3))

    def preprocess(self, pixels: Shaped[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """uint8 pixels as floats in [0, 1]; floats as they are."""
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels

    @property
    def dim(self) -> int:
        """Number of features of an image with ``size`` pixels a side."""
        return self.widths[-1] * (self.size // 16) ** 2 if self.flatten else self.widths[-1]

    def fingerprint(self) -> str:
        """Names the weights and what is done with them, for the feature cache."""
        return f"resnet12{'-flat' if self.flatten else ''}:{weights_hash(self)}"


def resnet12_wide(**options: object) -> ResNet12:
    """ResNet-12 with 64-160-320-640 channels; options of `ResNet12`."""
    return ResNet12(WIDE, **options)  # type: ignore[arg-type]


class _Block(nn.Module):
    """Three 3 × 3 convolutions and a 1 × 1 shortcut; halves the image."""

    def __init__(self, in_channels: int, width: int, drop: nn.Module) -> None:
        super().__init__()
        self.conv1, self.bn1 = _convolution(in_channels, width, 3), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = _convolution(width, width, 3), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = _convolution(width, width, 3), nn.BatchNorm2d(width)
        self.downsample = nn.Sequential(_convolution(in_channels, width, 1), nn.BatchNorm2d(width))
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        out = leaky_relu(self.bn1(self.conv1(x)), 0.1, inplace=True)
        out = leaky_relu(self.bn2(self.conv2(out)), 0.1, inplace=True)
        out = self.bn3(self.conv3(out)) + self.downsample(x)
        dropped: Tensor = self.drop(leaky_relu(max_pool2d(out, 2), 0.1))
        return dropped


def _convolution(in_channels: int, width: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, width, kernel, padding=kernel // 2, bias=False)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="leaky_relu")
