"""Zero-shot evaluation: counts by brute force, gamma from validation classes, leaks refused."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from fewshot.contract import SupportSet
from fewshot.datasets.collection import Collection
from fewshot.descriptors import base_classes, class_descriptors, require_base
from fewshot.errors import DataError, EpisodeError, LeakageError, NotFittedError, RecordError, UnknownNameError
from fewshot.evaluation.class_scores import CALIBRATE, TEST, Parts, joint_answers, teach
from fewshot.evaluation.zero_shot import choose_gamma, choose_options, evaluate_zero_shot
from fewshot.results.per_class import harmonic_mean
from fewshot.results.stacking import curve
from fewshot.results.zero_shot import ZeroShotRecord

CLASSES, DIM, SIDE = 12, 8, 5


@dataclass(frozen=True)
class Regression:
    """Ridge regression from items to descriptors, compared by products."""

    strength: float = 1.0
    map: Any = None
    scores = "rank"

    def with_base(self, base):
        x, y, side = base_classes(base)
        solved = torch.linalg.solve(x.T @ x + self.strength * torch.eye(x.shape[1], dtype=x.dtype), x.T @ side[y])
        return replace(self, map=solved)

    def adapt(self, support):
        side = class_descriptors(support, self.map.shape[1])
        return lambda query: query @ self.map.to(query) @ side.mT


class Neighbourly(Regression):
    """Says that it looks at each item alone, and does not."""

    def adapt(self, support):
        classify = super().adapt(support)
        return lambda query: classify(query - query.mean(-2, keepdim=True))


def world(seed=0, noise=0.7):
    """Twelve classes of unequal size whose items are a linear function of their descriptors, plus noise."""
    rng = np.random.default_rng(seed)
    side = rng.normal(size=(CLASSES, SIDE)).astype(np.float32)
    labels = rng.permutation(np.repeat(np.arange(CLASSES), rng.integers(12, 30, CLASSES)))
    points = side @ rng.normal(size=(SIDE, DIM))
    items = (points[labels] + noise * rng.normal(size=(len(labels), DIM))).astype(np.float32)
    rows = np.arange(len(labels))
    seen, held = labels < 8, rows % 4 == 0
    splits = {
        "trainval": rows[seen & ~held], "test-seen": rows[seen & held], "test": rows[~seen],
        "train": rows[(labels < 5) & ~held], "val": rows[seen & (labels >= 5) & ~held],
        "train-fit": rows[(labels < 5) & ~held & (rows % 5 > 0)], "train-held-out": rows[(labels < 5) & ~held & (rows % 5 == 0)],
    }  # fmt: skip
    names = tuple(f"class {k}" for k in range(CLASSES))
    return Collection(items, labels, names, name="made", descriptors=side, splits=splits)


def brute(data, base, rows, classes, strength=1.0):
    """Scores by NumPy."""
    x, side = data.items[data.splits[base]].astype(float), data.descriptors.astype(float)
    y = data.labels[data.splits[base]]
    solved = np.linalg.solve(x.T @ x + strength * np.eye(DIM), x.T @ side[y])
    return data.items[rows].astype(float) @ solved @ side[classes].T


def test_counts_are_those_of_the_formula():
    data = world()
    record = evaluate_zero_shot(Regression(), data, gamma=0.3)
    rows, unseen = data.splits["test"], np.arange(8, 12)
    answers = unseen[brute(data, "trainval", rows, unseen).argmax(1)]
    right = [int((answers == c)[data.labels[rows] == c].sum()) for c in unseen]
    assert (record.unseen.correct, record.unseen.classes) == (right, [f"class {c}" for c in unseen])
    assert record.accuracy == np.mean([r / (data.labels == c).sum() for r, c in zip(right, unseen, strict=True)])
    for kind, split in (("unseen", "test"), ("seen", "test-seen")):
        rows = data.splits[split]
        scores = brute(data, "trainval", rows, np.arange(12)) - 0.3 * (np.arange(12) < 8)
        own = np.unique(data.labels[rows])
        hits = scores.argmax(1) == data.labels[rows]
        assert getattr(record.generalised, kind).correct == [int(hits[data.labels[rows] == c].sum()) for c in own]


def test_figures_have_intervals_for_images_and_for_classes():
    record = evaluate_zero_shot(Regression(), world())
    u, s, h = (record.figure(name, "new images of these classes").value for name in ("unseen", "seen", "harmonic"))
    assert h == pytest.approx(float(harmonic_mean(u, s)))
    for name in ("zero-shot", "unseen", "harmonic"):
        narrow, wide = (record.figure(name, e) for e in ("new images of these classes", "new classes"))
        assert wide.high - wide.low > narrow.high - narrow.low
        assert narrow.low <= narrow.value <= narrow.high
    with pytest.raises(RecordError, match="the record must have a figure 'seen' for new episodes"):
        record.figure("seen", "new episodes")


def test_gamma_is_chosen_without_any_test_item():
    data = world()
    gamma, where = choose_gamma(Regression(), data, CALIBRATE)
    rows = {name: data.splits[name] for name in ("val", "train-held-out")}
    scores = {name: brute(data, "train-fit", part, np.arange(8)) for name, part in rows.items()}
    best = max(
        float(harmonic_mean(*(
            np.mean([(((s - g * (np.arange(8) < 5)).argmax(1) == data.labels[rows[name]])[data.labels[rows[name]] == c]).mean()
                     for c in np.unique(data.labels[rows[name]])])
            for name, s in scores.items())))
        for g in [*np.linspace(-6, 6, 500), gamma]
    )  # fmt: skip
    assert where == f"best harmonic mean, {100 * best:.1f} %, of 'val' and 'train-held-out'"
    record = evaluate_zero_shot(Regression(), data)
    assert (record.generalised.gamma, record.generalised.gamma_from) == (gamma, where)
    spoiled = data.items.copy()
    spoiled[data.splits["test"]] += 9
    spoiled[data.splits["test-seen"]] -= 9
    assert choose_gamma(Regression(), replace(data, items=spoiled), CALIBRATE)[0] == gamma


def test_stacking_helps_and_none_is_none():
    data = world()
    record = evaluate_zero_shot(Regression(), data, calibrate=None)
    assert (record.generalised.gamma, record.generalised.gamma_from) == (0, "no stacking")
    assert record.generalised.plain == pytest.approx(
        (record.figure("unseen", "new classes").value, record.figure("seen", "new classes").value)
    )
    assert record.generalised.area <= 1
    assert record.generalised.curve[0][0] == 0 and record.generalised.curve[-1][1] == 0


def test_options_are_chosen_on_validation_classes():
    data = world(noise=2.0)
    grid = [1e-3, 1.0, 1e3, 1e6]
    options, line = choose_options(lambda strength: Regression(strength), {"strength": grid}, data)
    rows, classes = data.splits["val"], np.arange(5, 8)

    def accuracy(strength):
        hits = classes[brute(data, "train", rows, classes, strength).argmax(1)] == data.labels[rows]
        return np.mean([hits[data.labels[rows] == c].mean() for c in classes])

    assert accuracy(options["strength"]) == max(map(accuracy, grid))
    assert line.startswith(f"strength={options['strength']}: best of 4 on the 3 classes of 'val'")
    with pytest.raises(LeakageError, match="options must be chosen on validation classes, got Parts"):
        choose_options(Regression, {"strength": grid}, data, Parts())


def test_without_held_out_items_unseen_classes_are_asked_alone():
    record = evaluate_zero_shot(Regression(), world(), Parts())
    assert record.generalised is None and {figure.name for figure in record.figures} == {"zero-shot"}
    assert record.accuracy > 0.5  # by chance 0.25


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = evaluate_zero_shot(Regression(), world(), selection="by hand").save(tmp_path / "one.json")
    assert ZeroShotRecord.load(tmp_path / "one.json") == record
    (tmp_path / "one.json").write_text("{}")
    with pytest.raises(
        RecordError, match="must be a record of a zero-shot evaluation, got: Field required; run it again"
    ):
        ZeroShotRecord.load(tmp_path / "one.json")


def test_leaks_are_refused():
    data = world()
    leaking = replace(data, splits=dict(data.splits, trainval=np.arange(len(data))))
    with pytest.raises(LeakageError, match="unseen classes must not be among those learned from, got 'class 10'"):
        evaluate_zero_shot(Regression(), leaking)
    with pytest.raises(LeakageError, match="an inductive learner's answer to a query must not change"):
        evaluate_zero_shot(Neighbourly(), data)
    trained = Regression()
    object.__setattr__(trained, "classes_seen", ("made:class 9",))
    with pytest.raises(LeakageError, match="test classes must be new to the learner, got 1 of 4"):
        evaluate_zero_shot(trained, data)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"descriptors": None}, DataError, r"a descriptor of each class, got none in 'made'; add descriptors="),
        ({"splits": {}}, UnknownNameError, r"the split must be left out, got 'test'; made has no splits"),
        ({"descriptors": np.full((12, 5), np.nan, np.float32)}, EpisodeError, r"descriptors must be finite, got nan"),
        ({"descriptors": np.array(["a text"] * 12, np.dtypes.StringDType())}, EpisodeError, r"must be numbers here, got texts"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change, error, message):
    with pytest.raises(error, match=message):
        evaluate_zero_shot(Regression(), replace(world(), **change))


def test_descriptors_keep_the_length_of_the_base():
    base = SupportSet(torch.ones(1, 2, 3), torch.tensor([[0, 1]]), 2, descriptors=torch.eye(2)[None])
    fitted = Regression().with_base(base)
    with pytest.raises(EpisodeError, match="described by 2 numbers, as the base classes were, got 3"):
        fitted.adapt(replace(base, descriptors=torch.ones(1, 2, 3)))
    with pytest.raises(EpisodeError, match="zero-shot learners need a descriptor of each class, got none"):
        fitted.adapt(replace(base, descriptors=None))


def test_a_learner_that_saw_no_base_says_so():
    with pytest.raises(NotFittedError, match=r"ESZSL learns from base classes, got none; call learner\.with_base"):
        require_base(None, "ESZSL")


def test_the_area_is_that_of_the_whole_curve():
    data = world()
    whole = curve(joint_answers(teach(Regression(), data, TEST), data, TEST))
    assert evaluate_zero_shot(Regression(), data).generalised.area == whole.area
