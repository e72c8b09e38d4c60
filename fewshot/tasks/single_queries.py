"""The answers to one episode, query by query."""

import numpy as np

from fewshot.records.answers import Answers


def one_query_each(answers: Answers) -> Answers:
    """One episode as many with a single query each, by row, so that two learners are paired item by item."""
    order, n, way = np.argsort(answers.rows), len(answers.rows), len(answers.classes)
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
