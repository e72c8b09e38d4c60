"""Zero-shot evaluation: counts by brute force, gamma from validation classes, leaks refused."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from fewshot.contract import SupportSet
from fewshot.datasets.collection import Collection
from fewshot.datasets.seen_unseen import with_choosing
from fewshot.errors import (
    DataError,
    EpisodeError,
    FewShotError,
    LeakageError,
    NotFittedError,
    RecordError,
    UnknownNameError,
)
from fewshot.evaluation.choose_gamma import choose_gamma
from fewshot.evaluation.class_scores import CALIBRATE, TEST, Parts, joint_answers, teach
from fewshot.evaluation.zero_shot import choose_options, evaluate_zero_shot
from fewshot.learners.described.descriptors import base_classes, class_descriptors, require_base
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.statistics.per_class import harmonic_mean
from fewshot.statistics.stacking import curve

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
    with pytest.raises(
        LeakageError, match=r"options must be chosen on validation classes, got item \d+ of 'test' in 'test'"
    ):
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
        RecordError,
        match="must be a record of a zero-shot evaluation, got at 'learner': Field required; run it again with --again",
    ):
        ZeroShotRecord.load(tmp_path / "one.json")


def test_leaks_are_refused():
    data = world()
    leaking = replace(data, splits=dict(data.splits, trainval=np.arange(len(data))))
    with pytest.raises(
        LeakageError,
        match="unseen classes must not be among those learned from, got 'class 8' in 'trainval' and 'test'",
    ):
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
        ({"splits": {}}, UnknownNameError, r"the split must be left out, got 'trainval'; made has no splits"),
        ({"descriptors": np.full((12, 5), np.nan, np.float32)}, EpisodeError, r"descriptors must be finite, got nan"),
        ({"descriptors": np.array(["a text"] * 12, np.dtypes.StringDType())}, EpisodeError, r"must be numbers here, got texts"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(change, error, message):
    with pytest.raises(error, match=message):
        evaluate_zero_shot(Regression(), replace(world(), **change))


def few_held_out(data, classes=2):
    """The same data with held-out items of a few seen classes only."""
    held = data.splits["test-seen"]
    return replace(data, splits=dict(data.splits, **{"test-seen": held[data.labels[held] < classes]}))


def right_of_each(data, split, competing, gamma):
    """Right answers of each class of a split by NumPy, where only some classes compete."""
    rows = data.splits[split]
    scores = brute(data, "trainval", rows, competing) - gamma * (competing < 8)
    hits = competing[scores.argmax(1)] == data.labels[rows]
    return [int(hits[data.labels[rows] == c].sum()) for c in np.unique(data.labels[rows])]


@pytest.mark.parametrize("gamma", [0.0, 0.5])
def test_all_classes_of_the_base_compete(gamma):
    data = few_held_out(world(noise=2.0))
    record = evaluate_zero_shot(Regression(), data, gamma=gamma)
    every, slip = np.arange(CLASSES), np.array([0, 1, 8, 9, 10, 11])  # the slip: classes with a held-out item alone
    assert record.generalised.unseen.correct == right_of_each(data, "test", every, gamma)
    assert record.generalised.seen.correct == right_of_each(data, "test-seen", every, gamma)
    assert record.generalised.unseen.correct != right_of_each(data, "test", slip, gamma)
    assert record.notes == [
        "6 of 8 seen classes have no held-out item: they compete, and S is the mean over the others"
    ]
    assert not evaluate_zero_shot(Regression(), world()).notes


def test_all_classes_of_the_base_compete_where_gamma_is_chosen():
    data = world(noise=2.0)
    kept = data.splits["train-held-out"]
    few = replace(data, splits=dict(data.splits, **{"train-held-out": kept[data.labels[kept] < 2]}))
    answers = joint_answers(teach(Regression(), few, CALIBRATE), few, CALIBRATE)
    rows = np.concatenate([few.splits["val"], few.splits["train-held-out"]])
    scores = brute(few, "train-fit", rows, np.arange(8))
    np.testing.assert_allclose(answers.advantage, scores[:, :5].max(1) - scores[:, 5:].max(1), rtol=1e-3, atol=1e-3)


def test_all_classes_of_the_base_compete_for_learners_that_take_no_base():
    data = world(noise=2.0)
    fitted = teach(Regression(), data, TEST)

    class Fitted:
        scores = "rank"
        adapt = staticmethod(fitted.adapt)

    record = evaluate_zero_shot(Fitted(), few_held_out(data), gamma=0.0)
    assert record.generalised == evaluate_zero_shot(Regression(), few_held_out(data), gamma=0.0).generalised
    assert record.base is None
    with pytest.raises(DataError, match="seen classes that compete must be named by the split base, got ''"):
        evaluate_zero_shot(Fitted(), data, Parts("", "test", "test-seen"), gamma=0.0)


def changed(**splits):
    data = world()
    return replace(data, splits=dict(data.splits, **{k.replace("_", "-"): v(data) for k, v in splits.items()}))


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"test_seen": lambda d: np.append(d.splits["test-seen"], d.splits["test"][0])},
         r"seen classes must be among those of 'trainval', got 'class \d+' in 'test-seen'"),
        ({"test_seen": lambda d: np.flatnonzero(d.labels == 8), "test": lambda d: np.flatnonzero(d.labels > 8)},
         "seen classes must be among those of 'trainval', got 'class 8' in 'test-seen'"),
        ({"test_seen": lambda d: d.splits["trainval"][:9]}, r"base and seen items must differ, got item \d+ in both"),
        ({"val": lambda d: d.splits["test"]}, r"gamma must be chosen on validation classes, got item \d+ of 'test' in 'val'"),
        ({"val": lambda d: np.append(d.splits["val"], d.splits["test-seen"][:1])},
         r"gamma must be chosen on validation classes, got item \d+ of 'test-seen' in 'val'"),
        ({"test": lambda d: d.splits["test"][::2], "val": lambda d: np.append(d.splits["val"], d.splits["test"][1::2])},
         r"gamma must be chosen on validation classes, got the test class 'class \d+' in 'val'"),
    ],
)  # fmt: skip
def test_an_item_or_a_class_on_two_sides_is_refused(splits, message):
    with pytest.raises(LeakageError, match=message):
        evaluate_zero_shot(Regression(), changed(**splits))


def test_what_chooses_is_compared_by_rows_and_not_by_names():
    data = world()
    renamed = replace(data, splits=dict(data.splits, judged=data.splits["test"], other=data.splits["test-seen"]))
    judged = Parts("trainval", "judged", "other")
    with pytest.raises(LeakageError, match="gamma must be chosen on validation classes, got item"):
        evaluate_zero_shot(Regression(), renamed, judged, calibrate=TEST)
    with pytest.raises(LeakageError, match="gamma must be chosen on validation classes, got item"):
        choose_gamma(Regression(), renamed, judged)
    with pytest.raises(LeakageError, match="options must be chosen on validation classes, got item"):
        choose_options(Regression, {"strength": [1.0]}, renamed, Parts("trainval", "judged"))
    own = replace(
        data, splits=dict(mine=data.splits["test"], **{k: data.splits[k] for k in ("trainval", "train", "val")})
    )
    with pytest.raises(LeakageError, match="options must be chosen on validation classes, got item"):
        choose_options(Regression, {"strength": [1.0]}, own, Parts("trainval", "mine"), Parts("trainval", "mine"))


def test_open_items_are_of_no_unseen_class():
    data = changed(odd=lambda d: np.flatnonzero(d.labels == 9))
    with pytest.raises(LeakageError, match="open classes must not be among the unseen ones, got 'class 9' in 'odd'"):
        evaluate_zero_shot(Regression(), data, Parts(open="odd"))
    held = evaluate_zero_shot(Regression(), data, Parts(seen="test-seen", open="test-seen"), gamma=0.0)  # new or known?
    assert held.open_set[0].auroc.mean > 0.5


def test_truth_values_name_the_same_rows():
    data = world()
    masks = {name: np.isin(np.arange(len(data)), rows) for name, rows in data.splits.items()}
    assert (
        evaluate_zero_shot(Regression(), replace(data, splits=masks)).figures
        == evaluate_zero_shot(Regression(), data).figures
    )


@pytest.mark.parametrize("gamma", [np.inf, np.nan, "0.3", True])
def test_gamma_is_a_finite_number(gamma, no_shape_hook):
    with pytest.raises(FewShotError, match="gamma must be a finite number, got"):
        evaluate_zero_shot(Regression(), world(), gamma=gamma)


def test_splits_for_choosing_are_cut_from_the_seen_classes_where_there_are_none():
    data = world()
    bare = replace(data, splits={name: data.splits[name] for name in ("trainval", "test", "test-seen")})
    ordered = sorted(data.class_names[:8])
    validating = [data.class_names.index(name) for name in ordered[4::5]]
    cut = with_choosing(bare, ["train", "val"])
    seen = data.splits["trainval"]
    np.testing.assert_array_equal(cut.splits["val"], seen[np.isin(data.labels[seen], validating)])
    assert (
        evaluate_zero_shot(Regression(), bare).generalised.gamma
        == evaluate_zero_shot(Regression(), cut).generalised.gamma
    )
    options, line = choose_options(Regression, {"strength": [1.0, 2.0]}, bare)
    assert options["strength"] in (1.0, 2.0) and "on the 1 classes of 'val'" in line
    given = replace(bare, splits=dict(bare.splits, val=data.splits["val"]))
    np.testing.assert_array_equal(with_choosing(given, ["train"]).splits["train"], data.splits["train"])
    few = replace(bare, splits=dict(bare.splits, trainval=seen[data.labels[seen] < 4]))
    with pytest.raises(DataError, match="needs 5 seen classes or a split 'val', got 4 in 'trainval'"):
        with_choosing(few, ["val"])
    assert with_choosing(data, ["val"]) is data


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
