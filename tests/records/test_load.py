"""Records of either kind: one way to read them, one set of operations, and tables that fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli import as_json, call, refused
from records import record

from fewshot import Record, differences, load_record
from fewshot.errors import RecordError, StatisticsError
from fewshot.records.load import is_record
from fewshot.records.record import LearnerInfo
from fewshot.records.zero_shot import Counts, Figure, ZeroShotRecord
from fewshot.tables import compared as module
from fewshot.tables.compared import compared

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
OF_EPISODES = RESULTS / "omniglot-maml" / "omniglot-maml-5w1s.json"
ZERO_SHOT = RESULTS / "awa1-gzsl" / "awa1-gzsl-proposed-eszsl.json"


def alone(right, learner="eszsl", label=""):
    """A zero-shot record of two classes, four items each."""
    bits = np.concatenate([np.arange(4) < n for n in right])
    counts = Counts(classes=["a", "b"], correct=list(right), items=[4, 4], answers=np.packbits(bits).tobytes().hex())
    made = record()
    figures = [
        Figure(name="zero-shot", value=sum(right) / 8, low=0, high=1, level=0.95, interval="i", estimand=e, count=2)
        for e in ("new images of these classes", "new classes")
    ]
    return ZeroShotRecord(
        learner=LearnerInfo(name=learner), data=made.data, descriptors="3 numbers", unseen=counts, figures=figures,
        settings={"learners": [{"label": label or learner}]}, versions={}, code="c", device="cpu", seconds=1.0,
    )  # fmt: skip


def committed():
    """Every committed record, by its own keys."""
    files = [(file, json.loads(file.read_text("utf-8"))) for file in sorted(RESULTS.rglob("*.json"))]
    return [(file, content) for file, content in files if "correct" in content or "zero_shot" in content]


def test_every_committed_record_is_read_and_says_what_its_file_says():
    found = committed()
    assert len(found) > 500
    for file, content in found:
        read = load_record(file)
        assert type(read) is (ZeroShotRecord if "zero_shot" in content else Record)
        assert read.accuracy == pytest.approx(_mean(content), abs=1e-12), file
        assert holds(read.as_json(), content), file


def holds(written, stored):
    """Whether all that a file says is said again; an older file may lack keys that came later."""
    if isinstance(stored, dict):
        return all(key in written and holds(written[key], value) for key, value in stored.items())
    if isinstance(stored, list):
        return len(written) == len(stored) and all(map(holds, written, stored))
    return written == stored


def _mean(content):
    """From the counts, with no code of the package."""
    if "zero_shot" in content:
        unseen = content["unseen"]
        return np.mean([right / items for right, items in zip(unseen["correct"], unseen["items"], strict=True)])
    return np.mean(np.asarray(content["correct"], np.float64) / np.asarray(content["queries"], np.float64))


def test_figures_of_episodes_are_the_mean_with_each_interval():
    made = load_record(next(file for file, content in committed() if content.get("intervals")))
    content = made.as_json()
    assert len(made.figures) == 1 + len(content["intervals"])
    for figure, interval in zip(made.figures, [content["summary"], *content["intervals"]], strict=True):
        assert (figure.name, figure.value) == ("accuracy", content["summary"]["accuracy"])
        assert all(interval[key] == value for key, value in figure.model_dump().items() if key in interval)


@pytest.mark.parametrize("made", [record(), alone((3, 2))], ids=["of episodes", "zero-shot"])
def test_a_record_survives_the_disk(made, tmp_path):
    saved = made.save(tmp_path / "one.json")
    read = load_record(tmp_path / "one.json")
    assert read.as_json() == saved.as_json() == json.loads((tmp_path / "one.json").read_text())
    read.check_answers(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[1]", "is no record of episodes, got JSON without 'schema', 'learner', 'data', 'episodes', 'correct'"),
        ('{"schema": 1}', "got JSON without 'learner', 'data', 'episodes', 'correct'; name another file"),
        ('{"schema": 9}', "must be a record of schema 2 or older, got 9; update fewshot to read it"),
        ('{"zero_shot": 1}', "must be a record of a zero-shot evaluation"),
        ('{"zero_shot": 7, "schema": 1}', "must be a record of a zero-shot evaluation"),
        ('{"schema": 1,', "must be a record in JSON"),
    ],
)
def test_what_is_no_record_is_refused(content, message, tmp_path):
    (tmp_path / "one.json").write_text(content)
    with pytest.raises(RecordError, match=r"one\.json") as told:
        load_record(tmp_path / "one.json")
    assert message in str(told.value)


def test_what_is_meant_as_a_record():
    assert is_record({"zero_shot": None}) and is_record(
        dict.fromkeys(("schema", "learner", "data", "episodes", "correct"))
    )
    assert not is_record({"schema": 1}) and not is_record([]) and not is_record(None)


def test_a_reference_is_a_name_a_file_or_a_label():
    few = {"a": record((3, 5, 4, 4)), "b": record((2, 5, 3, 4))}
    assert compared(few, None, 0.95).base == "a" and compared(few, "x/b.json", 0.95).base == "b"
    both = {"one": alone((3, 2)), "two": alone((4, 4), "sae", label="SAE")}
    assert compared(both, None, 0.95).base == "eszsl" and compared(both, "SAE", 0.95).base == "SAE"


def test_the_level_reaches_both_kinds():
    def width(records, level):
        (one,) = compared(records, None, level).as_json()["comparisons"]
        found = one.get("difference") or one["zero-shot"]
        assert found["level"] == level
        return found["high"] - found["low"]

    few = {"a": record((3, 5, 4, 4)), "b": record((2, 5, 3, 4), learner="m")}
    both = {"one": alone((1, 2)), "two": alone((4, 3), "sae")}
    assert width(few, 0.5) < width(few, 0.99) and width(both, 0.5) < width(both, 0.99)
    assert "50% paired bootstrap" in "".join(compared(both, None, 0.5).table().notes)


def test_kinds_are_compared_apart():
    with pytest.raises(RecordError, match="all be of few-shot or all of zero-shot learning, got 'a' and 'b'"):
        compared({"a": record(), "b": alone((3, 2))}, None, 0.95)
    with pytest.raises(RecordError, match="got 'b' and 'a'; compare them apart"):
        compared({"b": alone((3, 2)), "c": alone((1, 1)), "a": record()}, None, 0.95)


def test_differences_of_episodes_are_paired():
    mine, other = record((3, 5, 4, 4)), record((2, 5, 3, 4), learner="m")
    found = differences(mine, other)
    by_hand = (np.array([3, 5, 4, 4]) - [2, 5, 3, 4]) / 6
    assert list(found) == ["accuracy"] and found["accuracy"].estimate == pytest.approx(by_hand.mean())
    half = found["accuracy"].high - found["accuracy"].estimate
    assert half == pytest.approx(3.182446305284263 * by_hand.std(ddof=1) / 2)  # Student's t, 3 degrees of freedom
    assert differences(mine, other, 0.5)["accuracy"].high < found["accuracy"].high


def test_differences_without_examples_weigh_classes():
    mine, other = alone((4, 2)), alone((1, 3), "sae")
    found = differences(mine, other)
    assert list(found) == ["zero-shot"] and found["zero-shot"].estimate == pytest.approx((4 - 1 + 2 - 3) / 8)
    assert found["zero-shot"].low <= found["zero-shot"].estimate <= found["zero-shot"].high
    same = differences(mine, mine)["zero-shot"]
    assert (same.low, same.estimate, same.high) == (0, 0, 0)  # what both get right or wrong cancels


@pytest.mark.slip
@pytest.mark.parametrize("wrong", ["other way round", "unpaired", "level left out"])
def test_wrong_differences_are_seen(monkeypatch, wrong):
    honest = differences

    def planted(mine, other, level=0.95):
        if wrong == "unpaired" and isinstance(other, Record):
            other = other.model_copy(update={"correct": other.correct[::-1]})
        one, two = (other, mine) if wrong == "other way round" else (mine, other)
        return honest(one, two, 0.95 if wrong == "level left out" else level)

    monkeypatch.setitem(globals(), "differences", planted)
    with pytest.raises(AssertionError):
        test_differences_of_episodes_are_paired()


def test_what_has_no_difference():
    with pytest.raises(RecordError, match="only within a kind, got Record and ZeroShotRecord"):
        differences(record(), alone((3, 2)))
    with pytest.raises(RecordError, match="only on the same episodes"):
        differences(record(), record(manifest="m2"))
    with pytest.raises(RecordError, match="only records can be compared, got str"):
        differences("one.json", "two.json")
    with pytest.raises(StatisticsError, match="only on the same items, got other ones in 'shapes' and 'shapes'"):
        moved = alone((3, 2))
        differences(moved, moved.model_copy(update={"data": moved.data.model_copy(update={"hash": "1" * 64})}))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["level", "reference", "kind"])
def test_planted_faults_are_seen(monkeypatch, slip):
    honest = module.compared

    def wrong(records, reference, level):
        if slip == "kind":
            first = next(iter(records.values()))
            return module.KINDS[type(first)](records, reference, level)
        return honest(records, None if slip == "reference" else reference, 0.95 if slip == "level" else level)

    monkeypatch.setitem(globals(), "compared", wrong)
    tests = {
        "level": test_the_level_reaches_both_kinds,
        "reference": test_a_reference_is_a_name_a_file_or_a_label,
        "kind": test_kinds_are_compared_apart,
    }
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        tests[slip]()


def test_confusion_is_refused_where_only_right_and_wrong_are_known():
    assert "has right and wrong answers only, got --confusion; leave it out" in refused(
        "show", ZERO_SHOT, "--confusion"
    )
    assert as_json("show", ZERO_SHOT, "--per-class") == as_json("show", ZERO_SHOT)
    assert "unseen class" in call("show", ZERO_SHOT, "--per-class").stdout


def test_show_prints_both_kinds_together():
    both = as_json("show", OF_EPISODES, ZERO_SHOT)
    assert both == [load_record(file).as_json() for file in (OF_EPISODES, ZERO_SHOT)]
