"""From indices to scores: what a learner sees of an episode, and nothing more."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewshot.contract import Embedded, Learner, SupportSet
from fewshot.datasets.collection import Collection
from fewshot.episodes import IndexEpisodes


def support_set(
    collection: Collection, episodes: IndexEpisodes, seeds: np.ndarray | None = None, pool: Collection | None = None
) -> SupportSet[Any]:
    """The support of a batch of index episodes: items, labels, descriptors and seeds.

    Args:
        collection: Where support items come from.
        episodes: Row numbers and labels, with the episode axis.
        seeds: One seed per episode.
        pool: Where unlabelled items come from; the same collection when left out.
    """
    side = None
    if collection.descriptors is not None:
        described = collection.descriptors[episodes.classes]
        side = described if described.dtype.kind in "TU" else torch.as_tensor(described)
    unlabelled = None if episodes.unlabelled is None else (pool or collection).take(episodes.unlabelled)
    return SupportSet(
        collection.take(episodes.support),
        torch.from_numpy(episodes.support_y),
        episodes.n_way,
        side,
        unlabelled,
        None if seeds is None else torch.from_numpy(seeds),
    )


def score(learner: Learner, support: SupportSet[Any], query: Any) -> Float[Tensor, "e q n_way"]:
    """Scores of the queries, higher is more likely; the learner sees all queries of an episode in one call.

    Gradients are off, but not forbidden: a learner that optimises on the support
    opens them again for itself. uint8 pixels are divided by 255 for learners
    without a backbone that knows better.
    """
    with torch.no_grad():
        if not isinstance(learner, Embedded):
            support, query = support.map(_as_floats), _as_floats(query)
        return learner.adapt(support)(query)


def _as_floats(items: Any) -> Any:
    return items.float() / 255 if isinstance(items, Tensor) and items.dtype == torch.uint8 else items


@contextmanager
def eval_mode(learner: Any) -> Iterator[None]:
    """The learner in eval mode, and afterwards every part of it as it was."""
    modules = list(learner.modules()) if isinstance(learner, nn.Module) else []
    was = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in zip(modules, was, strict=True):
            module.training = training
