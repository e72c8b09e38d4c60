"""Containers of items: what holds rows gives them one by one, and what has no rows is refused in a sentence."""

from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from fewshot import Collection
from fewshot.datasets.formats.containers import listed
from fewshot.errors import DataError

TEXTS = ["one", "two words", "three"]


class Column:
    """A column that gives rows by number, and is no list."""

    def __len__(self):
        return 3

    def __getitem__(self, k):
        return TEXTS[k] if k < 3 else TEXTS[[][k]]

    def __iter__(self):
        return iter(TEXTS)


@pytest.mark.parametrize(
    "given",
    [
        tuple(TEXTS),
        deque(TEXTS),
        Column(),
        (text for text in TEXTS),
        dict(enumerate(TEXTS)).values(),
        dict.fromkeys(TEXTS).keys(),
        np.array(TEXTS),
        np.array(TEXTS, object)[:, None],
        np.array(TEXTS, np.dtypes.StringDType()),
        pd.Series(TEXTS),
        pd.Series(TEXTS, dtype="string", index=[7, 8, 9]),
        pd.Series(TEXTS, dtype="category"),
        pd.DataFrame({"text": TEXTS}),
        pd.Index(TEXTS),
    ],
    ids=lambda given: type(given).__name__,
)
def test_texts_in_any_container(given):
    items = listed(given)
    assert items == TEXTS
    assert Collection.from_arrays(items, [0, 1, 0]).items.tolist() == TEXTS


def test_one_item_is_a_list_of_one():
    picture = Image.new("RGB", (2, 2))
    for one in ("a text", Path("a.png"), picture):
        assert listed(one) == [one]
    assert listed(np.array("a text")) == ["a text"]


def test_numbers_stay_as_they_are():
    frame, series = pd.DataFrame({"a": [1.0, 2], "b": [3, 4]}), pd.Series([1.0, 2.0])
    for x in (frame, series, np.eye(2), torch.eye(2), np.zeros((2, 1))):
        assert listed(x) is x
    assert listed([[1, 2], [3, 4]]) == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a": "one"}, r"must have an order, got a dict; give a list, such as list\(x.values\(\)\)"),
        (set(TEXTS), r"must have an order, got a set; give a list, such as sorted\(x\)"),
        (
            pd.DataFrame({"id": ["1", "2"], "text": ["a", "b"]}),
            r"in one column, got a table of \['id', 'text'\]; choose one",
        ),
    ],
)
def test_what_has_no_rows_is_refused(given, message):
    with pytest.raises(DataError, match=message):
        listed(given)


def test_objects_that_are_numbers_become_numbers():
    x = np.random.default_rng(0).normal(size=(4, 3))
    wanted = np.column_stack([x, x[:, 0] > 0]).astype(np.float32)
    frame = pd.DataFrame(x).assign(flag=x[:, 0] > 0)
    frame.columns = frame.columns.astype(str)
    for given in (frame, np.column_stack([x, x[:, 0] > 0]).astype(object)):
        made = Collection.from_arrays(given, [0, 1, 0, 1]).items
        assert made.dtype == np.float32
        np.testing.assert_array_equal(made, wanted)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[1.0, 2.0], [1.0]], r"one shape, got \(1,\) after \(2,\) in row 1"),
        ([[1.0, 2.0], [[1.0], [2.0, 3.0]]], "one shape, got one of several lengths in row 1"),
        ([torch.zeros(2), torch.zeros(3)], r"one shape, got \(3,\) after \(2,\) in row 1"),
        (
            [Image.new("L", (2, 2))] * 2,
            r"got Image in row 0; from_torch\(list\(zip\(pictures, labels\)\), size=84\) reads pictures",
        ),
        ([Path("a.png"), Path("b.png")], "got PosixPath.* in row 0; from_torch"),
        (["a", 3], "every text must be a string, got 3 in row 1"),
        (["a", "half \ud83d"], r"every text must be whole, got half a character in 'half \\ud83d' in row 1"),
        (np.array([[1.0, None], [2.0, 3.0]], object), "numbers or texts, got None in row 0"),
        (np.array([[1.0, 1j], [2.0, 3.0]], object), "numbers or texts, got complex in row 0"),
        (np.array([[1.0, 2.0], ["a", 3.0]], object), "every text must be a string, got 1.0 in row 0"),
        (np.array([b"\xff", b"a"]), "in UTF-8, got b'.xff' in row 0"),
        (np.array(["2020-01-01", "2020-01-02"], "M8[D]"), r"numbers or texts, one row an item, got datetime64\[D\]"),
        (np.array(3.0), "every item needs one label, got 1 items"),
    ],
)
def test_items_that_are_no_array_are_refused(x, message):
    with pytest.raises(DataError, match=message):
        Collection.from_arrays(x, [0, 1])


def test_tensors_in_a_list_are_stacked():
    assert Collection.from_arrays([torch.ones(2), torch.zeros(2)], [0, 1]).items.tolist() == [[1, 1], [0, 0]]


def test_sparse_tensors_become_dense():
    assert Collection.from_arrays(torch.eye(2).to_sparse(), [0, 1]).items.tolist() == [[1, 0], [0, 1]]


def test_whole_numbers_that_float64_does_not_hold():
    with pytest.raises(DataError, match="fit into float64"):
        Collection.from_arrays(np.array([[10**400], [1]], object), [0, 1])
