"""Nearest drawing by the modified Hausdorff distance between inked pixels: nothing is learned.

Paper: Dubuisson and Jain, "A modified Hausdorff distance for object matching", ICPR 1994,
    their D22: directed distance d6 (mean of nearest distances), both directions joined by f2 (the larger).
Code: github.com/brendenlake/omniglot, ``python/one-shot-classification/demo_classification.py``. No intended
    difference; more than one shot is added here, by the nearest example of a class.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, per_episode
from fewshot.errors import ShapeError
from fewshot.functional import require_every_class


@dataclass(frozen=True)
class ModifiedHausdorff:
    """Scores are minus the distance, in pixels, to the nearest example of each class.

    Attributes:
        threshold: A pixel is ink where it lies above this value, in any channel.
    """

    threshold: float = 0.5
    scores = "rank"

    @per_episode
    def adapt(self, support: SupportSet) -> Classifier:
        """Keep the inked points of every example, centred on their mean.

        Raises:
            EpisodeError: If a class has no example.
            ShapeError: If items are no images, or an image has no ink.
        """
        require_every_class(support.y, support.n_way)
        drawings = self._drawings(support.x)

        def classify(query: Tensor) -> Tensor:
            distances = [[modified_hausdorff(asked, known) for known in drawings] for asked in self._drawings(query)]
            examples = torch.tensor(distances, device=query.device).reshape(len(query), len(drawings))
            nearest = examples.new_full((len(query), support.n_way), torch.inf)
            return -nearest.scatter_reduce(1, support.y.expand_as(examples), examples, "amin")  # (q, n_way)

        return classify

    def _drawings(self, images: Tensor) -> list[KDTree]:
        if images.ndim not in (3, 4):
            raise ShapeError(f"items must be images (channels, height, width), got {tuple(images.shape[1:])}")
        inked = images > self.threshold
        flat = inked.any(1) if images.ndim == 4 else inked
        points = [np.argwhere(image) for image in flat.cpu().numpy()]
        blank = [k for k, p in enumerate(points) if not len(p)]
        if blank:
            raise ShapeError(
                f"every image needs ink above {self.threshold}, got none in image {blank[0]}; leave it out"
            )
        return [KDTree(p - p.mean(0)) for p in points]


def modified_hausdorff(a: KDTree, b: KDTree) -> float:
    """Mean distance to the nearest point of the other set, the larger of both directions; 0 is equal.

    Args:
        a: Points ``(n, 2)``.
        b: Points ``(m, 2)``.
    """
    there, _ = b.query(a.data)
    back, _ = a.query(b.data)
    return float(max(there.mean(), back.mean()))
