"""Properties of a learner's arithmetic: the type and the size of numbers must not spoil its answers."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fewshot.claims import claims_of
from fewshot.contract import SupportSet
from fewshot.errors import FewShotError
from fewshot.evaluation.answers import score
from fewshot.testing.answers import require, require_same
from fewshot.testing.trial import Round, Trial

ROUGH = 1e-4  # of the largest score: how far an episode in a batch may be from the same alone, as `evaluate` has it


def _changed(one: Round, f: Any) -> Round:
    """The same episodes with all items sent through ``f``."""
    support: SupportSet[Any] = one.support.map(f)
    return Round(support, f(one.query), one.labels)


def _on_features(trial: Trial) -> bool:
    query = trial.rounds[0].query
    floats = isinstance(query, Tensor) and query.is_floating_point()
    return floats and not claims_of(trial.learner).prepares


def types_of_numbers_do_not_matter(trial: Trial) -> None:
    """Whole numbers and half precision answer as the same numbers in float64 and float32, and types may differ."""
    if not trial.claims.numbers or not _on_features(trial):
        return
    learner, one = trial.single
    _require_type(trial, learner, one, torch.float16, torch.float32)
    if trial.rounds[0].query.dtype == torch.float64:
        _require_type(trial, trial.learner, trial.rounds[0], torch.int64, torch.float64)
    if not one.support.y.numel():
        return  # without examples the type of the support is none
    mixed = score(learner, one.support, one.query.double()).float()
    sentence = "queries in float64 must score as in the type of the support, float32"
    require_same(trial, score(learner, one.support, one.query).float(), mixed, sentence)


def _require_type(trial: Trial, learner: Any, one: Round, kind: torch.dtype, own: torch.dtype) -> None:
    stored, plain = (_changed(one, lambda x, t=t: (4 * x).round().clamp(0, 64).to(t)) for t in (kind, own))
    try:
        wanted = score(learner, plain.support, plain.query)
    except FewShotError:
        return  # whatever it refuses, it is not the type
    got = score(learner, stored.support, stored.query)
    require_same(trial, wanted, got.to(wanted.dtype), f"numbers of type {kind} must score as in {own}")


def sizes_of_numbers_mix_no_episodes(trial: Trial) -> None:
    """Large and small factors, a large column, a large offset: an answer that holds for an episode alone, or a sentence.

    Which answer is right, is for the oracle of a learner's own test to say.
    """
    if not trial.claims.numbers or not _on_features(trial):
        return
    one = trial.rounds[0]
    column = torch.ones_like(one.query[0, 0])
    column.view(-1)[0] = 1e6
    _require_alone(trial, _changed(one, lambda x: x * 1e-6), "a factor of 1e-6")
    _require_alone(trial, _changed(one, lambda x: x * column), "a column 1e6 times the others")
    _require_alone(trial, _changed(one, lambda x: x + 1e5), "an offset of 1e5")


def _require_alone(trial: Trial, one: Round, what: str) -> None:
    try:
        together = score(trial.learner, one.support[:2], one.query[:2])[1:]
        alone = score(trial.learner, one.support[1:2], one.query[1:2])
    except FewShotError:
        return
    require(bool(together.isfinite().all()), f"with {what} scores must be finite, or refused with a FewShotError")
    rough = replace(trial, claims=replace(trial.claims, tolerance=max(trial.claims.tolerance, ROUGH)))
    require_same(rough, together, alone, f"with {what} an episode must score the same alone as in a batch")


NUMBERS = (types_of_numbers_do_not_matter, sizes_of_numbers_mix_no_episodes)
