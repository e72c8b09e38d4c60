"""Descriptions of classes in tables, beside data of any form."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fewshot import load_dataset
from fewshot.errors import DataError, MissingDataError

TABLE = "label,stripes,hooves\nzebra,1,1\nsnake,0.5,0\nhorse,0,1\n"


@pytest.fixture
def animals(tmp_path):
    """Features of three animals, in mixed order."""
    y = np.array(["zebra", "horse", "snake", "horse", "zebra"])
    np.savez(tmp_path / "animals.npz", x=np.random.default_rng(0).normal(size=(5, 4)), y=y)
    return tmp_path


def load(folder, table, name="table.csv"):
    (folder / name).write_text(table, encoding="utf-8")
    return load_dataset(folder / "animals.npz", descriptors=folder / name)


def test_attributes_are_matched_by_name(animals):
    data = load(animals, TABLE + "ox,0,1\n")  # classes of the table that the data do not have are passed over
    assert data.class_names == ("horse", "snake", "zebra")
    assert_array_equal(data.descriptors, np.array([[0, 1], [0.5, 0], [1, 1]], np.float32))


def test_texts_describe_classes_too(animals):
    rows = '{"label": "zebra", "text": "striped"}\n{"label": "snake", "text": "long"}\n{"label": "horse", "text": "a mount"}'
    data = load(animals, rows, "table.jsonl")
    assert data.descriptors.tolist() == ["a mount", "long", "striped"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.replace("horse", "mule"), r"every class needs a descriptor, got none for 'horse' in '.*table.csv'; add a row"),
        (TABLE + "horse,0,1\n", r"must describe each class once, got 'horse' again at line 5"),
        (TABLE.replace("0.5", "some"), r"must hold finite numbers, got 'some' for 'stripes' at line 3"),
        (TABLE.replace("0.5", "nan"), r"must hold finite numbers, got 'nan' for 'stripes' at line 3"),
        (TABLE.replace("0.5", ""), r"must have a stripes in every row, got '' at line 3; fill or drop the row"),
        ("label,text\nzebra,striped\nsnake, \nhorse,x\n", r"must have a text in every row, got ' ' at line 3"),
        ("name,text\nzebra,striped\n", r"must have the column 'label' and one of 'text' or numbers, got \['name', 'text'\]"),
        ("label\nzebra\n", r"must have the column 'label' and one of 'text' or numbers, got \['label'\]"),
        ("", r"must have the column 'label' and one of 'text' or numbers, got \[\]"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(animals, table, message):
    with pytest.raises(DataError, match=message):
        load(animals, table)


def test_an_absent_table_is_named(animals):
    with pytest.raises(MissingDataError, match="got no file; check the path"):
        load_dataset(animals / "animals.npz", descriptors=animals / "none.csv")
