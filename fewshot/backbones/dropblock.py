"""DropBlock: dropout of whole squares of a feature map.

Paper: Ghiasi, Lin and Le, "DropBlock: A regularization method for convolutional
    networks", NeurIPS 2018, algorithm 1 and eq. 1.
Code: github.com/kjunelee/MetaOptNet, ``models/dropblock.py`` and the schedule of
    ``models/ResNet12_embedding.py``. Differences: only training passes count as steps
    (there passes in evaluation count too), the count is kept in checkpoints (there it
    restarts at zero), and a batch without a single kept value gives zeros (there NaN).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, pad

from fewshot.errors import FewShotError, ShapeError


class DropBlock(nn.Module):
    """Zero random squares of each channel and scale up what is left; in eval mode nothing happens.

    Randomness comes from torch's global generator, as that of ``nn.Dropout`` does.

    Args:
        rate: Share of values to drop once the schedule has run, in [0, 1); overlapping squares drop a little less.
        block_size: Side of a square; must fit into the feature map.
        ramp: Training passes over which the rate grows linearly from 0; 20 epochs of 2,000 batches as in the
            authors' code. 0: the full rate from the start.

    Raises:
        FewShotError: If rate, block size or ramp lie outside their range.
    """

    steps: Tensor

    def __init__(self, rate: float = 0.1, block_size: int = 5, ramp: int = 40_000) -> None:
        super().__init__()
        if not (0 <= rate < 1 and block_size >= 1 and ramp >= 0):
            raise FewShotError(
                f"DropBlock needs a rate in [0, 1), a block size from 1 and a ramp from 0, got {rate}, {block_size}, {ramp}"
            )
        self.rate, self.block_size, self.ramp = rate, block_size, ramp
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Float[Tensor, "n channels height width"]) -> Float[Tensor, "n channels height width"]:
        """The map with squares dropped, its mean kept in expectation.

        Raises:
            ShapeError: If a square does not fit into the map.
        """
        if not self.training or not self.rate:
            return x
        self.steps += 1
        kept = ~dropped(x, seed_rate(self.current_rate(), self.block_size, *x.shape[2:]), self.block_size)
        return x * kept * (kept.numel() / kept.sum().clamp(min=1))

    def current_rate(self) -> float:
        """Share of values to drop at the present step."""
        return self.rate * min(1.0, int(self.steps) / self.ramp) if self.ramp else self.rate


def seed_rate(rate: float, block_size: int, height: int, width: int) -> float:
    """Probability γ that a square starts at a place where a whole one fits (Ghiasi et al. 2018, eq. 1).

    Args:
        rate: Share of values to drop, 1 − keep_prob.
        block_size: Side of a square.
        height: Of the feature map.
        width: Of the feature map.

    Raises:
        ShapeError: If a square does not fit into the map.
    """
    if block_size > min(height, width):
        raise ShapeError(
            f"block_size must fit into the feature map, got {block_size} for a map of {height} × {width}; "
            "choose a smaller block_size (2 for images of 32 pixels)"
        )
    places = (height - block_size + 1) * (width - block_size + 1)
    return min(1.0, rate / block_size**2 * height * width / places)


def dropped(x: Tensor, gamma: float, block_size: int) -> Tensor:
    """Which values fall into a square: booleans of the shape of ``x``, each channel with squares of its own."""
    n, channels, height, width = x.shape
    places = (n, channels, height - block_size + 1, width - block_size + 1)
    seeds = (torch.rand(places, device=x.device) < gamma).to(x.dtype)
    return max_pool2d(pad(seeds, [block_size - 1] * 4), block_size, stride=1) > 0
