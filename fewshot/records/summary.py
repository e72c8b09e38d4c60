"""The figures of a record, from the answers of its episodes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fewshot.errors import StatisticsError
from fewshot.records.answers import Answers
from fewshot.records.record import IntervalInfo, MeanInfo, OpenSetInfo, Summary
from fewshot.statistics.calibration import expected_calibration_error
from fewshot.statistics.interval import CLOSED, DRAWS, Estimand, Interval
from fewshot.statistics.mean_accuracy import episode_accuracies, fifth_percentile, fraction_interval, open_interval
from fewshot.statistics.new_classes import class_interval
from fewshot.statistics.open_set import auroc, fpr_at_tpr

LEAST_DISJOINT = 30


def summarize(answers: Answers, level: float = 0.95, estimand: Estimand | None = None) -> Summary:
    """Mean accuracy over the episodes with its interval.

    Queries of open classes have no right answer and do not count.

    Args:
        answers: To all queries.
        level: Of the interval.
        estimand: What the interval speaks of; when left out new draws of the examples, where all episodes have the same
            queries, and else these episodes' images.
    """
    correct, queries, known = answers.correct, answers.queries, answers.is_known
    if estimand is None:
        estimand = DRAWS if answers.asks_the_same() else CLOSED
    interval = fraction_interval(
        episode_accuracies(correct, queries), level, estimand, len(np.unique(answers.rows[known]))
    )
    right = (answers.true == answers.predicted)[known]
    confidence = None if answers.confidence is None else answers.confidence[known]
    return Summary(
        accuracy=interval.estimate,
        fifth_percentile=fifth_percentile(correct / queries),
        calibration_error=None if confidence is None else expected_calibration_error(confidence, right),
        **interval_fields(interval),
    )


def summarize_open_set(answers: Answers, level: float = 0.95) -> list[OpenSetInfo]:
    """AUROC and FPR95 by each measure of the answers: means of the episodes' own values, with intervals.

    Episodes without queries of open classes are left out; without any such episode the list is empty.

    Raises:
        StatisticsError: If only one episode has queries of open classes.
    """
    if answers.known is None or answers.known_by is None:
        return []
    known = answers.is_known
    parts = [slice(a, b) for a, b in zip(answers.starts[:-1], answers.starts[1:], strict=True)]
    parts = [part for part in parts if not known[part].all()]

    def mean(figure: Callable[[Any, Any], float], values: np.ndarray, distinct: int) -> MeanInfo:
        each = [figure(values[part][known[part]], values[part][~known[part]]) for part in parts]
        interval = fraction_interval(np.array(each), level, CLOSED, distinct)
        return MeanInfo(mean=interval.estimate, **interval_fields(interval))

    # where every episode is perfect, the evidence is pairs that share no query (AUROC), or open queries (FPR95)
    asked, opened = (len(np.unique(answers.rows[mask])) for mask in (known, ~known))
    measures = zip(answers.known_by.tolist(), answers.known.T, strict=True) if parts else ()
    return [
        OpenSetInfo(
            known_by=name, auroc=mean(auroc, values, min(asked, opened)), fpr95=mean(fpr_at_tpr, values, opened)
        )
        for name, values in measures
    ]


def further_intervals(answers: Answers, disjoint: Answers | None, level: float) -> tuple[list[IntervalInfo], list[str]]:
    """Intervals for new images (from disjoint episodes) and for new classes, or notes why not."""
    intervals, notes = [], []
    if disjoint is not None:
        intervals.append(open_interval(disjoint.correct, disjoint.queries, level))
    classes = answers.episode_classes()
    try:
        if classes is None:
            raise StatisticsError("episodes differ in way")
        intervals.append(class_interval(answers.correct / answers.queries, classes, level))
    except StatisticsError as error:
        notes.append(f"interval for new classes: not given, {error}")
    return [IntervalInfo(**interval_fields(interval)) for interval in intervals], notes


def open_note(episodes: int) -> str | None:
    """Why an interval for new images cannot be given, or nothing where it can."""
    if episodes >= LEAST_DISJOINT:
        return None
    return f"interval for new images: not given, the items allow {episodes} disjoint episodes and it needs {LEAST_DISJOINT}"


def interval_fields(interval: Interval) -> dict[str, Any]:
    """An interval as a record holds it, field by field."""
    return {
        "low": interval.low,
        "high": interval.high,
        "level": interval.level,
        "interval": interval.method,
        "estimand": interval.estimand,
        "count": interval.count,
    }
