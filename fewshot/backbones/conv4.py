"""Conv-4: four blocks of convolution, batch norm, pooling and ReLU.

Vinyals et al. (2016), Snell et al. (2017), Finn et al. (2017). Two differences
in form, none in function: there is no bias before batch norm (which would
subtract it again), and pooling comes before ReLU (they commute).
"""

from itertools import pairwise

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from fewshot.backbones.weights import weights_hash


class Conv4(nn.Module):
    """Four convolution blocks; 28 × 28 images give ``width`` features, 84 × 84 give ``25 * width``.

    Args:
        in_channels: 1 for grey images, 3 for colour.
        width: Channels of each block: 64, or 32 as Finn et al. (2017) on miniImageNet.
        stride: Halve by stride 2 instead of pooling, as Finn et al. (2017) on Omniglot
            (their code then averages the last 2 × 2 map; ``flatten=False`` does).
        flatten: Concatenate the positions of the last map, or else average them.
        size: Side of the images that ``dim`` speaks of, in pixels; the network takes any from 16 (1 with stride).
    """

    def __init__(
        self, in_channels: int = 1, width: int = 64, stride: bool = False, flatten: bool = True, size: int = 28
    ) -> None:
        super().__init__()
        widths = [in_channels, *[width] * 4]
        self.blocks = nn.Sequential(*[_block(a, b, stride) for a, b in pairwise(widths)])
        self.flatten, self.stride, self.width, self.size = flatten, stride, width, size
        self.to(memory_format=torch.channels_last)

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n dim"]:
        """Features of images with values in [0, 1]."""
        maps: Tensor = self.blocks(_channels_last(x))
        return maps.flatten(1) if self.flatten else maps.mean((2, 3))

    def preprocess(self, pixels: Shaped[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """uint8 pixels as floats in [0, 1]; floats as they are."""
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels

    @property
    def dim(self) -> int:
        """Number of features of an image with ``size`` pixels a side."""
        side = self.size
        for _ in self.blocks:
            side = (side + 1) // 2 if self.stride else side // 2
        return self.width * side**2 if self.flatten else self.width

    def fingerprint(self) -> str:
        """Names the weights and what is done with them, for the feature cache."""
        form = ("stride" if self.stride else "pool") + ("" if self.flatten else "-mean")
        return f"conv4-{form}:{weights_hash(self)}"


def _channels_last(images: Tensor) -> Tensor:
    """Images with the channel as the fastest axis.

    Of images with one channel, strides alone say so; without them, the first map would lie the other way than all later
    ones, and every operation between the two be slow.
    """
    if images.ndim != 4:
        return images  # the convolution says what it takes
    n, channels, height, width = images.shape
    if channels == 1:
        return images.reshape(n, height, width, 1).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def _block(in_channels: int, width: int, stride: bool) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, width, 3, stride=2 if stride else 1, padding=1, bias=False)
    pool: list[nn.Module] = [] if stride else [nn.MaxPool2d(2)]
    return nn.Sequential(convolution, nn.BatchNorm2d(width), *pool, nn.ReLU(inplace=True))
