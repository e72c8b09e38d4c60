"""Per-class accuracy and confusion against scikit-learn, with ids that are no row numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics

from fewshot.errors import StatisticsError
from fewshot.statistics.confusion import confusion, per_class_accuracy

IDS = np.array([40, 7, 19, -3])
ANSWERS = st.lists(st.tuples(st.sampled_from([40, 7, 19]), st.sampled_from(IDS.tolist())), min_size=1)


@given(ANSWERS)
def test_confusion_is_scikit_learns(answers):
    labels, predictions = np.array(answers).T
    table = confusion(IDS, labels, predictions)
    assert_array_equal(table, metrics.confusion_matrix(labels, predictions, labels=IDS))
    accuracy = per_class_accuracy(IDS, labels, predictions)
    assert np.isnan(accuracy[3])  # never asked: not measured, which is not 0
    asked = np.isin(IDS, labels)
    recall = metrics.recall_score(labels, predictions, labels=IDS[asked], average=None)
    assert_allclose(accuracy[asked], recall)


def test_rows_are_truth_and_columns_answers():
    labels, predictions = np.array([40, 40, 40, 7]), np.array([40, 7, 7, 7])
    assert_array_equal(confusion(np.array([40, 7]), labels, predictions), [[1, 2], [0, 1]])
    assert_allclose(per_class_accuracy(np.array([40, 7]), labels, predictions), [1 / 3, 1])
    precision = [1, 1 / 3]  # the planted mistake: columns summed instead of rows
    with pytest.raises(AssertionError):
        assert_allclose(per_class_accuracy(np.array([40, 7]), labels, predictions), precision)


@pytest.mark.parametrize(
    ("classes", "labels", "predictions", "message"),
    [
        ([1, 1], [1], [1], "got 2 classes .1 different."),
        ([1, 2], [1, 2], [1], "2 labels and 1 predictions"),
        ([1, 2], [1], [3], "one of classes, got 3"),
        ([1, 2], [0], [1], "one of classes, got 0"),
    ],
)
def test_stray_answers_are_refused(classes, labels, predictions, message, no_shape_hook):
    with pytest.raises(StatisticsError, match=message):
        confusion(np.array(classes), np.array(labels), np.array(predictions))
