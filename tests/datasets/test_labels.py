"""Labels in every form that people hold them in: read alike by collections and classifiers, or refused in a sentence."""

from decimal import Decimal
from enum import IntEnum

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fewshot import Collection
from fewshot.datasets.labels import read_labels
from fewshot.errors import DataError
from fewshot.estimator.classifier import FewShotClassifier

Colour = IntEnum("Colour", "RED GREEN")


def objects(*values):
    array = np.empty(len(values), object)
    array[:] = values
    return array


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (["a", "b"], ["a", "b"]),
        (("a", "b"), ["a", "b"]),
        ((one for one in "ab"), ["a", "b"]),
        ({"x": "a", "y": "b"}.values(), ["a", "b"]),
        (np.array(["a", "b"], np.dtypes.StringDType()), ["a", "b"]),
        (objects(10, 9), [10, 9]),
        (objects(True, False), [True, False]),
        (range(2), [0, 1]),
        ([torch.tensor(3), torch.tensor(1)], [3, 1]),
        ([np.int64(3), np.float32(1)], [3.0, 1.0]),
        (torch.tensor([3, 1], dtype=torch.uint8), [3, 1]),
        (torch.tensor([3.0, 1.0]).bfloat16(), [3.0, 1.0]),
        (np.array([[3], [1]]), [3, 1]),
        ([["a"], ["b"]], ["a", "b"]),
        ([2**70, -1], [2**70, -1]),
        ([2**63, -1], [2**63, -1]),
        ([2**53 + 1, 0.0], [2**53 + 1, 0.0]),
    ],
)
def test_labels_are_read(given, wanted):
    found = read_labels(given).tolist()
    assert found == wanted and {type(label) for label in found} <= {type(label) for label in [*wanted, 0]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a", None], "every item needs a label, got None in row 1; drop that item"),
        (["a", float("nan")], "every item needs a label, got nan in row 1"),
        ([0, float("nan")], "every item needs a label, got nan in row 1"),
        (np.ma.array([1, 2], mask=[False, True]), "every item needs a label, got None in row 1"),
        (np.array(["2026-01-01", "NaT"], "M8[D]"), "every item needs a label, got None in row 1"),
        (["a", " "], "every item needs a label, got ' ' in row 1; drop that item, or name its class"),
        (["a", 1], "labels must be all texts or all numbers, got 'a' in row 0 and 1 in row 1"),
        ([0, True], "labels must be all texts or all numbers, got 0 in row 0 and True in row 1"),
        ([["a", "b"], ["a"]], r"every item needs one label, got several in row 0: \['a', 'b'\]; keep one"),
        (["a", ["a", "b"]], r"every item needs one label, got several in row 1"),
        ([["a", "b"], ["a", "c"]], "every item needs one label, got several in row 0"),
        (np.ones((2, 3)), "every item needs one label, got several in row 0"),
        (np.eye(2), r"got shape \(2, 2\); use argmax\(1\) on one-hot rows"),
        (torch.eye(2, dtype=torch.bool), r"got shape \(2, 2\); use argmax\(1\) on one-hot rows"),
        (np.array(3), r"labels must be a vector, one an item, got shape \(\)"),
        ([0.5, 1], r"\(Unknown label type: continuous\), got the fraction 0.5 in row 0; convert them to texts"),
        ([0, float("inf")], "labels must be finite, got inf .* in row 1"),
        ([b"a", b"b"], "labels must be texts, whole numbers or truth values, got bytes in row 0; decode them to texts"),
        ([{"boxes": [1]}], "got dict in row 0; convert them to texts"),
        ([Decimal(1)], "got Decimal in row 0"),
        ([1j], "got complex in row 0"),
        ([Colour.RED], "got Colour in row 0"),
        (np.array(["2026-01-01"], "M8[D]"), "got date in row 0"),
        (["a\0", "a"], r"labels must be whole texts, got 'a\\x00' in row 0"),
        (["\ud83d"], "labels must be whole texts, got .* in row 0"),
        ("ab", "labels must be one an item, in order, got str; give a list"),
        ({1, 2}, "labels must be one an item, in order, got set"),
        ({"a": 1}, "labels must be one an item, in order, got dict"),
        (3, "labels must be one an item, got int"),
    ],
)
@pytest.mark.parametrize("read", [read_labels, lambda y: FewShotClassifier().fit(np.eye(2), y)], ids=["read", "fit"])
def test_what_is_no_label_is_refused_in_a_sentence(read, given, message):
    with pytest.raises(DataError, match=message) as caught:
        read(given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["string", "object", "category", "Int64", "boolean"])
def test_columns_of_pandas(dtype):
    pandas = pytest.importorskip("pandas")
    values = {"Int64": [10, 9, 10], "boolean": [True, False, True]}.get(dtype, ["b", "a", "b"])
    assert read_labels(pandas.Series(values, dtype=dtype)).tolist() == values
    assert read_labels(pandas.DataFrame({"label": values}, dtype=dtype)).tolist() == values
    with pytest.raises(DataError, match=r"every item needs a label, got .* in row 1"):
        read_labels(pandas.Series([values[0], None, values[2]], dtype=dtype))


@given(st.permutations(range(15)))
def test_numbers_sort_as_numbers_wherever_they_are_held(labels):
    """As texts 10 would come before 2, and what is known of the classes would land on others."""
    x, side = np.zeros((15, 1)), np.arange(15.0)
    for held in (labels, np.array(labels), objects(*labels)):
        found = Collection.from_arrays(x, held, descriptors=side)
        assert found.class_names == tuple(map(str, range(15)))
        assert found.descriptors[found.labels].tolist() == labels


def test_bytes_are_names_in_a_collection():
    names = Collection.from_arrays(np.eye(3), np.array([b"b", "ä".encode(), b"b"]))
    assert (names.class_names, names.labels.tolist()) == (("b", "ä"), [0, 1, 0])
    with pytest.raises(DataError, match="got bytes in row 0"):
        Collection.from_arrays(np.eye(1), [b"\xff"])


def test_declared_classes_and_held_out_labels_are_read_alike():
    x, y = np.eye(4), ["a", "b", "a", "b"]
    with pytest.raises(DataError, match="every item needs a label, got None in row 2"):
        FewShotClassifier().partial_fit(x, y, classes=["a", "b", None])
    with pytest.raises(DataError, match="got 'a' in row 0 and 1 in row 1"):
        FewShotClassifier().partial_fit(x, y, classes=["a", 1])
    with pytest.raises(DataError, match="labels must be all texts or all numbers, got 'a' after 0; convert them"):
        FewShotClassifier().partial_fit(x, y, classes=[0, 1])
    model = FewShotClassifier().fit(x, [0, 1, 0, 1])
    with pytest.raises(DataError, match="labels must be all texts or all numbers, got '0' after 0; convert them"):
        model.predict_set(x, 0.5, calibration=(x + 0.1, ["0", "1", "0", "1"]))


def test_a_column_of_labels_is_a_vector():
    from sklearn.exceptions import DataConversionWarning

    assert Collection.from_arrays(np.eye(3), np.array([[5], [3], [5]])).labels.tolist() == [1, 0, 1]
    with pytest.warns(DataConversionWarning, match="column-vector"):
        assert FewShotClassifier().fit(np.eye(2), np.array([["a"], ["b"]])).classes_.tolist() == ["a", "b"]


def test_one_example_of_each_of_many_classes_is_no_regression():
    names = [f"class {k}" for k in range(30)]
    assert FewShotClassifier().fit(np.eye(30), names).predict(np.eye(30)).tolist() == names
