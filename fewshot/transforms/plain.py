"""Transforms that need no base classes: unit length, powers, coordinates in the span of an episode."""

import math
from dataclasses import dataclass
from numbers import Real

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.errors import EpisodeError, FewShotError

Features = Float[Tensor, "*e n dim"]


@dataclass(frozen=True)
class Normalise:
    """Unit length: z / ‖z‖; a row of zeros stays."""

    def __call__(self, x: Features) -> Features:
        """Rows of length one."""
        return normalize(x, dim=-1)


@dataclass(frozen=True)
class Power:
    """Tukey's ladder of powers, (z + offset)^exponent, and log(z + offset) for exponent 0.

    It makes the long tail of features behind a ReLU shorter (Yang et al. 2021, eq. 3; Hu et al. 2021, eq. 2).

    Attributes:
        exponent: λ.
        offset: Added first, so that the slope at 0 is finite.

    Raises:
        FewShotError: If one of them is no finite number.
    """

    exponent: float = 0.5
    offset: float = 0.0

    def __post_init__(self) -> None:
        for name, value in (("exponent", self.exponent), ("offset", self.offset)):
            if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
                raise FewShotError(f"{name} of a power must be a finite number, got {value!r}")

    def __call__(self, x: Features) -> Features:
        """Powers of features.

        Raises:
            EpisodeError: If a feature is below 0, or not above 0 where the exponent is 0 or less.
        """
        x = x + self.offset
        least = float(x.detach().min()) if x.numel() else 1.0
        if least < 0 or (least == 0 and self.exponent <= 0):
            what = "at least 0" if self.exponent > 0 else "above 0"
            raise EpisodeError(
                f"features must be {what} for the power {self.exponent:g}, got {least:g}; "
                "take them behind a ReLU, or leave the power out"
            )
        return x.log() if self.exponent == 0 else x**self.exponent


@dataclass(frozen=True)
class QR:
    """Coordinates of an episode's items in the space that they span: all lengths and angles stay.

    It saves work where items are fewer than features and a learner only looks at lengths and angles
    (Hu et al. 2021). The axes depend on all items, so nothing that works axis by axis may follow.
    """

    joint = True

    def __call__(self, x: Features) -> Float[Tensor, "*e n k"]:
        """Coordinates ``(*e, n, min(n, dim))``."""
        triangle: Tensor = torch.linalg.qr(x.mT)[1]
        return triangle.mT
