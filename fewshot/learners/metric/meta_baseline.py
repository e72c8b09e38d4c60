"""Meta-Baseline: a backbone that was trained on all base classes at once, then on episodes by cosine to class means.

Paper: Chen, Liu, Xu, Darrell and Wang, "Meta-Baseline: Exploring Simple Meta-Learning for Few-Shot Learning",
    ICCV 2021, section 3.
Code: github.com/yinboc/few-shot-meta-baseline, ``models/meta_baseline.py``. As there, features are averaged as they are
    and the mean is brought to length 1; the scale begins at 10. No intended difference. Without the second stage it is
    the paper's Classifier-Baseline.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fewshot.contract import Classifier, SupportSet
from fewshot.embedded import Embedded
from fewshot.errors import FewShotError
from fewshot.learners.metric.nearest_mean import NearestMean


def MetaBaseline(backbone: Callable[..., Any], scale: float = 10.0) -> Embedded:
    """A backbone, as a rule one that is trained already, with cosine nearest means and a learned scale.

    Args:
        backbone: A module that turns items ``(n, *item)`` into features ``(n, dim)``.
        scale: τ to begin with, by which cosines are multiplied; it is learned.

    Raises:
        FewShotError: If the scale is not above 0.
    """
    return Embedded(backbone, ScaledCosine(scale))


class ScaledCosine(nn.Module):
    """Log-probabilities are ``τ · cos(z, c_k)`` to the mean c_k of each class.

    Args:
        scale: τ to begin with.

    Raises:
        FewShotError: If the scale is not above 0.
    """

    def __init__(self, scale: float = 10.0) -> None:
        super().__init__()
        if not scale > 0:
            raise FewShotError(f"scale must be above 0, got {scale}")
        self.scale = nn.Parameter(torch.tensor(float(scale)))

    def adapt(self, support: SupportSet) -> Classifier:
        """Average each class; classify by cosine to the averages.

        Raises:
            EpisodeError: If a class has no example.
        """
        classify = NearestMean("cosine").adapt(support)
        return lambda query: self.scale * classify(query)
