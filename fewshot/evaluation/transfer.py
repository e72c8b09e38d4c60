"""Transfer between domains, evaluated: queries of the target, answered by what a learner makes of the source."""

import time
from typing import Any

import numpy as np
import torch

from fewshot.claims import claims_of
from fewshot.contract import Learner
from fewshot.errors import EpisodeError
from fewshot.evaluation.answers import eval_mode
from fewshot.evaluation.collect import Report, answer
from fewshot.evaluation.describe import assumptions, cut_texts, describe
from fewshot.evaluation.embedded import embedded
from fewshot.evaluation.guard import check_answers, check_items_alone, is_fixed
from fewshot.evaluation.required import require_learner
from fewshot.records.answers import Answers
from fewshot.records.record import NEWEST, Record, Summary
from fewshot.records.summary import interval_fields
from fewshot.statistics.calibration import expected_calibration_error
from fewshot.statistics.interval import DRAWS, OPEN, check_level
from fewshot.statistics.mean_accuracy import fifth_percentile, fraction_interval
from fewshot.tasks.transfer import Transfer

ONE_SOURCE = "interval: over items of the target, for these source items; other source items would move it too"


def evaluate_transfer(
    learner: Learner,
    task: Transfer,
    *,
    keep_scores: bool = False,
    cache: bool = True,
    level: float = 0.95,
    report: Report = lambda done, count: None,
) -> Record:
    """Accuracy of a learner on the queries of the target.

    With one draw of the source, the unit is an item of the target: ``record.correct`` has a 0 or 1 for each of them,
    in the order of the target's rows, and `fewshot.compare` pairs two learners item by item. With several draws, the
    unit is a draw.

    Args:
        learner: Adapts to the source, and to a pool or to its queries without labels.
        task: Which domains, which protocol.
        keep_scores: Keep every score in the answers.
        cache: Whether features may be read from, and written to, the cache folder.
        level: Of the interval.
        report: Told after every draw how many are done, and how many there are.

    Raises:
        LeakageError: If a queried item, or an equal one, is among what the learner sees, or a claim does not hold.
        EpisodeError: If all of the target is queried one by one, and the learner needs a pool.
    """
    started = time.perf_counter()
    require_learner(learner)
    check_level(level)
    notes = task.check(learner)
    count = len(task.episodes)
    with eval_mode(learner):
        head, items = _guarded(learner, task, cache)
        answers = answer(head, items, items, task.episodes, count, 1, keep_scores, report)
    answers = answers if count > 1 else _item_by_item(answers)
    correct, queries = answers.correct, int(answers.queries[0])
    described = describe(learner, task.items, task.episodes, count, task.seed) | {"schema_": NEWEST}
    episodes = described["episodes"].model_copy(
        update={
            "count": len(correct),
            "query": 1 if count == 1 else queries,
            "query_distribution": "all of the target" if task.protocol == "transductive" else "the target's test part",
            "shot": task.per_class or len(task.source) // len(task.source.class_names),
            "spec": task.spec(),
        }
    )
    return Record(
        **described | {"episodes": episodes},
        correct=correct.tolist(),
        queries=queries,
        summary=_summary(answers, correct, queries, level),
        notes=[*assumptions(learner), *notes, *([ONE_SOURCE] if count == 1 else []), *cut_texts(learner, task.items)],
        seconds=time.perf_counter() - started,
    ).with_answers(answers)


def _guarded(learner: Any, task: Transfer, cache: bool) -> tuple[Any, Any]:
    """What answers, with the items that it takes; its claim to be inductive is checked."""
    inductive = not claims_of(learner).transductive
    first = task.episodes.batch(0, 1)
    backbone = getattr(learner, "backbone", None)
    if inductive and backbone is not None and is_fixed(backbone):
        check_items_alone(backbone, task.items, first)
    head, items = embedded(learner, task.items, cache)
    if not len(first.query[0]):
        raise EpisodeError(f"an evaluation needs queries, got an empty test part of '{task.target.name}'")
    with torch.no_grad():
        check_answers(head, items, first, task.episodes.seeds(first.index), items, inductive)
    return head, items


def _item_by_item(answers: Answers) -> Answers:
    """One draw as a list of single queries, in the order of the target's rows."""
    order, n = np.argsort(answers.rows), len(answers.rows)
    way = len(answers.classes)
    scores, sure = answers.scores, answers.confidence
    return Answers(
        starts=np.arange(n + 1),
        true=answers.true[order],
        predicted=answers.predicted[order],
        class_starts=np.arange(n + 1) * way,
        classes=np.tile(answers.classes, n),
        rows=answers.rows[order],
        confidence=None if sure is None else sure[order],
        scores=None if scores is None else scores.reshape(n, way)[order].ravel(),
    )


def _summary(answers: Answers, correct: np.ndarray, queries: int, level: float) -> Summary:
    interval = fraction_interval(
        correct / queries, level, OPEN if queries == 1 else DRAWS, len(np.unique(answers.rows))
    )
    sure = answers.confidence
    return Summary(
        accuracy=interval.estimate,
        fifth_percentile=fifth_percentile(correct / queries),
        calibration_error=None if sure is None else expected_calibration_error(sure, answers.true == answers.predicted),
        **interval_fields(interval),
    )
