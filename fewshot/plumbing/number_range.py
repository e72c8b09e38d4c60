"""Sizes of features that a type of numbers can compute with; what is beyond them is refused, not answered wrongly."""

from typing import Any

import torch
from torch import Tensor

from fewshot.errors import DataError, EpisodeError, FewShotError

LEAST = 1e-12
"""Largest feature of items from which on lengths differ from 0."""
MOST = {torch.float32: 1e18, torch.float64: 1e100}
"""Of features: squares of sums of larger ones may be infinite."""
TOLD_APART = 8
"""Differences between items, in units of the rounding of the features, below which rounding decides."""


def require_numbers(what: str, items: Any, error: type[FewShotError] = DataError) -> None:
    """Let anything pass but a tensor on torch's meta device, which has a shape and no numbers.

    Raises:
        FewShotError: As ``error``, for such a tensor.
    """
    if isinstance(items, Tensor) and items.is_meta:
        raise error(
            f"{what} must hold numbers, got a tensor of shape {tuple(items.shape)} on the meta device; load them first"
        )


def require_range(items: Tensor, what: str) -> None:
    """Let floats pass that are neither so large nor so small that their squares are lost; zeros, NaN and infinity pass.

    Args:
        items: Of any shape.
        what: They are, for the message.

    Raises:
        EpisodeError: If not.
    """
    if not items.numel() or items.dtype not in MOST:
        return
    low, high = (float(end) for end in items.detach().aminmax())
    size, most = max(-low, high), MOST[items.dtype]
    if most < size < float("inf"):
        raise EpisodeError(
            f"features must be at most {most:g} in {_name(items)}, got {size:g} in the {what}; scale them"
        )
    if 0 < size < LEAST:
        raise EpisodeError(f"features must not all be below {LEAST:g}, got at most {size:g} in the {what}; scale them")


def require_told_apart(x: Tensor, lead: int) -> None:
    """Let a support pass whose items differ by more than the rounding of their features, in some feature at least.

    Equal items pass, unless they are so large that their type holds no fractions: then an offset has swallowed the rest.

    Args:
        x: Items ``(*e, s, *item)``, floats.
        lead: Number of axes before those of an item.

    Raises:
        EpisodeError: If an offset is so large that rounding decides.
    """
    if not x.numel() or x.shape[lead - 1] < 2 or x.dtype not in MOST:
        return
    low, high = x.detach().reshape(*x.shape[:lead], -1).aminmax(dim=lead - 1)
    rounding = torch.finfo(x.dtype).eps * torch.maximum(low.abs(), high.abs())
    spread = high - low
    lost = ((spread <= TOLD_APART * rounding) & ((spread > 0) | (rounding >= 1)) & spread.isfinite()).all(-1)
    if bool(lost.any()):
        raise EpisodeError(
            f"items must differ by more than {_name(x)} rounds features of their size, got differences of at most "
            f"{float(spread.amax(-1)[lost].max()):g} at a size of {float(rounding.amax()) / torch.finfo(x.dtype).eps:g}; "
            "subtract the offset that they share before they are stored"
        )


def _name(items: Tensor) -> str:
    return str(items.dtype).removeprefix("torch.")
