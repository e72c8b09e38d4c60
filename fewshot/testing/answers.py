"""Properties of a learner's answers: what must hold for every formula."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fewshot.claims import claims_of
from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.evaluation.required import require_classifier, require_scores
from fewshot.testing.trial import Round, Trial, reordered

REMEDY = (
    "call fewshot.functional.require_every_class(support.y, support.n_way) first in adapt, or let such a class have "
    "finite scores and pass absent_class='handled'"
)


def require(holds: bool, sentence: str) -> None:
    """Fail with a sentence unless a property holds."""
    if not holds:
        raise AssertionError(sentence)


def require_same(trial: Trial, a: Tensor, b: Tensor, sentence: str) -> None:
    """Fail unless two answers agree up to the tolerance, relative to the largest score."""
    require(a.shape == b.shape, f"{sentence}, but the shapes are {tuple(a.shape)} and {tuple(b.shape)}")
    gap = float((a - b).abs().max() / a.abs().max().clamp(min=torch.finfo(a.dtype).tiny))
    require(
        gap <= trial.claims.tolerance,
        f"{sentence}, but scores differ by {gap:.1e} of the largest (allowed {trial.claims.tolerance:g})",
    )


def adapting_gives_a_function_from_queries_to_scores(trial: Trial) -> None:
    """What all others take for granted; tested on the copy in float32, so that the first call of the other is theirs."""
    learner, one = trial.single
    classify = learner.adapt(one.support)
    require_classifier(classify)
    require_scores(classify(one.query), one.support, one.query)


def scores_have_one_row_a_query_and_one_column_a_class(trial: Trial) -> None:
    """Shape, type and finite values, in both precisions."""
    pairs = [(trial.learner, one) for one in trial.rounds] + [trial.single]
    for learner, one in pairs:
        scores = learner.adapt(one.support)(one.query)
        wanted = (*one.labels.shape, one.support.n_way)
        require(
            tuple(scores.shape) == wanted, f"scores must have shape (e, q, n_way) = {wanted}, got {tuple(scores.shape)}"
        )
        require(scores.is_floating_point(), f"scores must be floats, got {scores.dtype}")
        bad = int((~scores.isfinite()).sum())
        require(bad == 0, f"scores must be finite, got {bad} of {scores.numel()} that are NaN or infinite")
        if isinstance(one.query, Tensor) and one.query.is_floating_point():
            require(
                scores.dtype == one.query.dtype,
                f"scores must have the type of the items, {one.query.dtype}, got {scores.dtype}",
            )


def claims_are_known_words(trial: Trial) -> None:
    """The learner claims what the evaluator understands.

    Finite scores always have a softmax, so a claim of log-probabilities needs no other check here; whether
    they are good ones is a question of calibration.
    """
    try:
        claims_of(trial.learner)
    except FewShotError as error:
        raise AssertionError(str(error)) from None


def the_same_call_has_the_same_answer(trial: Trial) -> None:
    """Nothing is remembered, from call to call or from one episode to another."""
    last = trial.rounds[-1]
    foreign = replace(last.support, y=(last.support.y + 1) % last.support.n_way)
    for one, first in zip(trial.rounds, trial.first, strict=True):
        require_same(trial, first, trial.scores(one.support, one.query), "adapting twice must give the same scores")
        classify = trial.adapt(one.support)
        trial.scores(foreign, last.query)
        sentence = "adapting to other episodes must not change a classifier made before"
        require_same(trial, first, classify(one.query), sentence)
        classify(one.query[:, :-1])
        require_same(trial, first, classify(one.query), "asking a classifier twice must give the same scores")


def episodes_of_a_batch_do_not_mix(trial: Trial) -> None:
    """A batch equals its episodes one by one."""
    for one, first in zip(trial.rounds, trial.first, strict=True):
        alone = [trial.scores(one.support[k : k + 1], one.query[k : k + 1]) for k in range(len(first))]
        require_same(trial, first, torch.cat(alone), "an episode must score the same alone as in a batch")


def classes_can_be_renamed(trial: Trial) -> None:
    """Column k belongs to label k, whatever the label's number."""
    if not trial.class_symmetric:
        return
    for one, first in zip(trial.rounds, trial.first, strict=True):
        n = one.support.n_way
        for new in (torch.arange(n).roll(1), torch.arange(n).flip(0)):
            renamed = trial.scores(_rename(one.support, new), one.query)
            require_same(trial, first, renamed[..., new], "renaming the classes must permute the columns of the scores")


def _rename(support: SupportSet[Any], new: Tensor) -> SupportSet[Any]:
    side = support.descriptors
    old = new.argsort()
    return replace(support, y=new[support.y], descriptors=None if side is None else side[:, old.tolist()])


def order_does_not_matter(trial: Trial) -> None:
    """Support items may come in any order; so may queries, whose rows follow them."""
    if not trial.claims.order_invariant:
        return
    for one, first in zip(trial.rounds, trial.first, strict=True):
        size, queries = one.support.y.shape[1], one.labels.shape[1]
        for order in (list(range(size))[::-1], [*range(1, size), 0][:size]):
            after = trial.scores(reordered(one, support=order).support, one.query)
            require_same(trial, first, after, "the order of the support must not change the scores")
        back = list(range(queries))[::-1]
        after = trial.scores(one.support, reordered(one, query=back).query)
        require_same(trial, first[:, back], after, "scores must follow their queries into another order")


def other_queries_matter_only_as_claimed(trial: Trial) -> None:
    """Inductive: one query alone scores the same. Transductive: it is answered or refused."""
    for one, first in zip(trial.rounds, trial.first, strict=True):
        if trial.transductive:
            _check_single_query(trial, one)
            continue
        classify = trial.adapt(one.support)
        alone = torch.cat([classify(one.query[:, k : k + 1]) for k in range(one.labels.shape[1])], 1)
        sentence = "transductive is False, so a query must score the same alone as among others"
        require_same(trial, first, alone, sentence)


def _check_single_query(trial: Trial, one: Round) -> None:
    try:
        alone = trial.scores(one.support, one.query[:, :1])
    except FewShotError:
        return
    right = tuple(alone.shape) == (len(one.query), 1, one.support.n_way) and bool(alone.isfinite().all())
    sentence = "a transductive learner must answer a single query with finite scores, or refuse it with an EpisodeError"
    require(right, sentence)


def an_absent_class_is_treated_as_declared(trial: Trial) -> None:
    """``EpisodeError``, or finite scores: never NaN, never an unwanted prototype at zero."""
    one = trial.rounds[0]
    for absent in range(one.support.n_way):
        keep = [int(k) for k in (one.support.y[0] != absent).nonzero()]
        if len(keep) == one.support.y.shape[1] or not keep:
            continue
        few = reordered(one, support=keep)
        y = torch.where(few.support.y == absent, (absent + 1) % one.support.n_way, few.support.y)
        _check_absent(trial, replace(few.support, y=y), few.query, absent)


def _check_absent(trial: Trial, support: SupportSet[Any], query: Any, absent: int) -> None:
    handled, without = trial.claims.absent_class == "handled", f"class {absent} has no support example"
    try:
        scores = trial.scores(support, query)
    except EpisodeError as error:
        require(not handled, f"absent_class is 'handled', but class {absent} without examples raised: {error}")
        return
    except Exception as error:
        raise AssertionError(f"{without}, and {type(error).__name__} was raised: {error}; {REMEDY}") from error
    require(bool(scores.isfinite().all()), f"{without}, and scores are NaN or infinite; {REMEDY}")
    require(handled, f"{without}, and no EpisodeError was raised; {REMEDY}")


def separable_classes_are_told_apart(trial: Trial) -> None:
    """Half-way from chance to perfect at least, on classes far apart."""
    if not trial.claims.learns:
        return
    for one, scores in zip(trial.rounds, trial.first, strict=True):
        least = (1 + 1 / one.support.n_way) / 2
        accuracy = float((scores.argmax(-1) == one.labels).float().mean())
        sentence = f"separable classes must be told apart: accuracy at least {least:.2f}, got {accuracy:.2f}"
        require(accuracy >= least, sentence)


ANSWERS = (
    scores_have_one_row_a_query_and_one_column_a_class,
    claims_are_known_words,
    an_absent_class_is_treated_as_declared,
    the_same_call_has_the_same_answer,
    episodes_of_a_batch_do_not_mix,
    order_does_not_matter,
    classes_can_be_renamed,
    other_queries_matter_only_as_claimed,
    separable_classes_are_told_apart,
)
