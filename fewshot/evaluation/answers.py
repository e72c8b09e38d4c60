"""From indices to scores: what a learner sees of an episode, and nothing more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from fewshot.claims import claims_of, parts
from fewshot.contract import Classifier, Learner, SupportSet, taken
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import IndexEpisodes
from fewshot.errors import EpisodeError, ShapeError
from fewshot.evaluation.required import require_classifier, require_scores
from fewshot.functional import class_means, class_membership, squared_distances
from fewshot.plumbing.device import moved

OWN, SCORE, PROBABILITY, NEAREST_MEAN = "classifier's own", "largest score", "largest probability", "nearest mean"


def support_set(
    collection: Collection, episodes: IndexEpisodes, seeds: np.ndarray | None = None, pool: Collection | None = None
) -> SupportSet[Any]:
    """The support of a batch of index episodes: items, labels, descriptors and seeds.

    Args:
        collection: Where support items come from.
        episodes: Row numbers and labels, with the episode axis.
        seeds: One seed per episode.
        pool: Where unlabelled items come from; the same collection when left out.

    Returns:
        The support on the device of the collection; seeds stay on the CPU, where random numbers are drawn.
    """
    side = None
    if collection.descriptors is not None:
        described = collection.descriptors[episodes.classes]
        side = described if described.dtype.kind in "TU" else moved(torch.as_tensor(described), collection.device)
    unlabelled = None if episodes.unlabelled is None else (pool or collection).take(episodes.unlabelled)
    source_of = collection.source_of

    def tensor(numbers: np.ndarray) -> Tensor:
        there: Tensor = moved(torch.from_numpy(numbers), collection.device)
        return there

    return SupportSet(
        collection.take(episodes.support),
        tensor(episodes.support_y),
        episodes.n_way,
        side,
        unlabelled,
        None if seeds is None else torch.from_numpy(seeds),
        None if source_of is None else tensor(source_of[episodes.support]),
    )


def score(learner: Learner, support: SupportSet[Any], query: Any) -> Float[Tensor, "e q n_way"]:
    """Scores of the queries, higher is more likely; the learner sees all queries of an episode in one call.

    Gradients are off, but not forbidden: a learner that optimises on the support
    opens them again for itself. Items are those of `fewshot.contract.taken`.

    Raises:
        ShapeError: If these are not floats of that shape.
        EpisodeError: If a score is not a number.
    """
    take = partial(taken, learner)
    with torch.no_grad():
        support = support.map(take)
        return _scores(_classifier(learner, support), support, take(query, like=support.x))


def score_and_known(
    learner: Learner, support: SupportSet[Any], query: Any
) -> tuple[Float[Tensor, "e q n_way"], dict[str, Float[Tensor, "e q"]]]:
    """Scores as `score` gives them, and how known each query is by every measure that there is, higher is more known.

    The first measure is the one that the classifier stands for: its own ``known(query)``, or
    its largest score. Then come the largest probability, where scores are log-probabilities,
    and minus the squared distance to the nearest class mean, where items are feature vectors.

    Raises:
        EpisodeError: If a score is not a number.
        ShapeError: If scores are not floats of that shape, or the classifier's own measure does not give one number a query.
    """
    return adapted(learner, support)(query)


def adapted(
    learner: Learner, support: SupportSet[Any]
) -> Callable[[Any], tuple[Float[Tensor, "e q n_way"], dict[str, Float[Tensor, "e q"]]]]:
    """What `score_and_known` says of queries, from a learner that adapts once."""
    take = partial(taken, learner)
    with torch.no_grad():
        support = support.map(take)
        classify = _classifier(learner, support)

    def ask(query: Any) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            query = take(query, like=support.x)
            scores, own = _scores(classify, support, query), getattr(classify, "known", None)
            measures = {} if own is None else {OWN: _one_a_query(own(query), scores)}
            return scores, measures | _measures(learner, support, query, scores)

    return ask


def _measures(learner: Learner, support: SupportSet[Any], query: Any, scores: Tensor) -> dict[str, Tensor]:
    measures = {SCORE: scores.amax(-1)}
    if claims_of(learner).scores == "log-probability":
        measures[PROBABILITY] = scores.double().log_softmax(-1).amax(-1)  # the order of probabilities, unrounded
    if not isinstance(learner, Embedded) and _are_features(query) and _has_examples(support):
        means = class_means(support.x, support.y, support.n_way)
        measures[NEAREST_MEAN] = -squared_distances(query, means).amin(-1)
    return measures


def _classifier(learner: Learner, support: SupportSet[Any]) -> Classifier[Any]:
    classify = learner.adapt(support)
    require_classifier(classify)
    return classify


def _scores(classify: Classifier[Any], support: SupportSet[Any], query: Any) -> Tensor:
    scores = classify(query)
    require_scores(scores, support, query)
    if bool(scores.isnan().any()):
        raise EpisodeError(
            "scores must be numbers, got nan; look for nan in the items, or let the learner take smaller steps"
        )
    return scores


def _are_features(items: Any) -> bool:
    return isinstance(items, Tensor) and items.ndim == 3 and items.is_floating_point()


def _has_examples(support: SupportSet[Any]) -> bool:
    return bool(class_membership(support.y, support.n_way, torch.bool).any(-2).all())


def _one_a_query(known: Tensor, scores: Tensor) -> Tensor:
    if known.shape != scores.shape[:-1]:
        raise ShapeError(
            f"known(query) must give one number a query, {tuple(scores.shape[:-1])}, got {tuple(known.shape)}"
        )
    return known


@contextmanager
def eval_mode(learner: Any) -> Iterator[None]:
    """The learner in eval mode, and afterwards every part of it as it was."""
    modules = [part for part in parts(learner) if isinstance(part, nn.Module)]
    was = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, training in zip(modules, was, strict=True):
            module.training = training
