"""The figures of a record, from the answers of its episodes."""

from typing import Any

import numpy as np

from fewshot.errors import StatisticsError
from fewshot.results.answers import Answers
from fewshot.results.calibration import expected_calibration_error
from fewshot.results.interval import Interval
from fewshot.results.new_classes import class_interval
from fewshot.results.record import IntervalInfo, Summary
from fewshot.results.statistics import closed_interval, fifth_percentile, open_interval

LEAST_DISJOINT = 30


def summarize(answers: Answers, level: float = 0.95) -> Summary:
    """Mean accuracy over the episodes with the interval for these episodes' images."""
    correct, queries = answers.correct, answers.queries
    interval = closed_interval(correct, queries, len(np.unique(answers.rows)), level)
    right = answers.true == answers.predicted
    return Summary(
        accuracy=interval.estimate,
        fifth_percentile=fifth_percentile(correct / queries),
        calibration_error=None if answers.confidence is None else expected_calibration_error(answers.confidence, right),
        **_fields(interval),
    )


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
    return [IntervalInfo(**_fields(interval)) for interval in intervals], notes


def open_note(episodes: int) -> str | None:
    """Why an interval for new images cannot be given, or nothing where it can."""
    if episodes >= LEAST_DISJOINT:
        return None
    return f"interval for new images: not given, the items allow {episodes} disjoint episodes and it needs {LEAST_DISJOINT}"


def _fields(interval: Interval) -> dict[str, Any]:
    return {
        "low": interval.low,
        "high": interval.high,
        "level": interval.level,
        "interval": interval.method,
        "estimand": interval.estimand,
        "count": interval.count,
    }
