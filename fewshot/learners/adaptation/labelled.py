"""What learners with a few labelled rows of the target are given: both domains apart, as float64."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features, per_episode
from fewshot.errors import EpisodeError, ShapeError
from fewshot.functional import require_every_class, require_finite


def on_labelled_domains(
    adapt_one: Callable[[Any, SupportSet, SupportSet], Classifier],
) -> Callable[..., Classifier]:
    """Decorate ``adapt(self, source, target)`` for one episode; it is then called with one support or a batch.

    ``support.domain`` tells the two apart: 0 for examples of the source, 1 for the few of the target. A pool without
    labels is not read. Scores have the type of the queries.

    Raises:
        EpisodeError: If no example is the target's, a domain is neither 0 nor 1, a class has no example at all, there
            are fewer than two, or a number is not finite.
        ShapeError: If items are no rows of numbers, or queries have other columns.
    """

    def one_episode(self: Any, support: SupportSet) -> Classifier:
        _check(support)
        x, y, domain = support.x.double(), support.y, support.domain
        source, target = (replace(support, x=x[domain == d], y=y[domain == d], domain=None) for d in (0, 1))
        classify = adapt_one(self, source, target)

        def answer(query: Tensor) -> Tensor:
            if query.shape[-1] != x.shape[-1]:
                raise ShapeError(
                    f"queries must have the columns of the support, got {query.shape[-1]} and {x.shape[-1]}; "
                    "take the same features"
                )
            return classify(query.double()).to(query.dtype)

        return answer

    return on_features(wraps(adapt_one)(per_episode(one_episode)))


def _check(support: SupportSet) -> None:
    require_every_class(support.y, support.n_way)
    if support.n_way < 2:
        raise EpisodeError(f"a classifier needs at least two classes, got {support.n_way}; give examples of another")
    if support.x.ndim != 2:
        raise ShapeError(
            f"items must be rows of numbers, got shape {tuple(support.x.shape[1:])} an item; put a backbone in front"
        )
    require_finite(support.x)
    odd = [] if support.domain is None else sorted(set(support.domain.tolist()) - {0, 1})
    if odd:
        raise EpisodeError(f"a domain must be 0, the source, or 1, the target, got {odd[0]}; number them so")
    if support.domain is None or not bool(torch.any(support.domain == 1)):
        raise EpisodeError(
            "this learner needs labelled examples of the target, got none; mark them by 1 in the support's domain"
        )


def require_source_classes(source: SupportSet) -> None:
    """Let an episode pass only if each class has an example of the source.

    Raises:
        EpisodeError: If a class has none.
    """
    missing = sorted(set(range(source.n_way)) - set(source.y.tolist()))
    if missing:
        raise EpisodeError(f"every class needs an example of the source to start from, got none for classes {missing}")
