"""The contract as a battery: ``check_learner(learner)`` in a test is all that a plug-in needs.

It makes small random episodes, unbalanced and shuffled, and checks what holds
for every learner whatever its formula. It cannot see a wrong formula that keeps
all symmetries: a learner needs an oracle test of its own as well.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from fewshot.contract import Learner
from fewshot.errors import FewShotError
from fewshot.evaluation.answers import eval_mode
from fewshot.evaluation.required import require_learner
from fewshot.testing.answers import ANSWERS, adapting_gives_a_function_from_queries_to_scores
from fewshot.testing.numbers import NUMBERS
from fewshot.testing.side_effects import SIDE_EFFECTS, global_state_kept
from fewshot.testing.trial import Claims, Maker, Trial

__all__ = ["check_learner"]


def check_learner(
    learner: Learner,
    *,
    class_symmetric: bool | None = None,
    order_invariant: bool = True,
    absent_class: str = "raises",
    learns: bool = True,
    numbers: bool = True,
    shots: tuple[int, ...] = (3, 1, 2),
    item_shape: tuple[int, ...] = (8,),
    side_shape: tuple[int, ...] | None = None,
    unlabelled: int = 0,
    render: Callable[[Tensor], Any] | None = None,
    dtype: torch.dtype = torch.float64,
    tolerance: float = 1e-5,
    seed: int = 0,
) -> None:
    """Check that a learner keeps the contract; takes a second or two for a quick learner.

    A copy of the learner is checked, in eval mode and without gradients, as ``evaluate`` would
    run it. A learner with ``with_base`` is given base classes first.

    Args:
        learner: What to check; it is left as it is.
        class_symmetric: Renaming the classes must permute the columns. False for random heads; left out, what the
            learner itself claims.
        order_invariant: The order of support and queries must not matter. False for learners that
            read them in sequence.
        absent_class: ``"raises"`` if a class without support examples is an ``EpisodeError``;
            ``"handled"`` if the learner answers nevertheless, with finite scores.
        learns: Separable classes must be told apart. False for a learner that must be trained first.
        numbers: The type of features (whole numbers, half precision, two types) must not change answers, and their size
            (factors from 1e-6 to 1e6, one large column, offsets to 1e5) must not mix episodes or end in an error of
            another kind than FewShotError. False for a learner that is meant for features of one type or size; learners
            on items that are no features are not concerned.
        shots: Examples of each class; zeros for a zero-shot learner. A second round has equal shots.
        item_shape: Shape of one item.
        side_shape: Shape of the descriptor of one class; items are a linear function of it, plus noise.
        unlabelled: Size of the pool without labels.
        render: Turns float items ``(e, n, *item)`` into what the learner takes, such as uint8 images or texts.
        dtype: Precision of the items, and of a copy of the learner's parameters.
        tolerance: Largest difference of two answers that must agree, relative to the largest score.
        seed: Of the random episodes.

    Raises:
        AssertionError: Which property failed, and by how much.
        FewShotError: If ``absent_class`` is none of the two words, or the learner is a class or a name.
    """
    require_learner(learner)
    if absent_class not in ("raises", "handled"):
        raise FewShotError(f"absent_class must be 'raises' or 'handled', got '{absent_class}'")
    claims = Claims(class_symmetric, order_invariant, absent_class, learns, tolerance, numbers)
    maker = Maker(item_shape, side_shape, unlabelled, render, seed)
    with global_state_kept():
        trial = Trial.prepare(learner, claims, maker, shots, dtype)
        _run(adapting_gives_a_function_from_queries_to_scores, trial)
        for check in (
            *SIDE_EFFECTS,
            *ANSWERS,
            *NUMBERS,
        ):  # traces that the first call leaves are seen only by the first check
            _run(check, trial)


def _run(check: Callable[[Trial], None], trial: Trial) -> None:
    """Run one check; any error of the learner fails it, with the property's name."""
    name = type(trial.learner).__name__
    try:
        with eval_mode(trial.learner), torch.no_grad():
            check(trial)
    except AssertionError as failure:
        raise AssertionError(f"{name}: {failure}") from failure
    except Exception as error:
        what = check.__name__.replace("_", " ")
        raise AssertionError(f"{name} raised {type(error).__name__} while checking that {what}: {error}") from error
