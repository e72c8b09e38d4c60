"""Conv-4: four blocks of convolution, batch norm, pooling and ReLU.

Vinyals et al. (2016), Snell et al. (2017), Finn et al. (2017). Two differences
in form, none in function: there is no bias before batch norm (which would
subtract it again), and pooling comes before ReLU (they commute).
"""

import hashlib

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn


class Conv4(nn.Module):
    """Four convolution blocks; 28 × 28 images give ``width`` features, 84 × 84 give ``25 * width``.

    Args:
        in_channels: 1 for grey images, 3 for colour.
        width: Channels of each block: 64, or 32 as Finn et al. (2017) on miniImageNet.
        stride: Halve by stride 2 instead of pooling, as Finn et al. (2017) on Omniglot
            (their code then averages the last 2 × 2 map; ``flatten=False`` does).
        flatten: Concatenate the positions of the last map, or else average them.
    """

    def __init__(self, in_channels: int = 1, width: int = 64, stride: bool = False, flatten: bool = True) -> None:
        super().__init__()
        widths = [in_channels, *[width] * 4]
        self.blocks = nn.Sequential(*[_block(a, b, stride) for a, b in zip(widths, widths[1:], strict=False)])
        self.flatten = flatten
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n dim"]:
        """Features of images with values in [0, 1]."""
        maps = self.blocks(x.contiguous(memory_format=torch.channels_last))
        return maps.flatten(1) if self.flatten else maps.mean((2, 3))

    def preprocess(self, pixels: Shaped[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """uint8 pixels as floats in [0, 1]; floats as they are."""
        return pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels

    def fingerprint(self) -> str:
        """Names the weights, for the feature cache."""
        return f"conv4:{weights_hash(self)}"


def weights_hash(module: nn.Module) -> str:
    """SHA-256 over the names and values of all parameters and buffers."""
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        total.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()


def _block(in_channels: int, width: int, stride: bool) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, width, 3, stride=2 if stride else 1, padding=1, bias=False)
    pool: list[nn.Module] = [] if stride else [nn.MaxPool2d(2)]
    return nn.Sequential(convolution, nn.BatchNorm2d(width), *pool, nn.ReLU(inplace=True))
