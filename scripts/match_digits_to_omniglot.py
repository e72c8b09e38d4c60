#!/usr/bin/env python
"""Chooses how scikit-learn's 8 × 8 digits become strokes that look like Omniglot's.

A network that was trained on Omniglot has seen thin black-and-white strokes on 28 × 28
pixels. The digits are grey blobs on 8 × 8. They are enlarged bicubically, padded to 28,
made black and white at a threshold, and perhaps thinned. Which size, threshold and
thinning is decided here by the look of the ink alone: **no digit label and no accuracy
enters**, and of Omniglot only the characters that the network was trained on.

The rule, fixed before the first run:

1. Three statistics of each image: the share of pixels that are ink; the stroke width
   2 * area / perimeter in pixels (the perimeter counts sides between ink and background);
   the longer side of the box around the ink, in pixels.
2. For each, the Wasserstein distance between the distribution over all digits and that
   over all training characters, in standard deviations of the training characters.
3. The setting with the smallest mean of the three distances is taken; at a tie, the
   earlier one in the order of the grid.

Usage: FEWSHOT_DATA=... python scripts/match_digits_to_omniglot.py
"""

from itertools import product

import numpy as np
from scipy.stats import wasserstein_distance
from sklearn.datasets import load_digits

from fewshot.datasets.named.omniglot import load_omniglot
from fewshot.datasets.strokes import strokes

SIZES = (14, 16, 18, 20, 22, 24, 26, 28)
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
THINNINGS = (0, 1, 2)  # passes of fewshot.datasets.strokes.thin


def main() -> None:
    """Print the statistics of Omniglot and of every setting, nearest first."""
    wanted = statistics(load_omniglot(rotations="none").split("train").items[:, 0] > 0)
    images = load_digits().images / 16
    found = {s: statistics(strokes(images, *s)) for s in product(SIZES, THRESHOLDS, THINNINGS)}
    distances = {setting: distance(values, wanted) for setting, values in found.items()}
    print(f"{'':30}ink share   stroke width   longer side   distance")
    print(f"{'Omniglot, training characters':30}{describe(wanted)}")
    for setting in sorted(distances, key=distances.__getitem__):
        name = "size {}, threshold {}, thinning {}".format(*setting)
        print(f"{name:30}{describe(found[setting])}{distances[setting]:11.3f}")
    print("nearest: size {}, threshold {}, thinning {}".format(*min(distances, key=distances.__getitem__)))


def statistics(ink: np.ndarray) -> np.ndarray:
    """Ink share, stroke width and longer side of the box of images ``(n, side, side)``: ``(n, 3)``."""
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    area = ink.sum((1, 2))
    perimeter = (padded[:, 1:] != padded[:, :-1]).sum((1, 2)) + (padded[:, :, 1:] != padded[:, :, :-1]).sum((1, 2))
    sides = [extent(ink.any(axis)) for axis in (1, 2)]
    return np.stack([area / ink[0].size, 2 * area / np.maximum(perimeter, 1), np.maximum(*sides)], 1)


def extent(touched: np.ndarray) -> np.ndarray:
    """Number of pixels from the first to the last that is touched, for each row of ``(n, side)``."""
    length = touched.shape[1]
    return np.where(touched.any(1), length - touched[:, ::-1].argmax(1) - touched.argmax(1), 0)


def distance(values: np.ndarray, wanted: np.ndarray) -> float:
    """Mean Wasserstein distance of the statistics, in standard deviations of the wanted ones."""
    scale = wanted.std(0)
    return float(np.mean([wasserstein_distance(values[:, k], wanted[:, k]) / scale[k] for k in range(len(scale))]))


def describe(values: np.ndarray) -> str:
    """Mean and standard deviation of the three statistics."""
    mean, deviation = values.mean(0), values.std(0)
    return "".join(f"{m:7.3f} ±{d:6.3f}" for m, d in zip(mean, deviation, strict=True))


if __name__ == "__main__":
    main()
