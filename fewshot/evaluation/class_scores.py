"""Scores of all items of a split over a set of classes that descriptors name; no support, no episodes."""

from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from scipy.special import log_softmax

from fewshot.claims import claims_of
from fewshot.datasets.collection import Collection
from fewshot.episodes.without_support import without_support
from fewshot.errors import DataError
from fewshot.evaluation.answers import PROBABILITY, SCORE, eval_mode, score, support_set
from fewshot.evaluation.assemble import with_base
from fewshot.evaluation.guard import QUERIES, check_answers
from fewshot.statistics.per_class import ClassCounts
from fewshot.statistics.stacking import JointAnswers
from fewshot.tasks.parts import CALIBRATE, CHOOSE, TEST, Parts, require_apart

__all__ = [
    "CALIBRATE", "CHOOSE", "TEST", "Parts", "class_scores", "joint_answers", "known_scores", "teach", "zero_shot_counts",
]  # fmt: skip
BATCH = 4096


def teach(learner: Any, data: Collection, parts: Parts) -> Any:
    """The learner, having seen the base classes where it takes them.

    Raises:
        DataError: If the classes have no descriptors.
        LeakageError: If an unseen class is among those of the base, a seen one is not, or an item is in two parts.
    """
    if data.descriptors is None:
        raise DataError(
            f"zero-shot learning needs a descriptor of each class, got none in '{data.name}'; add descriptors="
        )
    require_apart(data, parts)
    return with_base(learner, data.split(parts.base)) if learns(learner, parts) else learner


def learns(learner: Any, parts: Parts) -> bool:
    """Whether a learner takes the base classes of these parts."""
    return bool(parts.base) and hasattr(learner, "with_base")


def class_scores(
    learner: Any, data: Collection, rows: Integer[np.ndarray, " n"], classes: Integer[np.ndarray, " way"]
) -> Float[np.ndarray, "n way"]:
    """Scores of items over classes, higher is more likely.

    Raises:
        LeakageError: If a learner that does not say so looks at other items of the call.
    """
    transductive = claims_of(learner).transductive
    step = len(rows) if transductive else BATCH
    with eval_mode(learner):
        if not transductive:
            check_answers(learner, data, without_support(rows[:QUERIES], classes), None, data, inductive=True)
        parts = [without_support(rows[start : start + step], classes) for start in range(0, len(rows), step)]
        scores = [score(learner, support_set(data, one), data.take(one.query))[0] for one in parts]
    return np.concatenate([part.cpu().double().numpy() for part in scores])


def zero_shot_counts(learner: Any, data: Collection, parts: Parts) -> ClassCounts:
    """Right answers to the items of the unseen classes, which alone compete."""
    rows = data.splits[parts.unseen]
    classes, labels = np.unique(data.labels[rows], return_inverse=True)
    right = class_scores(learner, data, rows, classes).argmax(1) == labels
    return ClassCounts.of(right, labels)


def joint_answers(learner: Any, data: Collection, parts: Parts) -> JointAnswers:
    """Answers to items of unseen and of seen classes; all classes of the base compete, also those without a held-out item."""
    rows = np.concatenate([data.rows_of(name) for name in (parts.unseen, parts.seen)])
    unseen, seen = (np.unique(data.labels[data.rows_of(name)]) for name in (parts.unseen, parts.base))
    classes = np.concatenate([unseen, seen])
    scores = class_scores(learner, data, rows, classes)
    first, second = scores[:, : len(unseen)], scores[:, len(unseen) :]
    is_seen = np.isin(data.labels[rows], seen)
    own = np.where(is_seen, seen[second.argmax(1)], unseen[first.argmax(1)])
    return JointAnswers(data.labels[rows], is_seen, own == data.labels[rows], second.max(1) - first.max(1))


def known_scores(learner: Any, data: Collection, parts: Parts) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """How known each item of the unseen classes is, and each of no class that is known here, by the measures that there are.

    The largest score, and where scores are log-probabilities the largest probability over the classes that descriptors name.
    """
    classes = np.unique(data.labels[data.splits[parts.unseen]])
    both = [class_scores(learner, data, data.rows_of(name), classes) for name in (parts.unseen, parts.open)]
    measures: dict[str, Any] = {SCORE: lambda scores: scores.max(1)}
    if claims_of(learner).scores == "log-probability":
        measures[PROBABILITY] = lambda scores: log_softmax(scores, axis=1).max(1)
    return {name: (measure(both[0]), measure(both[1])) for name, measure in measures.items()}
