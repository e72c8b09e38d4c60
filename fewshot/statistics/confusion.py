"""Accuracies of single classes and the confusion table, from stored answers."""

import numpy as np
from jaxtyping import Float, Integer

from fewshot.errors import StatisticsError


def per_class_accuracy(
    classes: Integer[np.ndarray, " class"],
    labels: Integer[np.ndarray, " query"],
    predictions: Integer[np.ndarray, " query"],
) -> Float[np.ndarray, " class"]:
    """Share of right answers among the queries of each class; NaN for a class without queries.

    Args:
        classes: The class ids to report, in that order.
        labels: True class id of each query, all episodes together.
        predictions: Predicted class id of each query.

    Raises:
        StatisticsError: As ``confusion``.
    """
    counts = confusion(classes, labels, predictions)
    asked = counts.sum(1)
    accuracy = np.full(len(asked), np.nan)
    accuracy[asked > 0] = counts.diagonal()[asked > 0] / asked[asked > 0]
    return accuracy


def confusion(
    classes: Integer[np.ndarray, " class"],
    labels: Integer[np.ndarray, " query"],
    predictions: Integer[np.ndarray, " query"],
) -> Integer[np.ndarray, "class class"]:
    """Number of queries of each true class (row) that got each answer (column).

    Raises:
        StatisticsError: If a class is listed twice, labels and predictions differ
            in length, or one of them is not in ``classes``.
    """
    order = np.argsort(classes)
    ids = np.asarray(classes)[order]
    if len(np.unique(ids)) != len(ids) or len(labels) != len(predictions):
        raise StatisticsError(
            "classes must differ and every query needs one prediction, got "
            f"{len(ids)} classes ({len(np.unique(ids))} different), {len(labels)} labels and "
            f"{len(predictions)} predictions"
        )
    strangers = np.setdiff1d(np.concatenate([labels, predictions]), ids)
    if len(strangers):
        raise StatisticsError(f"every label and prediction must be one of classes, got {strangers[0]}")
    row, column = (order[np.searchsorted(ids, x)] for x in (labels, predictions))
    n = len(ids)
    return np.bincount(row * n + column, minlength=n * n).reshape(n, n)
