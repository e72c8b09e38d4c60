"""Handwritten digits: 1,797 images of 8x8 pixels that come with scikit-learn, also as strokes of 28x28.

The test part of the UCI data set "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998).
"""

from dataclasses import replace
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.strokes import strokes

STROKES: dict[str, Any] = {"size": 22, "threshold": 0.3, "thinning": 2}
"""Chosen by scripts/match_digits_to_omniglot.py from the look of the ink; no label, no accuracy entered."""


def load_digits() -> Collection:
    """Digits with ink 255 on 0, ``(1797, 1, 8, 8)`` uint8, classes ``"0"`` to ``"9"``.

    The grey values 0 to 16 are multiplied by 255/16 and rounded.
    """
    from sklearn import datasets

    bundle = datasets.load_digits()
    pixels = np.rint(bundle.images * 255 / 16).astype(np.uint8)
    return Collection(
        pixels[:, None], bundle.target.astype(np.int64), tuple(str(d) for d in range(10)), "digits", origin="digits"
    )


def load_digits_strokes() -> Collection:
    """The same digits in the same order as black and white strokes, ``(1797, 1, 28, 28)``, ink 255 on 0.

    They are near Omniglot's drawings in share of ink, stroke width and extent, so that a
    network that was trained there can read them. The same seed gives the episodes of ``digits``.
    """
    from sklearn import datasets

    ink = strokes(datasets.load_digits().images / 16, **STROKES)
    return replace(load_digits(), items=ink[:, None].astype(np.uint8) * 255, name="digits-strokes")
