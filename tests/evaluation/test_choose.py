"""Choosing options on validation classes: which one, on which episodes, what is refused, and what a record says."""

import hashlib
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from cli import as_json, call, refused
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from fewshot.datasets.class_splits import halved
from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import FewShotError, LeakageError, RecordError
from fewshot.evaluation.choose import candidates, choose
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.linear.logistic_regression import LogisticRegression
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.records.choice import Choice

SPEC = EpisodeSpec(way=3, shot=2, query=5)
GRID = {"C": [0.001, 0.1, 10.0]}


def made(classes=24, seed=0):
    """Classes with splits; one feature of ten is loud and says nothing, so that the penalty matters."""
    rng = np.random.default_rng(seed)
    y = np.arange(classes).repeat(12)
    x = rng.normal(size=(classes, 10))[y] + rng.normal(size=(len(y), 10)) * np.r_[np.ones(9), 6]
    ends = {"train": (0, 8), "val": (8, 16), "test": (16, 24), "trainval": (0, 16)}
    splits = {name: np.flatnonzero((y >= low) & (y < high)) for name, (low, high) in ends.items()}
    return replace(Collection.from_arrays(x.astype(np.float32), y), name="made", splits=splits)


@pytest.fixture(scope="module")
def choice():
    return choose(LogisticRegression, GRID, made().split("val"), SPEC, 40, seed=3)


def test_every_candidate_answers_the_same_episodes_and_the_best_mean_wins(choice):
    """Accuracies by scikit-learn, episode by episode."""
    collection = made().split("val")
    sampler, x = EpisodeSampler(collection.labels, SPEC, 3), np.float64(collection.items)
    means = []
    for C in GRID["C"]:
        right = []
        for i in range(40):
            e = sampler[i]
            model = SklearnLogisticRegression(C=C, tol=1e-10, max_iter=1000).fit(x[e.support], e.support_y)
            right.append((model.predict(x[e.query]) == e.query_y).mean())
        means.append(np.mean(right))
    np.testing.assert_allclose([c.accuracy.mean for c in choice.candidates], means, atol=2e-3)
    assert choice.options == {"C": GRID["C"][int(np.argmax(means))]}
    assert choice.episodes.manifest == sampler.manifest(0, 40) and choice.episodes.count == 40


def test_differences_are_paired_and_to_the_chosen_one(choice):
    collection = made().split("val")
    accuracies = [evaluate(LogisticRegression(C), collection, SPEC, 40, 3).accuracies for C in GRID["C"]]
    best = [c.options for c in choice.candidates].index(choice.options)
    assert choice.candidates[best].difference is None
    for k, one in enumerate(choice.candidates):
        if k != best:
            d = accuracies[k] - accuracies[best]
            assert one.difference.mean == pytest.approx(d.mean()) and one.difference.mean <= 0
            assert one.difference.high - one.difference.low == pytest.approx(
                2 * 2.023 * d.std(ddof=1) / 40**0.5, rel=0.01
            )


def test_of_equal_candidates_the_first_is_taken_even_if_it_comes_last_by_name():
    found = choose(NearestMean, {"temperature": [4.0, 1.0, 2.0]}, made().split("val"), SPEC, 10)
    assert found.options == {"temperature": 4.0} and len({c.accuracy.mean for c in found.candidates}) == 1


def test_a_grid_is_every_combination_and_a_list_is_as_it_is():
    assert candidates({"a": [1, 2], "b": "xy"}) == [
        {"a": 1, "b": "x"}, {"a": 1, "b": "y"}, {"a": 2, "b": "x"}, {"a": 2, "b": "y"},
    ]  # fmt: skip
    listed = [{"a": 1}, {"b": 2}]
    assert candidates(listed) == listed and candidates({}) == [{}]
    for nothing in ([], {"a": []}):
        with pytest.raises(FewShotError, match="needs at least one candidate"):
            candidates(nothing)


def test_one_candidate_has_no_difference():
    found = choose(NearestMean, {}, made().split("val"), SPEC, 10)
    assert found.options == {} and found.candidates[0].difference is None
    assert found.selection.startswith("no option: best of 1 on split 'val' of made, 8 classes")


def test_it_is_told_of_progress():
    told = []
    choose(NearestMean, {"temperature": [1.0, 2.0]}, made().split("val"), SPEC, 10, report=lambda *x: told.append(x))
    assert told == [(1, 2), (2, 2)]


def test_test_classes_must_not_choose():
    with pytest.raises(LeakageError, match="chosen on validation classes, got 'made/test'; give another split"):
        choose(NearestMean, {}, made().split("test"), SPEC, 10)


def test_items_of_the_test_must_not_choose_under_another_name():
    data = made()
    test, val = data.splits["test"], data.splits["val"]
    for rows in (test, np.append(val, test[-1])):
        renamed = replace(data, splits=dict(data.splits, val=rows))
        with pytest.raises(LeakageError, match=r"got item \d+ of 'made/test' in 'made/val'; give another split"):
            choose(NearestMean, {}, renamed.split("val"), SPEC, 10)


def test_an_evaluation_says_how_options_were_chosen_and_refuses_the_classes_that_did(choice, tmp_path):
    record = evaluate(LogisticRegression(**choice.options), made().split("test"), SPEC, 10, chosen=choice)
    for part in ("best of 3", "split 'val' of made", "C=0.001", "C=0.1", "C=10.0", choice.episodes.manifest):
        assert part in record.selection
    assert record.selection.startswith(f"C={choice.options['C']}: ")
    for name in ("val", "trainval"):
        with pytest.raises(LeakageError, match=r"other classes than those tested, got 8 in both, such as 'made:1\d?'"):
            evaluate(LogisticRegression(), made().split(name), SPEC, 10, chosen=choice)
    evaluate(LogisticRegression(), made().split("train"), SPEC, 10, chosen=choice)


def test_a_learner_that_was_trained_on_the_classes_is_refused():
    class Trained(NearestMean):
        classes_seen = ("made:9",)

    with pytest.raises(LeakageError, match="trained on"):
        choose(Trained, {}, made().split("val"), SPEC, 10)


def test_it_survives_the_disk(choice, tmp_path, no_shape_hook):
    choice.save(tmp_path / "choice.json")
    assert Choice.load(tmp_path / "choice.json") == choice
    (tmp_path / "torn.json").write_text("{")
    (tmp_path / "other.json").write_text('{"choice": 1}')
    for name, what in (("torn", "Expecting"), ("other", "Field required"), ("none", "nothing there")):
        with pytest.raises(RecordError, match=f"must be a choice that fewshot-bench tune has written, got.*{what}"):
            Choice.load(tmp_path / f"{name}.json")


ASKED = ("--data", "made", "--learner", "logistic-regression", "--way", 3, "--shot", 2, "--query", 5)
TUNE = ("tune", *ASKED, "--episodes", 40, "--seed", 3, "--option", "C=0.001,0.1,10", "--out", "out")


@pytest.fixture
def named(tmp_path, monkeypatch, own_cache):
    """The data set by name, in a folder of its own; also one without splits, and one whose splits share classes."""
    from fewshot.datasets import index

    module = type(json)("test_choose_data")
    module.load = made
    module.unsplit = lambda: replace(made(), splits={})
    module.mixed = lambda: replace(made(), splits={"val": np.arange(0, 288, 2), "test": np.arange(1, 288, 2)})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for name, loader in (("made", "load"), ("unsplit", "unsplit"), ("mixed", "mixed")):
        monkeypatch.setitem(index.DATASETS, name, f"{module.__name__}:{loader}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_line_chooses_and_evaluates(named, choice):
    written = as_json(*TUNE)
    assert written["options"] == choice.options and written["learner"] == "logistic-regression"
    assert [c["accuracy"] for c in written["candidates"]] == [c.accuracy.model_dump() for c in choice.candidates]
    assert written["data"]["split"] == "val" and written["backbone"]["name"] == "pixels"
    record = as_json("evaluate", *ASKED, "--episodes", 20, "--tuned", written["file"], "--out", "judged")
    assert record["learner"]["options"] == choice.options
    assert "best of 3 on split 'val'" in record["selection"] and record["data"]["split"] == "test"
    own = evaluate(LogisticRegression(**choice.options), made().split("test"), SPEC, 20)
    assert record["correct"] == own.correct
    assert "best of 3" in call("show", next((named / "judged").glob("*.json"))).stdout
    assert as_json("verify", "judged")[0]["outcome"] == "holds"


def test_a_finished_choice_is_printed_again(named):
    first = call(*TUNE)
    assert "chosen" in first.stdout and "made/val" in first.stdout and "--tuned out/tuned-made" in first.stderr
    second = call(*TUNE)
    assert "already done" in second.stderr and second.stdout == first.stdout
    assert "already done" not in call(*TUNE, "--again").stderr
    assert len(list((named / "out").glob("*.json"))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--split", "test"), "got split 'test', which shares 8 classes with the test split; choose another split"),
        (("--split", "all"), "chosen on validation classes, got 'all' of 'made'"),
        (("--split", "vall"), "did you mean 'val'"),
        (("--data", "unsplit", "--split", "train"), "the split must be left out, got 'train'; made has no splits"),
        (("--data", "unsplit", "--split", "test:3"), "got split 'test:3', which shares 12 classes with the test split"),
        (
            ("--data", "unsplit", "--way", 13),
            "half of the classes must be enough for --way 13, got 12 of 24 in 'unsplit'",
        ),
        (("--data", "mixed"), "got split 'val', which shares 24 classes with the test split"),
        (("--option", "c=1"), "options of learner 'logistic-regression' must be among 'C', got 'c'"),
        (("--option", "C=0"), "C must be above 0, got 0.0"),
        (("--option", "C="), "--option C needs values with commas between them, got none"),
        (("--option", "C=x"), "--option C must be of type float, got 'x'"),
        (("--base", "train"), "base classes are for learners that see them"),
    ],
)
def test_what_cannot_choose_is_refused(named, change, message):
    start = TUNE[: TUNE.index("--option")] if "--option" in change else TUNE
    assert message in refused(*start, *change)
    assert not (named / "out").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--split", "val"), "chosen on other classes than those tested, got 8 in both"),
        (("--split", "all"), "chosen on other classes than those tested, got 8 in both"),
        (("--option", "C=1"), "comes from --tuned or from --option, got 'C' in both; leave one out"),
        (
            ("--learner", "nearest-mean"),
            "--tuned must be a choice for 'nearest-mean' on the backbone 'pixels', got one for",
        ),
        (("--backbone", "none"), "got one for 'logistic-regression' on 'pixels'"),
        (("--tuned", "nowhere.json"), "must be a choice that fewshot-bench tune has written"),
    ],
)
def test_a_choice_for_something_else_is_refused(named, change, message):
    written = as_json(*TUNE)["file"]
    assert message in refused("evaluate", *ASKED, "--episodes", 5, "--tuned", written, *change)


def by_hash(seed):
    """The classes of ``unsplit`` in the order of the rule, by a hash that is written out."""

    def key(name):
        parts = (str(seed).encode(), name.encode())
        return hashlib.sha256(b"".join(len(p).to_bytes(8, "little") + p for p in parts)).hexdigest()

    return sorted(map(str, range(24)), key=key)


HALF = ("--data", "unsplit", *ASKED[2:], "--episodes", 10)


def test_data_without_splits_are_halved_by_class_and_the_other_half_is_judged(named):
    first = call("tune", *HALF, "--seed", 3, "--option", "C=0.1,10")
    (path,) = (named / "fewshot-results").glob("*/tuned-unsplit*.json")
    written = json.loads(path.read_text())
    classes = by_hash(3)[:12]
    assert written["data"]["split"] == "val:3" and set(written["classes"]) == {f"made:{name}" for name in classes}
    for told in (first.stdout, "\n".join(written["notes"])):
        (line,) = (line for line in told.splitlines() if "val:3 is half of its classes" in line)
        assert line.rpartition(": ")[2].split(", ") == sorted(classes, key=int)
        assert "the other 12 classes are untouched" in told
    judged = call("evaluate", *HALF, "--tuned", path, "--json")
    record = json.loads(judged.stdout)
    assert "test:3" in judged.stderr
    assert record["data"]["split"] == "test:3" and record["data"]["classes"] == 12
    assert record["selection"].startswith("C=")
    assert as_json("verify", "fewshot-results")[0]["outcome"] == "holds"


def test_the_halves_are_those_of_name_and_seed_alone(named):
    whole = replace(made(), splits={})
    halves = [halved(whole, seed) for seed in (0, 0, 1)]
    names = [set(half.split(f"val:{seed}").class_names) for half, seed in zip(halves, (0, 0, 1), strict=True)]
    assert names == [set(by_hash(seed)[:12]) for seed in (0, 0, 1)] and names[1] != names[2]
    turned = whole.subset(np.arange(len(whole))[::-2])  # fewer items, in another order
    assert set(halved(turned, 1).split("val:1").class_names) == names[2]
    for half, seed in zip(halves, (0, 0, 1), strict=True):
        assert set(half.split(f"test:{seed}").class_names) == set(whole.class_names) - names[seed and 2]


def test_all_classes_after_a_choice_on_half_of_them_are_refused(named):
    written = as_json("tune", *HALF, "--option", "C=0.1,10")["file"]
    assert "got 12 in both" in refused("evaluate", *HALF, "--split", "all", "--tuned", written)
    assert "got 12 in both" in refused("evaluate", *HALF, "--split", "val:0", "--tuned", written)


def test_items_that_a_backbone_cannot_take_are_told_before_anything_is_computed(named, no_shape_hook):
    """Also where the first to be embedded are the base classes."""
    asked = (
        "--data",
        "made",
        "--learner",
        "simpleshot",
        "--base",
        "train",
        "--backbone",
        "conv4-omniglot",
        "--query",
        5,
    )
    for told in (refused("tune", *asked, "--option", "transform=CL2N"), refused("evaluate", *asked)):
        assert "must take items" in told and "'conv4-omniglot'" in told


def test_options_that_are_not_tuned_can_be_given_beside_a_choice(named):
    asked = ("--data", "made", "--learner", "nearest-mean", "--way", 3, "--query", 5)
    written = as_json("tune", *asked, "--option", "metric=cosine,squared-euclidean", "--episodes", 5)["file"]
    record = as_json("evaluate", *asked, "--episodes", 5, "--tuned", written, "--option", "temperature=2")
    assert set(record["learner"]["options"]) == {"metric", "temperature"}
