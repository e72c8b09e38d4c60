"""Copies of an example count as one: in left-out answers, in calibration and in sets; against the data without them."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from fewshot import FewShotClassifier, NearestMean
from fewshot.errors import DataError, FewShotError, LeakageError, StatisticsError
from fewshot.estimator.copies import CLOSE, copies, first_of_each, shared
from fewshot.estimator.left_out import MOST, deal


def blobs(shots=(4, 3, 5), dim=4, seed=0):
    """Shuffled examples of Gaussian classes that overlap, and queries."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(shots)), shots))
    centres = rng.normal(size=(len(shots), dim))
    return centres[y] + rng.normal(size=(len(y), dim)), y, rng.normal(size=(15, dim))


# Which items are equal ------------------------------------------------------------------------------


def test_equal_items_have_one_number():
    rows = torch.tensor([[1.0, 0.0], [2.0, 0.0], [1.0, -0.0], [1.0, 1e-9]])
    assert copies(rows).tolist() == [0, 1, 0, 2]
    assert copies(rows.bfloat16()).tolist() == [0, 1, 0, 2]
    assert copies(torch.zeros(3, 2, 4, 4, dtype=torch.uint8)).tolist() == [0, 0, 0]
    assert copies(np.array(["a", "b", "a"], np.dtypes.StringDType())).tolist() == [0, 1, 0]
    assert copies(torch.zeros(0, 3)).tolist() == []


@given(st.integers(0, 2**31), st.integers(2, 40))
def test_features_that_differ_in_their_last_digits_are_equal(seed, count):
    rng = np.random.default_rng(seed)
    rows, which = 5 + rng.normal(size=(count, 16)), rng.integers(count, size=3 * count)
    noise = 1 + 1e-7 * rng.normal(size=(3 * count, 16))
    found = copies(torch.from_numpy(rows[which] * noise).float(), CLOSE)
    np.testing.assert_array_equal(found[:, None] == found, which[:, None] == which)


def test_rows_that_are_close_but_not_equal_stay_two_without_a_backbone():
    x = np.array([[1e5, 0.0], [1e5 + 1e-3, 0.0], [-1e5, 1.0], [-1e5 + 1e-3, 1.0]])
    assert FewShotClassifier("none", "nearest-mean").fit(x, [0, 0, 1, 1]).model_.calibration.asked == 4


def test_first_of_each_and_shared():
    assert first_of_each(np.array([0, 1, 0, 0]), np.array([5, 5, 5, 6])).tolist() == [True, True, False, True]
    assert shared(torch.eye(3), torch.eye(4, 3)[[3, 1, 0]]).tolist() == [1, 2]


# What is left out together ----------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=40))
def test_copies_leave_together_and_no_class_leaves_as_a_whole(pairs):
    labels, equal = np.array(pairs).T
    folds = deal(labels, equal)
    for item in np.unique(equal):
        assert len(set(folds[equal == item])) == 1
    for fold in range(folds.max(initial=-1) + 1):
        assert set(labels[folds != fold]) == set(labels)
    alone = {item for item in equal if len(set(labels[equal == item])) == 1}
    for label in np.unique(labels):
        own = set(equal[labels == label])
        if len(own) > 1 and own <= alone:  # nothing of this class is another's, too
            assert (folds[labels == label] >= 0).all()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_without_copies_one_of_each_class_leaves_in_order(labels):
    labels = np.array(labels)
    wanted = np.full(len(labels), -1)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        wanted[rows] = np.arange(len(rows)) % MOST if len(rows) > 1 else -1
    np.testing.assert_array_equal(deal(labels, np.arange(len(labels))), wanted)


@pytest.mark.parametrize("learner", ["nearest-mean", "k-nearest-neighbours"])
def test_left_out_answers_are_those_of_a_loop_that_takes_copies_out(learner):
    """Items of two classes that are equal leave together, too."""
    x, y, _ = blobs()
    x[np.flatnonzero(y == 1)[0]] = x[np.flatnonzero(y == 0)[0]]
    x, y = np.concatenate([x, x[:4]]), np.concatenate([y, y[:4]])
    model = FewShotClassifier(learner=learner).fit(x, y).model_
    equal = [next(j for j in range(len(x)) if (x[i] == x[j]).all()) for i in range(len(x))]
    folds = deal(y, np.array(equal))
    right = asked = 0
    for row in range(12):
        if folds[row] >= 0:
            kept = folds != folds[row]
            other = FewShotClassifier(learner=learner, calibrate=False).fit(x[kept], y[kept])
            right, asked = right + (other.predict(x[[row]]).item() == y[row]), asked + 1
    assert (model.calibration.right, model.calibration.asked) == (right, asked) and asked >= 10


@pytest.mark.parametrize("times", [2, 3])
def test_copies_change_neither_calibration_nor_sets(times):
    """Class means are the same with every example twice, so all that is told must be."""
    x, y, query = blobs((6, 5, 7))
    once = FewShotClassifier(learner="nearest-mean").fit(x, y)
    more = FewShotClassifier(learner="nearest-mean").fit(np.tile(x, (times, 1)), np.tile(y, times))
    again = FewShotClassifier(learner="nearest-mean").fit(x, y)
    for _ in range(times - 1):
        again.partial_fit(x, y)
    for other in (more, again):
        assert other.model_.calibration[1:] == once.model_.calibration[1:]
        np.testing.assert_allclose(other.model_.calibration.temperature, once.model_.calibration.temperature, rtol=1e-9)
        np.testing.assert_allclose(other.predict_proba(query), once.predict_proba(query), rtol=1e-9)
        assert other.predict_set(query, 0.8) == once.predict_set(query, 0.8)


def test_noise_with_copies_is_no_better_than_chance():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 20)), rng.integers(0, 4, 60)
    told = FewShotClassifier().fit(np.repeat(x, 2, 0), np.repeat(y, 2)).model_.calibration
    assert told.asked == 60 and told.right < 60 * 0.45


def test_coverage_holds_with_copies_on_real_digits():
    data, held = load_digits(), []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        train = np.concatenate([rng.permutation(np.flatnonzero(data.target == k))[:4] for k in range(10)])
        test = np.setdiff1d(rng.permutation(len(data.target))[:250], train)
        model = FewShotClassifier(learner="nearest-mean")
        model.fit(np.repeat(data.data[train], 2, 0), np.repeat(data.target[train], 2))
        sets = model.predict_set(data.data[test], 0.9)
        held += [label in one for label, one in zip(data.target[test].tolist(), sets, strict=True)]
    assert 0.86 < np.mean(held) < 0.98


# Data of copies alone, and copies in the calibration ----------------------------------------------------


def test_copies_alone_still_make_a_classifier_with_a_warning():
    x, y = np.repeat(np.eye(3), 4, 0), np.repeat(["a", "b", "c"], 4)
    with pytest.warns(
        UserWarning, match="3 of 3 classes have copies of one example only, such as 'a'; they count as one"
    ):
        model = FewShotClassifier(learner="nearest-mean").fit(x, y)
    assert model.predict(np.eye(3)).tolist() == ["a", "b", "c"]
    assert model.model_.calibration == (1.0, 0, 0)
    with pytest.raises(StatisticsError, match=r"two different examples of every class, got one of 3 classes"):
        model.predict_set(x[:1], 0.6)


def test_one_example_of_each_class_is_no_copy():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FewShotClassifier().fit(np.eye(3), list("abc"))
        FewShotClassifier().fit(np.ones((3, 2)), list("abc"))


def test_examples_of_fit_are_refused_as_calibration():
    x, y, query = blobs((6, 6, 6))
    model = FewShotClassifier(learner="nearest-mean").fit(x, y)
    with pytest.raises(
        LeakageError, match="none of the examples of fit, got 18 of 18 that equal one, the first in row 0"
    ):
        model.predict_set(query, calibration=(x, y))
    with pytest.raises(LeakageError, match="got 2 of 20 that equal one, the first in row 18; leave them out"):
        model.predict_set(query, calibration=(np.concatenate([x + 0.1, x[4:6]]), np.concatenate([y, y[4:6]])))
    assert len(model.predict_set(query, calibration=(x + 0.1, y))) == 15


def test_pictures_of_fit_are_refused_in_other_batches_too():
    """A network's last digits depend on what else is in the batch."""
    pixels = np.random.default_rng(0).integers(0, 256, (70, 1, 28, 28)).astype(np.uint8)
    model = FewShotClassifier("conv4-omniglot", "nearest-mean").fit(pixels[:66], [0, 1] * 33)
    with pytest.raises(LeakageError, match="got 1 of 5 that equal one, the first in row 4"):
        model.predict_set(pixels[:1], 0.6, calibration=(pixels[[66, 67, 68, 69, 3]], [0, 1, 0, 1, 1]))


def test_copies_in_the_calibration_count_once():
    x, y, query = blobs((6, 6, 6))
    model = FewShotClassifier(learner="nearest-mean").fit(x, y)
    known = x[:12] + 0.3
    once, labels = model.predict_set(query, 0.8, calibration=(known, y[:12])), y[:12]
    assert model.predict_set(query, 0.8, calibration=(np.tile(known, (3, 1)), np.tile(labels, 3))) == once
    with pytest.raises(StatisticsError, match=r"coverage 0.9 need 9 labelled examples, got 5"):
        model.predict_set(query, 0.9, calibration=(np.tile(known[:5], (4, 1)), np.tile(labels[:5], 4)))
    for pair in (known, (known,), {"X": known}):
        with pytest.raises(DataError, match=r"calibration must be a pair \(X, y\), got"):
            model.predict_set(query, 0.8, calibration=pair)


# What fit has done is not done again ---------------------------------------------------------------------


class Counting:
    """Nearest means that count the episodes to which they adapt."""

    def __init__(self):
        self.episodes = 0

    def adapt(self, support):
        self.episodes += len(support)
        return NearestMean().adapt(support)


def test_sets_adapt_to_nothing_that_fit_has_adapted_to():
    x, y, query = blobs((5, 5, 5))
    learner = Counting()
    model = FewShotClassifier(learner=learner).fit(x, y)
    assert learner.episodes == 6  # all examples, and five folds
    sets = [model.predict_set(query[k : k + 1], 0.8)[0] for k in range(15)]
    assert learner.episodes == 6 and sets == model.predict_set(query, 0.8)
    assert pickle.loads(pickle.dumps(FewShotClassifier().fit(x, y))).predict_set(query) == (
        FewShotClassifier().fit(x, y).predict_set(query)
    )


def test_many_examples_are_not_kept_adapted(monkeypatch):
    from fewshot.estimator import model as module

    monkeypatch.setattr(module, "KEPT", 10)
    x, y, query = blobs((5, 5, 5))
    model = FewShotClassifier(learner="nearest-mean").fit(x, y)
    assert "_folds" not in vars(model.model_)
    monkeypatch.undo()
    assert model.predict_set(query, 0.8) == FewShotClassifier(learner="nearest-mean").fit(x, y).predict_set(query, 0.8)


def test_weights_changed_after_fit_are_noticed():
    x, y, _ = blobs()
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    model = FewShotClassifier(network).fit(x, y)
    model.predict(x)
    with torch.no_grad():
        network[0].weight.mul_(2)
    for ask in (model.predict, lambda x: model.partial_fit(x, y), lambda x: model.predict_set(x, 0.6)):
        with pytest.raises(
            FewShotError, match="the backbone must stay as it was in fit, got weights that were changed"
        ):
            ask(x)
    assert model.fit(x, y).predict(x).shape == (12,)
