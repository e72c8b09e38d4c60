"""Rotation of images by quarter turns, drawn anew in every episode.

An alternative to Omniglot with rotated classes: load it with ``rotations="none"`` and turn the
images of each training episode. Finn et al. (2017, code) draw one angle for each class of a
task; Sung et al. (2018, code) draw one for the whole episode.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64, Integer, Shaped
from torch import Tensor

from fewshot.errors import DataError, ShapeError


@dataclass(frozen=True)
class EpisodeRotation:
    """Turns support and query images of an episode by 0, 90, 180 or 270 degrees, counter-clockwise.

    Attributes:
        per: ``"class"``: all images of a class turn together. ``"episode"``: all images of the episode do.

    Raises:
        DataError: If ``per`` is neither.
    """

    per: str = "class"

    def __post_init__(self) -> None:
        if self.per not in ("class", "episode"):
            raise DataError(f"rotation must be per 'class' or per 'episode', got '{self.per}'")

    def __call__(
        self,
        support_x: Shaped[Tensor, "e s c h w"],
        support_y: Integer[Tensor, "e s"],
        query_x: Shaped[Tensor, "e q c h w"],
        query_y: Integer[Tensor, "e q"],
        seed: Int64[Tensor, " e"],
    ) -> tuple[Shaped[Tensor, "e s c h w"], Shaped[Tensor, "e q c h w"]]:
        """The images of both parts, turned; the same seed always turns in the same way.

        Args:
            support_x: Support images, square.
            support_y: Their labels.
            query_x: Query images.
            query_y: Their labels, by which queries turn like the support of their class.
            seed: One seed per episode.

        Raises:
            ShapeError: If images are not square.
        """
        highest = max([int(y.max()) for y in (support_y, query_y) if y.numel()], default=0)
        turns = torch.stack([self._turns(int(s), highest + 1) for s in seed]).to(support_y.device)  # (e, classes)
        return rotate(support_x, turns.gather(1, support_y.long())), rotate(query_x, turns.gather(1, query_y.long()))

    def _turns(self, seed: int, classes: int) -> Tensor:
        """Quarter turns of each class of one episode; further classes do not change the first ones."""
        rng = np.random.Generator(np.random.Philox(key=[seed, 0x7475726E]))  # "turn": a stream of its own
        drawn = rng.integers(4, size=classes)
        return torch.from_numpy(drawn if self.per == "class" else np.repeat(drawn[0], classes))


def rotate(x: Shaped[Tensor, "*n c h w"], turns: Integer[Tensor, "*n"]) -> Shaped[Tensor, "*n c h w"]:
    """Each image turned by its number of quarter turns, counter-clockwise.

    Args:
        x: Square images.
        turns: 0 to 3 for each image.

    Raises:
        ShapeError: If images are not square.
    """
    if x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"images must be square to be turned, got height {x.shape[-2]} and width {x.shape[-1]}")
    turned = x.clone()
    for k in range(1, 4):
        turned[turns == k] = x[turns == k].rot90(k, (-2, -1))
    return turned
