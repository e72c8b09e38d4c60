"""Rows of tables: every cell comes in whole, or the line is named."""

import csv

import pytest

from fewshot import load_dataset
from fewshot.datasets.formats.table_rows import table_rows
from fewshot.datasets.unlabelled import load_items
from fewshot.errors import DataError


@pytest.fixture
def put(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


WANTED = [("I lost my card, please block it", "card"), ("show my balance", "money")]


def pairs(collection):
    return list(zip(collection.items.tolist(), [collection.class_names[k] for k in collection.labels], strict=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'text,label\n"I lost my card, please block it",card\nshow my balance,money\n'),
        ("a.csv", 'label, text\ncard, "I lost my card, please block it"\nmoney, show my balance\n'),
        ("a.csv", "text;label\nI lost my card, please block it;card\nshow my balance;money\n"),
        ("a.csv", "text\tlabel\r\nI lost my card, please block it\tcard\r\nshow my balance\tmoney\r\n"),
        ("a.csv", "text|label\nI lost my card, please block it|card\n\nshow my balance|money"),
        ("a.tsv", "label\ttext\ncard\tI lost my card, please block it\nmoney\tshow my balance\n"),
        ("a.csv", "\ufefftext;label\nI lost my card, please block it;card\nshow my balance;money\n"),
        ("a.csv", 'text,label,,\n"I lost my card, please block it",card,,\nshow my balance,money,,\n'),
        (
            "a.jsonl",
            '\ufeff{"text": "I lost my card, please block it", "label": "card"}\r\n{"label": "money", "text": "show my balance"}',
        ),
    ],
)
def test_delimiters_and_marks(put, name, content):
    assert pairs(load_dataset(put(name, content))) == WANTED


@pytest.mark.parametrize("delimiter", [";", "semicolon"])
def test_names_of_columns_and_a_delimiter(put, delimiter):
    path = put(
        "a.csv", "a question, perhaps;intent, if known\nI lost my card, please block it;card\nshow my balance;money\n"
    )
    options = {"text": "a question, perhaps", "label": "intent, if known"}
    assert pairs(load_dataset(path, delimiter=delimiter, **options)) == WANTED
    assert load_items(path, delimiter=delimiter, text=options["text"]).items.tolist() == [text for text, _ in WANTED]
    for given, message in (("", "one character or one of comma"), ('"', "one character"), ("||", "one character")):
        with pytest.raises(DataError, match=message):
            load_dataset(path, delimiter=given)


def test_the_error_names_the_columns(put):
    path = put("a.csv", "question;intent\na;b\n")
    with pytest.raises(
        DataError,
        match=r"got \['question', 'intent'\]; rename them, or name yours with text=, image=, label= \(--data-option\)",
    ):
        load_dataset(path)
    with pytest.raises(
        DataError, match=r"the columns 'label' and one of 'question' and 'path', got \['question', 'intent'\]"
    ):
        load_dataset(path, text="question")


def test_a_column_that_is_named_wins_over_a_usual_name(put):
    path = put("a.csv", "text,answer,label\nfirst,second,a\n")
    assert load_dataset(path, text="answer").items.tolist() == ["second"]
    assert load_items(put("b.csv", "path,words\na.png,hello\n"), text="words").items.tolist() == ["hello"]


def test_a_table_of_one_column_has_no_delimiter(put):
    path = put("a.csv", 'text\nHello, somebody took my card; help | now\n"two\nlines"\n5" nails\n')
    assert load_items(path).items.tolist() == ["Hello, somebody took my card; help | now", "two\nlines", '5" nails']


def test_long_cells_and_the_limit_of_the_process(put):
    before = csv.field_size_limit()
    assert [len(text) for text in load_items(put("a.csv", "text\n" + "a" * 140_000 + "\n")).items] == [140_000]
    with pytest.raises(DataError):
        load_items(put("b.csv", 'text\n"open\n'))
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            "label,text\na,b\ncard,I lost my card, please\n",
            "2 cells in every row, got 3 at line 3; put quotes",
        ),
        ("a.csv", 'label,text\na,b\nc,"open\nd,e\nf,g\n', "quotes close at the end of a cell, got from line 3 on"),
        ("a.csv", 'label,text\nc,"open\nd,"e"\nf,g\n', "got from line 2 on: .*expected after"),
        ("a.csv", "label,text,text\na,b,c\n", r"each column once, got 'text' twice in \['label', 'text', 'text'\]"),
        ("a.csv", "label,text, text \na,b,c\n", "got 'text' twice"),
        ("a.csv", b"label,text\na,b\nc,\xff\n", "text in UTF-8, got at line 3"),
        ("a.csv", "label,text\na,b\nc\n", "must have a text in every row, got '' at line 3"),
        ("a.jsonl", '{"label": "a", "text": "b"}\n{}\n', "one JSON object with keys a line, got none in {} at line 2"),
        ("a.jsonl", '{"label": "a", "text": "b"}\n[1]\n', "got list at line 2"),
        ("a.jsonl", '{"label": "a", "text": "b", "text": "c"}\n', "at line 1: the key 'text' twice"),
        ("a.jsonl", '{"label": "a", "text": NaN}\n', "must have a text in every row, got nan at line 1"),
        ("a.jsonl", '\n{"label": -Infinity, "text": "a"}\n', "must have a label in every row, got -inf at line 2"),
        (
            "a.jsonl",
            '{"label": "a", "text": "half \\ud83d"}\n',
            "whole characters, got half of one at line 1 in 'text'",
        ),
        ("a.jsonl", "[" * 100_000 + "\n", "one JSON object a line, got at line 1"),
    ],
)
def test_what_is_not_whole_is_named(put, name, content, message):
    with pytest.raises(DataError, match=message):
        load_dataset(put(name, content))


def test_jsonl_has_no_delimiter(put):
    with pytest.raises(DataError, match=r"must be left out for .jsonl, got ';'"):
        load_dataset(put("a.jsonl", '{"label": "a", "text": "b"}\n'), delimiter=";")


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x85"])
def test_marks_inside_a_line_do_not_end_it(put, mark):
    line = f"somebody took my card{mark}please help"
    assert load_items(put("a.txt", f"{line}\r\nwhat is my balance\rlast\n")).items.tolist() == [
        line,
        "what is my balance",
        "last",
    ]
    assert load_items(put("a.csv", f"text\n{line}\n")).items.tolist() == [line]


def test_descriptors_need_names_and_whole_rows(put):
    table = put("a.csv", "label,text\na,x\nb,y\n")
    for content, message in (
        ("label,size,legs\na,1.5,4\nb,2,5,2\n", "3 cells in every row, got 4 at line 3"),
        (",label,size\n0,a,1\n1,b,2\n", "must name every column"),
        ("label;size\na;1,5\nb;2\n", "finite numbers, got '1,5' for 'size' at line 2"),
    ):
        with pytest.raises(DataError, match=message):
            load_dataset(table, descriptors=put("d.csv", content))
    assert load_dataset(table, descriptors=put("d.tsv", "label\tsize\na\t1.5\nb\t2\n")).descriptors.tolist() == [
        [1.5],
        [2],
    ]


def test_line_numbers_are_those_of_the_last_line_of_a_row(put):
    assert [number for number, _ in table_rows(put("a.csv", 'text,n\n"a\nb",1\n\nc,2\n'))] == [3, 5]
