"""The evaluator: a learner and a task make a record."""

import time
from typing import Any

from fewshot.evaluation.answered import How, answered, ready
from fewshot.evaluation.describe import assumptions, cut_texts, made_with
from fewshot.evaluation.required import require_learner
from fewshot.plumbing.device import placed
from fewshot.statistics.interval import check_level
from fewshot.tasks.kinds import Task

DEFAULT = How()


def evaluate_task(
    learner: Any, task: Task, how: How = DEFAULT, *, level: float = 0.95, selection: str | None = None
) -> Any:
    """Guard, embed, answer, make figures, describe: the same for every kind of task.

    Args:
        learner: Anything with ``adapt``.
        task: What is queried, with its guard and its figures.
        how: How it is computed.
        level: Of all intervals.
        selection: How the learner's options were chosen, for the record.

    Returns:
        The record of the task's kind.

    Raises:
        FewShotError: As `fewshot.evaluate`.
    """
    started = time.perf_counter()
    require_learner(learner)
    level = check_level(level)
    checked, put = task.check(learner), task.listed
    learner, place = placed(learner, how.device)
    found, told = answered(put, ready(learner, put, place, how.cache), how)
    figures = put.figures(found, level)
    notes = [*assumptions(learner), *checked.notes, *figures["notes"], *cut_texts(learner, put.items, put.queries)]
    known = {"notes": notes, "pretraining_classes": checked.seen, "selection": selection}
    fields = put.described() | made_with(place) | told | figures | known
    return put.record(found, fields | {"seconds": time.perf_counter() - started})
