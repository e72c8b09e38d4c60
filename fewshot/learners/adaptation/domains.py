"""What a learner between two domains is given: scaled rows of the source, and rows of the target without labels."""

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, cast

import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, on_features, per_episode
from fewshot.errors import EpisodeError, FewShotError, ShapeError
from fewshot.functional import require_every_class
from fewshot.learners.adaptation.scaling import fit_scaling, scaling_steps
from fewshot.plumbing.number_range import MOST

ADAPT_TO = ("pool", "queries")

LARGEST = MOST[torch.float64]


def keep_domain_options(learner: Any) -> None:
    """Check ``adapt_to`` and ``scaling`` of a learner, a frozen one too, and keep the latter as a tuple.

    Raises:
        FewShotError: If one is none of what is known.
    """
    if learner.adapt_to not in ADAPT_TO:
        raise FewShotError(f"adapt_to must be 'pool' or 'queries', got '{learner.adapt_to}'")
    object.__setattr__(learner, "scaling", scaling_steps(learner.scaling))


def on_domains(adapt_one: Callable[[Any, SupportSet], Classifier]) -> Callable[..., Classifier]:
    """Decorate an ``adapt`` between domains that is written for one episode.

    Its support is in float64 and scaled as ``self.scaling`` says: ``x`` are rows of the source, ``unlabelled`` those of
    the target. With ``self.adapt_to == "pool"`` the target is the pool and queries are further rows of it; with
    ``"queries"`` the target are the queries of the call, and a pool is not read. Either way the target's rows come
    without labels. The classifier gets scaled rows; scores have the type of the queries.

    Raises:
        EpisodeError: If there is no pool, a class has no example, there are fewer than two classes, or a number is not
            finite.
        ShapeError: If items are no rows of numbers, or the domains have different columns.
    """

    def one_episode(self: Any, support: SupportSet) -> Classifier:
        _check_source(support)
        if self.adapt_to == "queries":
            return lambda query: _between(adapt_one, self, replace(support, unlabelled=query))(query)
        if support.unlabelled is None or not len(support.unlabelled):
            raise EpisodeError(
                "a learner that adapts to a pool needs rows of the target without labels, got none; give them as "
                "unlabelled, or set adapt_to='queries'"
            )
        return _between(adapt_one, self, support)

    adapt = on_features(wraps(adapt_one)(per_episode(one_episode)))
    adapt.of_domains = adapt_one  # type: ignore[attr-defined]  # for `fewshot.learners.adaptation.both_domains`
    return adapt


def _between(adapt_one: Callable[[Any, SupportSet], Classifier], learner: Any, support: SupportSet) -> Classifier:
    x, target = support.x.double(), cast(Tensor, support.unlabelled).double()
    _check_target(x, target)
    scale = fit_scaling(learner.scaling, target)
    scaled = replace(support, x=fit_scaling(learner.scaling, x)(x), unlabelled=scale(target))
    classify = adapt_one(learner, scaled)

    def answer(query: Tensor) -> Tensor:
        rows = query.double()
        _check_target(x, rows)
        return classify(scale(rows)).to(query.dtype)

    return answer


def _check_source(support: SupportSet) -> None:
    require_every_class(support.y, support.n_way)
    if support.n_way < 2:
        raise EpisodeError(f"a source needs at least two classes, got {support.n_way}; give examples of another")
    if support.x.ndim != 2:
        raise ShapeError(
            f"items must be rows of numbers, got shape {tuple(support.x.shape[1:])} an item; put a backbone in front"
        )
    _require_finite("source", support.x)


def _check_target(source: Tensor, target: Tensor) -> None:
    if target.shape[1:] != source.shape[1:]:
        raise ShapeError(
            f"source and target must have the same columns, got {tuple(source.shape[1:])} and {tuple(target.shape[1:])} "
            "an item; take the same features"
        )
    _require_finite("target", target)


def _require_finite(domain: str, rows: Tensor) -> None:
    if rows.numel() and not float(rows.abs().max()) <= LARGEST:
        raise EpisodeError(
            f"numbers of the {domain} must be finite and at most {LARGEST:g}, got NaN or larger ones; clean or scale them"
        )
