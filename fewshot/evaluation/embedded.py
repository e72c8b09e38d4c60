"""A learner on a backbone as a head on features, each item embedded once."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fewshot.contract import Learner, prepare
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.evaluation.answers import eval_mode
from fewshot.evaluation.guard import is_fixed
from fewshot.plumbing.device import device_of, moved


def embedded(learner: Any, collection: Collection, cache: bool = True) -> tuple[Learner, Collection]:
    """The head with a collection of features, and of embedded descriptors, where the backbone is fixed; else all as it is.

    Args:
        learner: Any.
        collection: Of raw items.
        cache: Whether features may be read from, and written to, the cache folder.
    """
    if not isinstance(learner, Embedded) or not is_fixed(learner.backbone):
        return learner, collection
    return learner.head, features_of(learner, collection, cache)


def features_of(learner: Embedded, collection: Collection, cache: bool = True) -> Collection:
    """The collection with features for items, and with embedded descriptors where the learner has a side for them."""
    features = collection.embed(learner.backbone, cache=cache)
    if learner.side is not None and collection.descriptors is not None:
        features = replace(features, descriptors=_described(learner.side, collection.descriptors))
    return features


def _described(side: Any, descriptors: np.ndarray) -> np.ndarray:
    """Every class once through the side, prepared as `Embedded` does it."""
    items = descriptors if descriptors.dtype.kind in "TU" else moved(torch.as_tensor(descriptors), device_of(side))
    with eval_mode(side), torch.no_grad():
        embedded: torch.Tensor = side(prepare(side, items))
    return embedded.cpu().numpy()
