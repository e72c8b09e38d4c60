"""Image networks with the preprocessing that they were trained with."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from fewshot.backbones.weights import weights_hash
from fewshot.errors import ShapeError

CHUNK = 32  # images in one pass where no gradient is kept: more is no faster on a CPU, and fills the memory


@dataclass(frozen=True)
class Preprocessing:
    """What a network was trained to see: resized, cropped in the middle, normalised.

    Bytes are resized as bytes: torchvision's own presets resize floats and round, which is slower,
    takes four times the memory, and differs by at most two steps of 255.

    Attributes:
        crop: Height and width of what is kept, in pixels.
        resize: The shorter side before the crop, in pixels; two numbers: height and width.
        mean: Mean of each channel, for values in [0, 1].
        std: Standard deviation of each channel.
        interpolation: ``"bilinear"`` or ``"bicubic"``, always antialiased.
    """

    crop: tuple[int, int]
    resize: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    def __call__(self, pixels: UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n 3 height width"]:
        """Prepared images; one channel is repeated to three.

        Raises:
            ShapeError: If there are neither one channel nor three, or the values are no uint8.
        """
        from torchvision.transforms.v2 import InterpolationMode, functional

        if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or pixels.dtype != torch.uint8:
            raise ShapeError(
                f"pixels must be uint8 of shape (n, 3, height, width) or (n, 1, height, width), "
                f"got {str(pixels.dtype).removeprefix('torch.')} {tuple(pixels.shape)}"
            )
        colour = pixels.expand(-1, 3, -1, -1)
        resized = functional.resize(colour, list(self.resize), InterpolationMode(self.interpolation), antialias=True)
        cropped = functional.center_crop(resized, list(self.crop))
        prepared: Tensor = functional.normalize(cropped.float() / 255, list(self.mean), list(self.std))
        return prepared


class ImageNetwork(nn.Module):
    """A network with its preprocessing: from uint8 pixels to features.

    Args:
        network: Turns prepared images ``(n, 3, height, width)`` into features ``(n, dim)``.
        preprocess: Prepares uint8 pixels; its ``repr`` names it in the fingerprint.
        dim: Number of features.
        name: Names the architecture in records and in the fingerprint.
        pretraining: Names the data sets that the weights were trained on, where that is known.
    """

    def __init__(
        self,
        network: nn.Module,
        preprocess: Callable[[Tensor], Tensor],
        dim: int,
        name: str = "network",
        pretraining: str | None = None,
    ) -> None:
        super().__init__()
        self.network, self.preprocess, self.dim, self.name = network, preprocess, dim, name
        self.pretraining = pretraining

    def forward(self, x: Float[Tensor, "n 3 height width"]) -> Float[Tensor, "n dim"]:
        """Features of prepared images; in chunks where no gradient and no batch statistics are needed."""
        if not len(x):  # zero-shot episodes have none, which attention does not reshape
            return x.new_zeros(0, self.dim)
        if self.training or torch.is_grad_enabled():
            return self._embed(x)
        return torch.cat([self._embed(part) for part in torch.split(x, CHUNK)])

    def _embed(self, x: Tensor) -> Tensor:
        features: Tensor = self.network(x)
        return features

    def fingerprint(self) -> str:
        """Names architecture, weights and preprocessing, for the feature cache."""
        return f"{self.name}:{weights_hash(self.network)}:{self.preprocess!r}"
