"""``fewshot-bench transfer``: answers for a target without labels, and a verdict that arithmetic confirms."""

import csv
import json

import numpy as np
import pytest
from cli import as_json, call, refused
from PIL import Image

from fewshot.errors import DataError, StatisticsError
from fewshot.estimator.target import HELPS, HURTS, NOTHING_SEEN, matched, verdict_of

NAMES = np.array(["ant", "bee", "cow"])


@pytest.fixture
def domains(tmp_path):
    """A source of rows, and a target that is moved far; labels of the target in a table."""
    rng = np.random.default_rng(0)
    points = 4 * rng.normal(size=(3, 6))
    y = np.arange(90) % 3
    x = (points[y] + rng.normal(size=(90, 6))).astype(np.float32)
    moved = (points[y] + rng.normal(size=(90, 6)) + 6 * np.ones(6)).astype(np.float32)
    np.savez(tmp_path / "source.npz", x=x, y=NAMES[y])
    np.savez(tmp_path / "target.npz", x=moved)
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("item", "label"), *((f"row {k}", NAMES[y[k]]) for k in range(60))])
    return tmp_path


def asked(folder, *more):
    return ("transfer", "--source", folder / "source.npz", "--target", folder / "target.npz", *more)


def test_without_labels_nobody_can_tell(domains):
    shown = call(*asked(domains)).stdout
    assert "nobody can say whether adaptation helps here" in shown and "soft neighbourhood density" in shown
    document = as_json(*asked(domains))
    assert document["verdict"] is None and len(document["answers"]) == 90
    assert set(document["unsupervised"]) == {"entropy", "information maximisation", "soft neighbourhood density"}


def test_with_labels_the_verdict_is_that_of_the_answers(domains):
    document = as_json(*asked(domains, "--labels", domains / "labels.csv", "--learner", "optimal-transport"))
    true = [NAMES[k % 3] for k in range(60)]
    right, plain = (
        np.mean([answer[key] == label for answer, label in zip(document["answers"], true, strict=False)])
        for key in ("label", "without_adaptation")
    )
    verdict = document["verdict"]
    assert (verdict["accuracy"], verdict["without_adaptation"]) == pytest.approx((right, plain))
    assert verdict["difference"] == pytest.approx(right - plain) and verdict["labels"] == 60
    assert verdict["word"] == HELPS and verdict["low"] > 0


def test_labels_change_no_answer(domains):
    with_labels = as_json(*asked(domains, "--labels", domains / "labels.csv"))
    assert with_labels["answers"] == as_json(*asked(domains))["answers"]


def test_answers_as_a_file(domains):
    call(*asked(domains, "--csv", domains / "answers.csv"))
    with (domains / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["item"] for row in rows[:2]] == ["row 0", "row 1"] and {row["label"] for row in rows} <= set(NAMES)


def test_two_folders_of_photos(tmp_path):
    rng = np.random.default_rng(0)
    for name, colour in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        (tmp_path / "shop" / name).mkdir(parents=True)
        (tmp_path / "phone").mkdir(exist_ok=True)
        for k in range(6):
            noise = rng.integers(0, 40, (40, 40, 3))
            Image.fromarray((noise + colour).clip(0, 255).astype(np.uint8)).save(tmp_path / "shop" / name / f"{k}.png")
            dark = (noise + np.array(colour) * 0.6).clip(0, 255).astype(np.uint8)
            Image.fromarray(dark).save(tmp_path / "phone" / f"{name}-{k}.png")
    answers = as_json("transfer", "--source", tmp_path / "shop", "--target", tmp_path / "phone")["answers"]
    assert np.mean([one["item"].startswith(one["label"]) for one in answers]) >= 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: (f / "labels.csv").write_text("item,label\nrow 400,ant\n"),
            "each labelled item must be in the target",
        ),
        (
            lambda f: (f / "labels.csv").write_text("item,label\nrow 4,eel\nrow 5,ant\n"),
            "must be classes of the source, got 'eel'",
        ),
        (lambda f: (f / "labels.csv").write_text("item,label\nrow 4,ant\n"), "two labelled items or more, got 1"),
        (lambda f: (f / "labels.csv").write_text("item,label\nrow 4,ant\nrow 4,bee\n"), "must name each item once"),
        (lambda f: np.savez(f / "target.npz", x=np.zeros((90, 5), np.float32)), "same columns, got 6 and 5"),
        (lambda f: np.savez(f / "source.npz", x=np.eye(6, dtype=np.float32), y=np.zeros(6, int)), "class"),
        (lambda f: np.savez(f / "target.npz", x=np.full((90, 6), np.nan, np.float32)), "finite"),
        (lambda f: (f / "target.npz").unlink(), "nothing there"),
    ],
)
def test_what_is_refused(domains, change, message):
    change(domains)
    assert message in refused(*asked(domains, "--labels", domains / "labels.csv"))


def test_classes_of_one_domain_are_dropped_by_name(domains):
    rows = ["item,label", *(f"row {k},{('ant', 'bee', 'eel')[k % 3]}" for k in range(30))]
    (domains / "labels.csv").write_text("\n".join(rows) + "\n")
    assert "got 'eel'" in refused(*asked(domains, "--labels", domains / "labels.csv"))
    given = asked(domains, "--labels", domains / "labels.csv", "--common-classes")
    document, told = as_json(*given), call(*given).stderr
    assert "class 'cow'" in told and "class 'eel'" in told
    assert document["source"]["classes"] == ["ant", "bee"] and document["source"]["items"] == 60
    assert document["verdict"]["labels"] == 20 and {one["label"] for one in document["answers"]} == {"ant", "bee"}
    assert "needs --labels" in refused(*asked(domains, "--common-classes"))
    (domains / "labels.csv").write_text("item,label\nrow 1,eel\nrow 2,ant\n")
    assert "two classes or more in common, got ['ant']" in refused(*given)


def test_a_learner_without_such_an_option(domains):
    assert "ridges" in refused(*asked(domains, "--option", "ridges=2"))
    assert "did you mean 'coral'" in refused(*asked(domains, "--learner", "corral"))


def test_verdicts():
    true = np.zeros(40, int)
    right, wrong = np.tile([1.0, 0.0], (40, 1)), np.tile([0.0, 1.0], (40, 1))
    mostly = right.copy()
    mostly[:30] = wrong[:30]
    assert verdict_of(right, mostly, true).word == HELPS and verdict_of(mostly, right, true).word == HURTS
    same = verdict_of(right, right, true)
    assert same.word == NOTHING_SEEN and same.needed is None
    one = right.copy()
    one[0] = wrong[0]
    found = verdict_of(right, one, true)
    assert found.word == NOTHING_SEEN and found.needed > 40
    with pytest.raises(StatisticsError, match="two labelled items"):
        verdict_of(right[:1], right[:1], true[:1])
    with pytest.raises(DataError, match="got it twice"):
        matched(["a", "a"], {"a": "x"}, ("x",))


def test_the_document_is_whole(domains):
    document = as_json(*asked(domains, "--learner", "tca", "--option", "dim=3"))
    assert document["options"] == {"dim": 3} and document["learner"] == "tca"
    assert json.dumps(document)
