import csv
import json

import pytest
from PIL import Image

from fewshot.datasets.tables import load_table
from fewshot.errors import DataError, MissingDataError

TEXTS = ['say "hi", twice', "two\nlines", "grüße, 東京", "plain"]
LABELS = ["b", "a", "b", "7"]


def write_csv(path, rows, header=("text", "label"), encoding="utf-8"):
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file).writerows([header, *rows])
    return path


def write_jsonl(path, rows):
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")
    return path


def check_texts(collection):
    assert collection.items.tolist() == TEXTS
    assert [collection.class_names[k] for k in collection.labels] == LABELS
    assert collection.class_names == ("7", "a", "b")
    assert collection.name == "talk"


def test_texts_from_csv(tmp_path):
    check_texts(load_table(write_csv(tmp_path / "talk.csv", zip(TEXTS, LABELS, strict=True))))


def test_texts_from_a_spreadsheet_with_more_columns(tmp_path):
    rows = [(i, label, text) for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))]
    check_texts(load_table(write_csv(tmp_path / "talk.csv", rows, ("id", "label", "text"), "utf-8-sig")))


def test_texts_from_jsonl(tmp_path):
    rows = [{"text": t, "label": 7 if y == "7" else y} for t, y in zip(TEXTS, LABELS, strict=True)]
    check_texts(load_table(write_jsonl(tmp_path / "talk.jsonl", rows)))


def test_splits(tmp_path):
    rows = [(t, y, s) for t, y, s in zip(TEXTS, LABELS, ["train", "test", "train", ""], strict=True)]
    talk = load_table(write_csv(tmp_path / "talk.csv", rows, ("text", "label", "split")))
    assert {name: part.tolist() for name, part in talk.splits.items()} == {"train": [0, 2], "test": [1]}
    assert talk.split("train").class_names == ("b",)


def test_items_are_named_by_line(tmp_path):
    talk = load_table(write_csv(tmp_path / "talk.csv", zip(TEXTS, LABELS, strict=True)))
    assert talk.item_names == ["line 2", "line 4", "line 5", "line 6"]  # the second text has two lines


def test_images_beside_the_table(tmp_path, own_cache):
    (tmp_path / "img").mkdir()
    for value in (10, 20, 30):
        Image.new("L", (9, 7), value).save(tmp_path / "img" / f"{value}.png")
    table = write_csv(tmp_path / "zoo.csv", [("img/30.png", "emu"), ("img/10.png", "cat")], ("path", "label"))
    zoo = load_table(table, size=5)
    assert zoo.items[:, :, 2, 2].tolist() == [[30] * 3, [10] * 3]
    assert zoo.item_names == ["img/30.png", "img/10.png"]
    assert (zoo.class_names, zoo.labels.tolist()) == (("cat", "emu"), [1, 0])
    (tmp_path / "img" / "10.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"10\.png' must be a whole image file"):
        load_table(table, size=5)
    (tmp_path / "img" / "10.png").unlink()
    with pytest.raises(MissingDataError, match=r"must name images beside it, got 'img/10\.png' at line 3"):
        load_table(table, size=5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"must have a row for each item, got none"),
        (b"text,label\n", "must have a row for each item, got none"),
        (
            b"text,category\nhi,a\n",
            r"must have the columns 'label' and one of 'text' and 'path', got \['text', 'category'\]",
        ),
        (b"text,path,label\nhi,x.png,a\n", r"one of 'text' and 'path', got \['text', 'path', 'label'\]; rename"),
        (b"text,label\nhi,a\nho,\n", "must have a label in every row, got '' at line 3; fill or drop"),
        (b"text,label\nhi\n", "must have a label in every row, got None at line 2"),
        (b"text,label\n  ,a\n", "must have a text in every row, got '  ' at line 2"),
        ("text,label\ngrün,a\n".encode("latin-1"), "must be a table in UTF-8, got at line"),
    ],
)
def test_bad_csv(tmp_path, content, message):
    path = tmp_path / "talk.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"talk\.csv' .*{message}"):
        load_table(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"text": "hi", "label": 1}\n{"text": ', r"must have one JSON object a line in UTF-8, got at line 2: "),
        ('{"text": "hi", "label": 1}\n\n[1]\n', "must have one JSON object a line, got list at line 3"),
        ('{"text": "hi", "label": null}', "must have a label in every row, got None at line 1"),
        ('{"text": "hi", "label": ["a"]}', r"must have a label in every row, got \['a'\] at line 1"),
        ('{"text": "hi", "label": 1}\n{"txt": "ho", "label": 1}', "must have a text in every row, got None at line 2"),
    ],
)
def test_bad_jsonl(tmp_path, content, message):
    path = tmp_path / "talk.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=rf"talk\.jsonl' {message}"):
        load_table(path)


def test_no_file(tmp_path):
    with pytest.raises(MissingDataError, match="must be a table with 'label' and 'text' or 'path', got no file"):
        load_table(tmp_path / "talk.csv")
