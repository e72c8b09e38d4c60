"""A record and its answers on disk: one never meets those of another run, and what is there is whole."""

import hashlib
import io
import json
import zipfile
from dataclasses import fields, replace

import numpy as np
import pytest
from records import answers, record

from fewshot.errors import DataError, RecordError
from fewshot.plumbing.files import content_hash
from fewshot.records import record as module
from fewshot.records.answers import Answers
from fewshot.records.record import Record


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_name_of_the_answers_holds_their_hash(tmp_path):
    saved = record().save(tmp_path / "mine-2.0.json")
    (file,) = tmp_path.glob("*.npz")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    assert file.name == saved.answers.file == f"mine-2.0.{found[:16]}.npz" and saved.answers.hash == found
    Record.load(tmp_path / "mine-2.0.json").check_answers(tmp_path)


def test_a_record_that_is_replaced_takes_its_answers_along(tmp_path):
    path, other = tmp_path / "a.json", tmp_path / "a-b.json"
    record().save(other)
    record().save(path)
    (tmp_path / "a.npz").write_bytes(b"data of a user")
    (tmp_path / "a.0123456789abcdef.npz").write_bytes(b"of a run that ended before its record was written")
    again = record(correct=(1, 2, 3, 4)).save(path)
    assert names(tmp_path) == sorted(
        ["a.json", "a-b.json", "a.npz", again.answers.file, Record.load(other).answers.file]
    )
    assert Record.load(path).load_answers(tmp_path).correct.tolist() == [1, 2, 3, 4]


def test_a_run_that_ends_between_answers_and_record_leaves_the_old_ones_whole(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    record().save(path)

    def ends(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "write_json", ends)
        record(correct=(1, 2, 3, 4)).save(path)
    assert Record.load(path).load_answers(tmp_path).correct.tolist() == [3, 5, 4, 4]
    assert len(names(tmp_path)) == 3
    record(correct=(2, 2, 2, 2)).save(path)
    assert len(names(tmp_path)) == 2


def test_answers_of_the_first_version_load_and_go_when_they_are_replaced(tmp_path):
    path = tmp_path / "a.json"
    record().save(path)
    content = json.loads(path.read_text())
    (tmp_path / content["answers"]["file"]).rename(tmp_path / "a.npz")
    content["answers"]["file"] = "a.npz"
    path.write_text(json.dumps(content))
    Record.load(path).check_answers(tmp_path)
    record(correct=(1, 2, 3, 4)).save(path)
    assert "a.npz" not in names(tmp_path) and len(names(tmp_path)) == 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda file: file.unlink(), "must lie beside it, got no file .*; run it again with --again"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:-1] + b"x"),
            "got another content; run it again with --again",
        ),
        (lambda file: file.write_bytes(answers((1, 1, 1, 1)).to_bytes()), "got another content"),
    ],
)
def test_answers_that_are_not_whole_or_not_its_own(tmp_path, spoil, message):
    path = tmp_path / "a.json"
    spoil(tmp_path / record().save(path).answers.file)
    with pytest.raises(RecordError, match=message):
        Record.load(path).check_answers(tmp_path)


def test_answers_whose_counts_are_others_than_those_of_the_record(tmp_path):
    path = tmp_path / "a.json"
    record().save(path)
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"correct": [4, 4, 4, 4]}))
    with pytest.raises(RecordError, match="must have the right ones that the record counts, got 16 where it has 16"):
        Record.load(path).check_answers(tmp_path)


def test_what_another_run_has_written_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "a.json"
    begun = content_hash(path)
    assert begun is None
    record().save(path, begun)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    with pytest.raises(RecordError, match=r"a\.json' must be as it was when this run began, .* --out, or --again"):
        record(correct=(1, 2, 3, 4)).save(path, begun)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before
    record(correct=(1, 2, 3, 4)).save(path, content_hash(path))
    record(correct=(2, 2, 3, 4)).save(path)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(DataError, match="must be writable"):
        record().save(tmp_path / "a" / "b.json")


def same(one, other):
    for field in fields(Answers):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype and a.shape == b.shape
            np.testing.assert_array_equal(a, b)


def large(episodes=400):
    rng = np.random.default_rng(0)
    given = answers(rng.integers(0, 76, episodes), 75, 5, 100)
    n = len(given.true)
    rows = rng.integers(0, 60_000, n)
    return replace(given, rows=rows, confidence=rng.beta(8, 2, n).astype(np.float32))


@pytest.mark.parametrize(
    "given",
    [
        answers(),
        large(),
        replace(answers(), scores=np.random.default_rng(1).normal(size=72).astype(np.float32)),
        replace(answers(), known=np.random.default_rng(2).normal(size=(24, 2)), known_by=np.array(["a", "ö"])),
        replace(answers(), rows=np.arange(24) + 2**40, true=np.where(np.arange(24) % 5, answers().true, -1)),
        replace(answers(), rows=np.full(24, 127), confidence=np.array([np.nan, np.inf, -0.0] * 8, np.float32)),
        replace(answers(), rows=np.arange(24) - 129),
    ],
    ids=["small", "large", "scores", "open", "wide", "odd floats", "negative"],
)
def test_answers_come_back_bit_for_bit(given):
    content = given.to_bytes()
    same(given, Answers.from_bytes(content))
    assert given.to_bytes() == content
    assert zipfile.ZipFile(io.BytesIO(content)).testzip() is None


def test_answers_are_smaller_than_plain_compressed_arrays_which_are_read_too():
    given, plain = large(), io.BytesIO()
    np.savez_compressed(
        plain, **{f.name: value for f in fields(given) if (value := getattr(given, f.name)) is not None}
    )
    same(given, Answers.from_bytes(plain.getvalue()))
    assert len(given.to_bytes()) < 0.85 * len(plain.getvalue())
