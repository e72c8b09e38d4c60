"""What a learner must leave alone: itself, its inputs, the random state, the graph."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jaxtyping
import numpy as np
import torch
from torch import Tensor

from fewshot.errors import NotFittedError
from fewshot.evaluation.assemble import sees_base
from fewshot.testing.answers import require, require_same
from fewshot.testing.trial import Round, Trial


def state_of(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """A frozen picture of an object and its parts that can be compared with ``==``."""
    if isinstance(value, Tensor):
        grad = state_of(value.grad, seen) if value.is_leaf else None
        return (str(value.dtype), value.requires_grad, value.detach().cpu().contiguous().numpy().tobytes(), grad)
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, repr(value.tolist()))
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, type)):
        return repr(value)
    if id(value) in seen:
        return "itself"
    seen = (*seen, id(value))
    if isinstance(value, Mapping):
        return {repr(k): state_of(v, seen) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [state_of(v, seen) for v in value]
    parts = vars(value) if hasattr(value, "__dict__") else {}
    return (type(value).__name__, id(value) if not parts else 0, state_of(parts, seen))


def _changed(before: Any, after: Any) -> str:
    """Names of the attributes that changed."""
    names = [k for k in {**before, **after} if before.get(k) != after.get(k)]
    return ", ".join(sorted(name.strip("'") for name in names))


def _attributes(learner: Any) -> dict[str, Any]:
    own = vars(learner) if hasattr(learner, "__dict__") else {}
    return {name: state_of(value) for name, value in own.items()}


def learner_and_inputs_are_left_as_they_were(trial: Trial) -> None:
    """Parameters, gradients and attributes of the learner stay; no in-place arithmetic on the caller's arrays."""
    one = trial.rounds[0]
    learner, inputs = _attributes(trial.learner), _inputs(one)
    trial.scores(one.support, one.query)
    changed = _changed(learner, _attributes(trial.learner))
    require(not changed, f"adapt must leave the learner as it was, but these changed: {changed}")
    changed = _changed(inputs, _inputs(one))
    require(not changed, f"the caller's arrays must stay as they were, but these changed: {changed}")


def _inputs(one: Round) -> dict[str, Any]:
    return {name: state_of(value) for name, value in {**vars(one.support), "query": one.query}.items()}


def _global_states() -> dict[str, Any]:
    return {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "random": random.getstate()}  # noqa: NPY002


@contextmanager
def global_state_kept() -> Iterator[None]:
    """The global random states of torch, NumPy and Python are the caller's again afterwards."""
    was = _global_states()
    try:
        yield
    finally:
        torch.set_rng_state(was["torch"])
        np.random.set_state(was["numpy"])  # noqa: NPY002
        random.setstate(was["random"])


def global_random_state_is_untouched(trial: Trial) -> None:
    """Randomness comes from the episode's seed; and the answer does not hang on the global state."""
    answers = []
    for number in (20240229, 65537):  # two states that no learner sets by chance
        torch.manual_seed(number)
        np.random.seed(number)  # noqa: NPY002
        random.seed(number)
        with _no_shape_checks():
            before = _global_states()
            answers.append(trial.scores(trial.rounds[0].support, trial.rounds[0].query))
            after = _global_states()
        changed = _changed(*({k: state_of(v) for k, v in states.items()} for states in (before, after)))
        require(
            not changed, f"the global random state must stay untouched, but changed: {changed}; use support.generator()"
        )
    require_same(trial, answers[0], answers[1], "the global random state must not change the scores")


@contextmanager
def _no_shape_checks() -> Iterator[None]:
    """No jaxtyping while it lasts: beartype draws from Python's generator to choose what it checks."""
    was = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", was)


def scores_carry_no_graph_under_no_grad(trial: Trial) -> None:
    """A learner that opens gradients for itself closes them again and detaches what it returns."""
    one = trial.rounds[0]
    scores = trial.scores(one.support, one.query)
    require(not scores.requires_grad, "under no_grad scores must carry no graph, but they require a gradient")
    require(not torch.is_grad_enabled(), "gradients must be off again after the call, as they were before")


def seeing_base_classes_makes_a_new_learner(trial: Trial) -> None:
    """``with_base`` returns another learner; the old one stays as it was, in state and answers."""
    old, base = trial.fresh
    if not sees_base(old):
        return
    before, answer = _attributes(old), _try(old, trial.rounds[0])
    new = old.with_base(base)
    require(new is not old, "with_base must return a new learner, got the old one")
    changed = _changed(before, _attributes(old))
    require(not changed, f"with_base must leave the old learner as it was, but these changed: {changed}")
    again = _try(old, trial.rounds[0])
    require((answer is None) == (again is None), "with_base must not make the old learner fitted or unfitted")
    if answer is not None and again is not None:
        require_same(trial, answer, again, "with_base must not change the answers of the old learner")


def _try(learner: Any, one: Round) -> Tensor | None:
    """Scores, or nothing if the learner must see base classes first."""
    try:
        return learner.adapt(one.support)(one.query)  # type: ignore[no-any-return]
    except NotFittedError:
        return None


SIDE_EFFECTS = (
    learner_and_inputs_are_left_as_they_were,
    global_random_state_is_untouched,
    scores_carry_no_graph_under_no_grad,
    seeing_base_classes_makes_a_new_learner,
)
