"""What the scores need of their rows."""

import numpy as np
from jaxtyping import Float, Integer

from fewshot.errors import StatisticsError
from fewshot.statistics.choosing.checks import finite


def class_places(labels: np.ndarray, rows: int) -> Integer[np.ndarray, " rows"]:
    """The labels as places from 0, each of which occurs.

    Raises:
        StatisticsError: If they are not one a row, or of fewer than two classes.
    """
    labels = np.asarray(labels)
    if labels.shape != (rows,):
        raise StatisticsError(f"labels must be one for each of {rows} rows, got shape {labels.shape}")
    found, places = np.unique(labels, return_inverse=True)
    if len(found) < 2:
        raise StatisticsError(f"a task needs two classes or more, got {len(found)}; there is nothing to tell apart")
    return places


def labelled_rows(
    features: np.ndarray, labels: np.ndarray
) -> tuple[Float[np.ndarray, "rows dim"], Integer[np.ndarray, " rows"]]:
    """Finite features in float64, and a class place for each row.

    Raises:
        StatisticsError: If they are not.
    """
    features = finite("features", features, 2, 2)
    return features, class_places(labels, len(features))


def class_means(features: np.ndarray, places: np.ndarray) -> Float[np.ndarray, "n_way dim"]:
    """Mean of the rows of each class."""
    sums = np.zeros((places.max() + 1, features.shape[1]))
    np.add.at(sums, places, features)
    means: np.ndarray = sums / np.bincount(places)[:, None]
    return means
