"""Prototypical networks: a backbone with nearest class means on its features.

Paper: Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning",
    NeurIPS 2017, eqs. 1 and 2, algorithm 1.
Code: github.com/jakesnell/prototypical-networks, ``protonets/models/few_shot.py``. No intended difference:
    each episode of a training batch has batch statistics of its own, as there.
"""

from collections.abc import Callable
from typing import Any

from fewshot.embedded import Embedded
from fewshot.errors import FewShotError
from fewshot.learners.metric.nearest_mean import NearestMean


def ProtoNet(backbone: Callable[..., Any], metric: str = "squared-euclidean", temperature: float = 1.0) -> Embedded:
    """A backbone that is trained so that queries lie near the mean of their class.

    Args:
        backbone: A module that turns items ``(n, *item)`` into features ``(n, dim)``.
        metric: ``"squared-euclidean"``, or ``"cosine"``.
        temperature: Scores are divided by it; the paper's distance has 1.

    Raises:
        FewShotError: If the backbone cannot be called, or metric or temperature are none of `NearestMean`.
    """
    if not callable(backbone):
        raise FewShotError(
            f"backbone must be a module or a function, got '{backbone}'; make one with load_backbone(name)"
        )
    return Embedded(backbone, NearestMean(metric, temperature))
