"""Random crops and mirror images, as image classifiers are trained with."""

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.nn.functional import pad

MARGIN = 8  # pixels of black around an image, less for images below 64 pixels


def crop_flip(
    items: Shaped[Tensor, "n channels height width"], generator: torch.Generator
) -> Shaped[Tensor, "n channels height width"]:
    """Each image moved by up to 8 pixels (an eighth of its height, where that is less) either way, and mirrored or not.

    Args:
        items: Pixels of any type.
        generator: Source of randomness, on the CPU.

    Returns:
        Images of the same size; what a move uncovers is 0.
    """
    n, channels, height, width = items.shape
    margin = min(MARGIN, height // 8)
    down, right = (torch.randint(0, 2 * margin + 1, (n, 1), generator=generator) for _ in range(2))
    mirrored = torch.rand((n, 1), generator=generator) < 0.5
    rows, columns = down + torch.arange(height), right + torch.arange(width)
    columns = torch.where(mirrored, columns.flip(1), columns)
    index = (torch.arange(n)[:, None, None, None], torch.arange(channels)[:, None, None])
    places = (*index, rows[:, None, :, None], columns[:, None, None, :])
    return pad(items, [margin] * 4)[tuple(place.to(items.device) for place in places)]
