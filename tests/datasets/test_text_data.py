"""BANKING77, CLINC150, FewRel, and data sets that Hugging Face's library has saved."""

import json

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from fewshot import load_dataset
from fewshot.datasets.named.fewrel import sentence
from fewshot.errors import DataError, MissingDataError


def test_banking77_has_its_published_parts(data_root):
    data_root("banking77")
    data = load_dataset("banking77")
    assert {part: len(rows) for part, rows in data.splits.items()} == {"train": 10003, "test": 3080}
    assert set(data.split("train").class_names) == set(data.split("test").class_names) == set(data.class_names)
    assert np.bincount(data.split("test").labels).tolist() == [40] * 77
    row = data.splits["test"][0]
    assert data.items[row] == "How do I locate my card?" and data.class_names[data.labels[row]] == "card_arrival"
    assert data.descriptors[data.class_names.index("Refund_not_showing_up")] == "Refund not showing up"


def test_clinc150_keeps_requests_without_an_intent_apart(data_root):
    data_root("clinc150")
    data = load_dataset("clinc150")
    assert {part: len(rows) for part, rows in data.splits.items()} == {
        "train": 15000, "val": 3000, "test": 4500, "train-open": 100, "val-open": 100, "test-open": 1000,
    }  # fmt: skip
    for part, each in (("train", 100), ("val", 20), ("test", 30)):
        assert np.bincount(data.split(part).labels).tolist() == [each] * 150
        assert "oos" not in data.split(part).class_names
    assert data.split("test-open").class_names == ("oos",)
    assert len(np.unique(data.groups)) == 11
    domain = [
        data.class_names[c] for c in np.flatnonzero(data.groups == data.groups[data.class_names.index("tire_change")])
    ]
    assert len(domain) == 15 and "gas_type" in domain
    assert data.descriptors[data.class_names.index("what_can_i_ask_you")] == "what can i ask you"


@pytest.mark.parametrize(("domain", "relations", "each"), [("wiki", 16, 700), ("pubmed", 10, 100)])
def test_fewrel_has_its_public_relations(data_root, domain, relations, each):
    data_root("fewrel")
    data = load_dataset("fewrel", domain=domain)
    assert np.bincount(data.labels).tolist() == [each] * relations and not data.splits
    described = dict(zip(data.class_names, data.descriptors.tolist(), strict=True))
    assert described.get("P412", "voice type").startswith("voice type")
    assert described.get("occurs_in", "occurs in") == "occurs in"


def test_entities_of_a_sentence_in_every_form():
    row = {
        "tokens": ["The", "Mississippi", "River", "passes", "the", "Cape", "Girardeau", "Bridge", "."],
        "h": ["cape girardeau bridge", "Q1", [[5, 6, 7]]],
        "t": ["mississippi river", "Q2", [[1, 2]]],
    }
    assert sentence(row, "plain") == "The Mississippi River passes the Cape Girardeau Bridge ."
    assert sentence(row, "marked") == "The [Mississippi River] passes the [head Cape Girardeau Bridge] ."
    assert sentence(row, "asked") == f"{sentence(row, 'plain')} Cape Girardeau Bridge … Mississippi River"
    assert row["tokens"][1] == "Mississippi"


def test_damaged_or_absent_files_are_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    for name in ("banking77", "clinc150", "fewrel"):
        (tmp_path / name).mkdir()
        with pytest.raises(MissingDataError, match=r"train.csv|data_full.json|val_wiki.json"):
            load_dataset(name)
    (tmp_path / "banking77" / "train.csv").write_text("text,category\nhello,greeting\n")
    with pytest.raises(DataError, match=r"must have the published 10003 questions, got 1; fetch it again"):
        load_dataset("banking77")
    (tmp_path / "clinc150" / "data_full.json").write_text(json.dumps({"train": [["hi", "greeting"]]}))
    with pytest.raises(DataError, match=r"must have 15000 requests in 'train', got 1; fetch it again"):
        load_dataset("clinc150")
    (tmp_path / "fewrel" / "val_wiki.json").write_text("{")
    with pytest.raises(DataError, match=r"must be JSON in UTF-8, got:? .*; fetch it again"):
        load_dataset("fewrel")
    with pytest.raises(DataError, match=r"entities one of marked, asked, plain, got 'wiki' and 'bold'"):
        load_dataset("fewrel", entities="bold")


COLUMNS = Features({"text": Value("string"), "label": ClassLabel(names=["money", "card"])})


def saved(folder, rows, features=COLUMNS):
    parts = {part: Dataset.from_dict(of, features=features) for part, of in rows.items()}
    made = DatasetDict(parts) if len(parts) > 1 else next(iter(parts.values()))
    made.save_to_disk(folder, num_proc=None)
    return folder


def test_parts_of_a_saved_dataset_become_splits_and_numbers_names(tmp_path):
    rows = {"train": {"text": ["my card", "cash"], "label": [1, 0]}, "test": {"text": ["a coin"], "label": [0]}}
    data = load_dataset(saved(tmp_path / "saved", rows))
    assert data.name == "saved" and data.class_names == ("card", "money")
    assert data.items.tolist() == ["my card", "cash", "a coin"] and data.labels.tolist() == [0, 1, 1]
    assert {part: rows.tolist() for part, rows in data.splits.items()} == {"train": [0, 1], "test": [2]}


def test_columns_of_a_saved_dataset_may_have_other_names(tmp_path):
    columns = Features({"question": Value("string"), "intent": Value("string")})
    folder = saved(tmp_path / "saved", {"": {"question": ["hi", "bye"], "intent": ["b", "a"]}}, columns)
    data = load_dataset(folder, text="question", label="intent")
    assert data.class_names == ("a", "b") and not data.splits
    with pytest.raises(DataError, match=r"must have the column 'text', got \['question', 'intent'\]; name yours"):
        load_dataset(folder)


def test_an_empty_text_of_a_saved_dataset_is_named(tmp_path):
    folder = saved(tmp_path / "saved", {"": {"text": ["hi", "  "], "label": [0, 1]}})
    with pytest.raises(DataError, match=r"must have a text in every row, got '  ' in row 1; drop it"):
        load_dataset(folder)
