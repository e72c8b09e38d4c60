"""``fewshot-bench evaluate``: what it computes, writes, prints again, and refuses."""

import errno
import json
import os

import numpy as np
import pytest
from cli import as_json, call, refused, write_shapes
from PIL import Image

from fewshot.datasets.index import load_dataset
from fewshot.episodes import EpisodeSpec
from fewshot.errors import FewShotError
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.index import load_learner
from fewshot.records.record import Record

SMALL = ("--learner", "nearest-mean", "--way", 3, "--shot", 2, "--query", 5, "--episodes", 40)


@pytest.fixture
def shapes(tmp_path, monkeypatch, own_cache):
    """Path of a small data set, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return write_shapes(tmp_path / "shapes.npz").name


def test_the_numbers_are_those_of_the_library(shapes):
    record = as_json("evaluate", "--data", shapes, *SMALL, "--seed", 5, "--option", "metric=cosine")
    own = evaluate(load_learner("nearest-mean", metric="cosine"), load_dataset(shapes), EpisodeSpec(3, 2, 5), 40, 5)
    assert record["correct"] == own.correct and record["summary"]["accuracy"] == own.accuracy
    assert record["episodes"]["manifest"] == own.episodes.manifest


def test_the_record_names_things_as_they_were_given(shapes, no_shape_hook):
    record = as_json("evaluate", "--data", shapes, *SMALL, "--option", "temperature=2")
    assert record["learner"]["name"] == "nearest-mean" and record["learner"]["options"] == {"temperature": 2}
    assert record["data"]["name"] == shapes and record["data"]["split"] is None
    assert record["backbone"]["name"] == "pixels"


def test_record_and_answers_are_written_and_the_document_is_the_record(shapes, tmp_path):
    document = as_json("evaluate", "--data", shapes, *SMALL, "--scores")
    (path,) = (tmp_path / "fewshot-results").glob("*/*.json")
    assert json.loads(path.read_text()) == document
    answers = Record.load(path).load_answers(path.parent)
    assert answers.correct.tolist() == document["correct"] and answers.scores.shape == (40 * 15 * 3,)


def test_a_finished_run_is_printed_again_and_again_means_again(shapes, monkeypatch):
    first = as_json("evaluate", "--data", shapes, *SMALL)
    second = call("evaluate", "--data", shapes, *SMALL, "--json")
    assert json.loads(second.stdout) == first and "already done" in second.stderr
    third = as_json("evaluate", "--data", shapes, *SMALL, "--again")
    assert third["seconds"] != first["seconds"] and third["correct"] == first["correct"]


def test_other_settings_and_changed_data_are_not_taken_for_the_finished_run(shapes, tmp_path):
    first = as_json("evaluate", "--data", shapes, *SMALL, "--out", "here")
    other = as_json("evaluate", "--data", shapes, *SMALL, "--out", "here", "--seed", 1)
    assert other["correct"] != first["correct"]
    assert len(list((tmp_path / "here").glob("*.json"))) == 2
    write_shapes(tmp_path / shapes, spread=3.0)
    assert as_json("evaluate", "--data", shapes, *SMALL, "--out", "here")["summary"] != first["summary"]


def test_text_output_has_accuracy_interval_and_where_the_record_is(shapes):
    result = call("evaluate", "--data", shapes, *SMALL)
    assert "accuracy %" in result.stdout and "new classes" in result.stdout and "\x1b" not in result.stdout
    assert "record: fewshot-results" in result.stderr


@pytest.mark.parametrize(("ci", "shown"), [("closed", {"these"}), ("open", {"new"}), ("both", {"these", "new"})])
def test_the_interval_that_was_asked_for_is_shown(shapes, tmp_path, ci, shown):
    write_shapes(tmp_path / shapes, items=120)
    out = call("evaluate", "--data", shapes, *SMALL, "--ci", ci).stdout
    rows = {line.split("  ")[0] for line in out.splitlines()}
    assert ("these episodes' images" in rows) == ("these" in shown)
    assert ("new images of these classes" in rows) == ("new" in shown)


def test_a_half_width_decides_the_number_of_episodes(shapes):
    record = as_json("evaluate", "--data", shapes, *SMALL[:-2], "--half-width", 0.01)
    accuracies = np.array(record["correct"]) / record["queries"]
    half = 1.972 * accuracies.std(ddof=1) / np.sqrt(len(accuracies))
    assert len(accuracies) > 200 and half == pytest.approx(0.01, rel=0.15)


def test_splits_are_test_unless_told(tmp_path, monkeypatch, own_cache):
    rng = np.random.default_rng(0)
    monkeypatch.chdir(tmp_path)
    for part, classes in (("train", "abc"), ("test", "de")):
        for name in classes:
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for k in range(4):
                pixels = rng.integers(0, 255, (9, 9, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / part / name / f"{k}.png")
    asked = ("evaluate", "--data", "set", "--learner", "nearest-mean", "--way", 2, "--query", 2, "--episodes", 5)
    size = ("--data-option", "size=8")
    assert as_json(*asked, *size)["data"]["classes"] == 2
    assert as_json(*asked, *size, "--split", "train")["data"]["classes"] == 3
    assert as_json(*asked, *size, "--split", "all")["data"]["classes"] == 5
    assert "did you mean 'train'" in refused(*asked, *size, "--split", "trian")
    assert "base classes are for learners that see them" in refused(*asked, *size, "--base", "train")


def test_items_as_they_are_go_to_learners_on_images(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    asked = ("--learner", "modified-hausdorff", "--way", 2, "--query", 1, "--episodes", 4)
    record = as_json("evaluate", "--data", "digits", *asked, "--backbone", "none")
    assert record["backbone"] is None and record["summary"]["calibration_error"] is None
    told = refused("evaluate", "--data", "digits", *asked)
    assert "items must be images" in told and "--backbone none" in told


def test_a_learner_that_takes_a_backbone_gets_it(shapes):
    assert as_json("evaluate", "--data", shapes, "--learner", "protonet", *SMALL[2:])["backbone"]["name"] == "pixels"


class SeesBase:
    """Nearest mean around the mean of the base classes: a stand-in that needs them."""

    def __new__(cls):
        from dataclasses import dataclass
        from typing import Any

        from fewshot.errors import NotFittedError
        from fewshot.learners.metric.nearest_mean import NearestMean

        @dataclass(frozen=True)
        class Centred:
            centre: Any = None

            def with_base(self, base):
                return Centred(base.x.flatten(0, 1).mean(0))

            def adapt(self, support):
                if self.centre is None:
                    raise NotFittedError("Centred needs base classes, got none; call with_base first")
                classify = NearestMean("cosine").adapt(support.map(lambda x: x - self.centre))
                return lambda query: classify(query - self.centre)

        return Centred()


@pytest.fixture
def with_splits(tmp_path, monkeypatch, own_cache):
    """A data set with splits, and a learner that needs base classes, both by name."""
    from fewshot.datasets import index as datasets
    from fewshot.learners import index as learners

    monkeypatch.chdir(tmp_path)
    y = np.repeat(np.arange(8), 12)
    x = np.random.default_rng(1).normal(size=(8, 6))[y] + 0.5 * np.random.default_rng(2).normal(size=(96, 6)) + 9

    def load():
        from fewshot.datasets.collection import Collection

        splits = {"train": np.flatnonzero(y < 4), "test": np.flatnonzero(y >= 4), "mixed": np.flatnonzero(y >= 3)}
        return Collection.from_arrays(x.astype(np.float32), y, name="halves", splits=splits)

    monkeypatch.setitem(datasets.DATASETS, "halves", "test_cli_evaluate_names:load")
    monkeypatch.setattr(learners, "targets", lambda: {"centred": "test_cli_evaluate_names:make"})
    names = type(os)("test_cli_evaluate_names")
    names.load, names.make = load, SeesBase
    monkeypatch.setitem(__import__("sys").modules, "test_cli_evaluate_names", names)
    return ("evaluate", "--data", "halves", "--learner", "centred", "--way", 3, "--query", 3, "--episodes", 20)


def test_base_classes_are_seen_before_and_the_record_says_so_and_can_be_verified(with_splits, tmp_path):
    assert "--base train" in refused(*with_splits)
    record = as_json(*with_splits, "--base", "train", "--out", "out")
    assert record["training"]["split"] == "train" and record["pretraining_classes"] == {
        "count": 4, "hash": record["pretraining_classes"]["hash"], "overlap": 0,
    }  # fmt: skip
    assert as_json("verify", "out")[0]["outcome"] == "holds"


def test_base_classes_that_are_asked_are_refused_unless_allowed(with_splits):
    assert "got 4 of 4 that it was trained on" in refused(*with_splits, "--base", "mixed")
    assert as_json(*with_splits, "--base", "mixed", "--allow-seen")["pretraining_classes"]["overlap"] == 4


def test_texts_without_a_backbone_are_refused_with_the_remedy(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    rows = [f"text {k},{'ab'[k % 2]}" for k in range(12)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    told = refused("evaluate", "--data", "texts.csv", *SMALL)
    assert "--backbone sentence-transformers:all-MiniLM-L6-v2" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--data", "./nowhere"), "nothing there"),
        (("--data", ""), "must be a name or a path"),
        (("--learner", "protonett"), "did you mean 'protonet'"),
        (("--backbone", "pixel"), "did you mean 'pixels'"),
        (("--way", 50), "got 50"),
        (("--way", 50), "(here: --way, --shot, --query)"),
        (("--way", 0), "got 0"),
        (("--shot", 100000), "100005 items"),
        (
            ("--query", 23),
            "ask for fewer items, or leave small classes out with --min-items (here: --way, --shot, --query)",
        ),
        (("--shot", 0), "needs a support example"),
        (("--query", 0), "--query"),
        (("--episodes", -3), "got -3"),
        (("--seed", -1), "got -1"),
        (("--option", "metric"), "key=value"),
        (("--option", "nosuch=1"), "got 'nosuch'"),
        (("--option", "metric=[1"), "a value in YAML"),
        (("--option", "metric=nosuch"), "got 'nosuch'"),
        (("--option", "metric=2"), "--option metric must be of type str, got 2"),
        (("--option", "temperature=warm"), "--option temperature must be of type float, got 'warm'"),
        (("--learner", "maml"), "learner 'maml' needs a trained network, got the backbone 'pixels'; take a recipe"),
        (("--learner", "proto-maml"), "learner 'proto-maml' needs a trained network"),
        (("--learner", "feat"), "learner 'feat' needs a trained network"),
        (("--backbone", "conv4"), "must take items (8,) of type torch.float32"),
        (("--data-option", "nosuch=1"), "nosuch"),
        (("--split", "test"), "has no splits"),
        (("--half-width", 0.01), "leave one out"),
        (("--way", "many"), "integer"),
        (("--nosuch",), "No such option"),
    ],
)
def test_bad_input_is_told_in_one_sentence(shapes, no_shape_hook, arguments, message):
    given = dict(zip(SMALL[::2], SMALL[1::2], strict=True)) | {"--data": shapes}
    rest = [] if len(arguments) == 1 else None
    if rest is None:
        given[arguments[0]] = arguments[1]
    line = refused("evaluate", *(v for pair in given.items() for v in pair), *(arguments if rest is not None else ()))
    assert message in line


def test_damaged_images_are_named(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        (tmp_path / "broken" / name).mkdir(parents=True)
        for k in range(3):
            (tmp_path / "broken" / name / f"{k}.png").write_bytes(os.urandom(200))
    assert "broken/a/0.png" in refused("evaluate", "--data", "broken", *SMALL)


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_left(shapes, tmp_path):
    (tmp_path / "file").write_text("")
    assert "must be writable" in refused("evaluate", "--data", shapes, *SMALL, "--out", "file/inside")


def test_a_full_disk_is_told_and_nothing_is_half_written(shapes, tmp_path, monkeypatch):
    call("evaluate", "--data", shapes, *SMALL)  # fills the cache

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left on device" in refused("evaluate", "--data", shapes, *SMALL, "--out", "elsewhere")
    assert not list((tmp_path / "elsewhere").glob("*"))


def test_what_others_print_does_not_spoil_the_document(shapes, monkeypatch):
    from fewshot.cli.objects import one_row

    load = one_row.load_whole
    monkeypatch.setattr(one_row, "load_whole", lambda recipe: print("chatter") or load(recipe))
    result = call("evaluate", "--data", shapes, *SMALL, "--json")
    assert json.loads(result.stdout) and "chatter" in result.stderr


def test_an_error_that_is_no_bad_input_is_not_hidden(shapes, monkeypatch):
    from fewshot.cli.objects import one_row

    monkeypatch.setattr(one_row, "load_whole", lambda recipe: 1 / 0)
    assert not issubclass(ZeroDivisionError, FewShotError)
    with pytest.raises(ZeroDivisionError):
        call("evaluate", "--data", shapes, *SMALL)


@pytest.mark.parametrize("given", [(), ("--data-option", "size=12")])
def test_the_size_of_photos_stands_in_record_and_output(tmp_path, monkeypatch, own_cache, given):
    monkeypatch.chdir(tmp_path)
    for k in range(3):
        (tmp_path / "photos" / str(k)).mkdir(parents=True)
        for j in range(4):
            pixels = np.random.default_rng(4 * k + j).integers(0, 40, (30, 40, 3)) + 70 * k
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / str(k) / f"{j}.png")
    options = ("--data", "./photos", "--learner", "nearest-mean", "--way", 3, "--query", 2, "--episodes", 4, *given)
    size = 12 if given else 84
    found = call("evaluate", *options, "--out", "out")
    assert f"images: {size} x {size} pixels" in found.stdout
    (path,) = (tmp_path / "out").glob("*.json")
    assert Record.load(path).data.options == {"size": size}
    call("verify", path)


def test_texts_that_are_cut_are_counted_in_the_record(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    rows = [
        f"{'thank you for your help ' * (80 * (k % 4 == 0))}{word} {k},{word}"
        for word in ("card", "money")
        for k in range(4)
    ]
    (tmp_path / "a.csv").write_text("\n".join(["text,label", *rows]))
    document = as_json(
        "evaluate", "--data", "a.csv", "--learner", "nearest-mean", "--backbone", "sentence-transformers:all-MiniLM-L6-v2",
        "--way", 2, "--query", 2, "--episodes", 4,
    )  # fmt: skip
    assert any(note.startswith("2 of 8 texts have more than the 256 tokens") for note in document["notes"])
