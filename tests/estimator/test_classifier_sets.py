"""Prediction sets: MAPIE and a loop over the algorithm, coverage on real digits, refusals."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from fewshot import NearestMean, SupportSet
from fewshot.errors import StatisticsError, UnknownNameError
from fewshot.estimator.classifier import FewShotClassifier
from fewshot.estimator.left_out import deal, left_out
from fewshot.estimator.sets import cross_sets, split_sets, strangeness


def digits(shot, seed, queries=20, more=0):
    """``(x, y, query, truth, calibration x, calibration y)``, all exchangeable within a class."""
    data, rng = load_digits(), np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(data.target == k)) for k in range(10)]
    ends = np.cumsum([0, shot, queries, more])
    parts = [np.concatenate([r[a:b] for r in rows]) for a, b in pairwise(ends)]
    return [array for rows in parts for array in (data.data[rows] / 16, data.target[rows])]


def covered(sets, truth):
    return float(np.mean([label in held for held, label in zip(sets, truth.tolist(), strict=True)]))


def test_strangeness_is_the_margin_to_the_best_other_label():
    scores = np.random.default_rng(0).normal(size=(3, 5, 4))
    for place in np.ndindex(scores.shape):
        others = np.delete(scores[place[:2]], place[2])
        assert strangeness(scores)[place] == others.max() - scores[place]
    assert strangeness(np.zeros((2, 1))).tolist() == [[0], [0]]
    assert strangeness(np.array([[1.0, 1.0, 0.0]])).tolist() == [[0, 0, 1]]


def slow_cross_sets(x, y, query, n_way, coverage):
    """Romano, Sesia and Candès 2020, algorithm 2, for one query after the other."""
    folds, held = deal(y, np.arange(len(y))), np.zeros((len(query), n_way), bool)
    for q, item in enumerate(query):
        for label in range(n_way):
            less = 0
            for i in range(len(y)):
                rest = folds != folds[i]
                means = np.stack([x[rest & (y == k)].mean(0) for k in range(n_way)])
                own, asked = (-((means - z) ** 2).sum(1) for z in (x[i], item))
                less += np.delete(own, y[i]).max() - own[y[i]] < np.delete(asked, label).max() - asked[label]
            held[q, label] = less < coverage * (len(y) + 1)
    return held


@pytest.mark.parametrize("coverage", [0.5, 0.7, 0.85])
def test_sets_are_those_of_a_loop_over_the_algorithm(coverage):
    rng = np.random.default_rng(1)
    y = rng.permutation([0, 0, 0, 1, 1, 2, 2, 2, 2])
    x, query = rng.normal(size=(9, 3)) + 1.5 * np.eye(3)[y], rng.normal(size=(12, 3))
    support = SupportSet(torch.from_numpy(x)[None], torch.from_numpy(y)[None], 3)
    found = cross_sets(left_out(NearestMean(), support), y, torch.from_numpy(query), 3, coverage)
    np.testing.assert_array_equal(found, slow_cross_sets(x, y, query, 3, coverage))


class Given:
    """A fitted classifier for MAPIE, whose items are their own probabilities."""

    def __init__(self, n_way):
        self.classes_, self.n_features_in_ = np.arange(n_way), n_way

    def fit(self, x, y):
        return self

    def predict_proba(self, x):
        return np.asarray(x)

    def predict(self, x):
        return np.asarray(x).argmax(1)

    def __sklearn_is_fitted__(self):
        return True


@pytest.mark.parametrize("coverage", [0.6, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("count", [20, 37, 100])
def test_held_out_sets_are_those_of_mapie(coverage, count):
    """With two classes the margin p2 - p1 = 1 - 2 p1 orders labels as MAPIE's 1 - p1 does."""
    mapie = pytest.importorskip("mapie.classification")
    from sklearn.base import BaseEstimator, ClassifierMixin

    estimator = type("Known", (Given, ClassifierMixin, BaseEstimator), {})(2)
    rng = np.random.default_rng(count)
    known, asked = (np.stack([p, 1 - p], 1) for p in (rng.random(count), rng.random(50)))
    labels = (rng.random(count) > known[:, 0]).astype(np.int64)
    theirs = mapie.SplitConformalClassifier(estimator, confidence_level=coverage, conformity_score="lac", prefit=True)
    _, sets = theirs.conformalize(known, labels).predict_set(asked)
    np.testing.assert_array_equal(split_sets(known, labels, asked, coverage), sets[:, :, 0])


def two_classes(count, seed=0):
    """An episode of two classes with ``count`` examples, and queries between them."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(count) % 2)
    return rng.normal(size=(count, 3)) + 1.6 * y[:, None], y, rng.normal(size=(60, 3)) + 0.8


def mapie_cross_sets(x, y, query, coverage):
    from mapie.classification import CrossConformalClassifier
    from sklearn.model_selection import PredefinedSplit

    estimator = FewShotClassifier(learner="nearest-mean", calibrate=False)
    theirs = CrossConformalClassifier(
        estimator, confidence_level=coverage, cv=PredefinedSplit(deal(y, np.arange(len(y))))
    )
    return theirs.fit_conformalize(x, y).predict_set(query, agg_scores="crossval")[1][:, :, 0]


def own_cross_sets(x, y, query, coverage):
    support = SupportSet(torch.from_numpy(x)[None], torch.from_numpy(y)[None], 2)
    return cross_sets(left_out(NearestMean(), support), y, torch.from_numpy(query), 2, coverage)


@pytest.mark.parametrize("coverage", [0.6, 0.8])
def test_sets_from_left_out_examples_are_those_of_mapie_where_both_round_alike(coverage):
    pytest.importorskip("mapie.classification")
    x, y, query = two_classes(20)
    found = own_cross_sets(x, y, query, coverage)
    np.testing.assert_array_equal(found, mapie_cross_sets(x, y, query, coverage))
    assert 0 < found.sum() < found.size


def test_mapie_asks_for_more_support_than_the_algorithm():
    """30 examples, coverage 0.95: the algorithm admits a label with one example at least as strange, MAPIE with two."""
    pytest.importorskip("mapie.classification")
    x, y, query = two_classes(30)
    own, theirs = own_cross_sets(x, y, query, 0.95), mapie_cross_sets(x, y, query, 0.95)
    assert (theirs <= own).all() and theirs.sum() < own.sum()
    with pytest.raises(AssertionError):
        np.testing.assert_array_equal(own, theirs)
    support = SupportSet(torch.from_numpy(x)[None], torch.from_numpy(y)[None], 2)
    two = admitted_with_two(support, torch.from_numpy(query))
    np.testing.assert_array_equal(theirs, two)


def admitted_with_two(support, query):
    """The algorithm with MAPIE's count: fewer than 29 of 30 less strange examples."""
    return cross_sets(left_out(NearestMean(), support), support.y[0].numpy(), query, 2, 28.99 / 31)


@pytest.mark.parametrize("learner", ["nearest-mean", "logistic-regression"])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_coverage_on_real_digits(learner, coverage):
    """With left-out examples, 60 supports of 3 a class with 200 queries each: 0.03 is three standard errors."""
    shares, sizes = [], []
    for seed in range(60 if learner == "nearest-mean" else 12):
        x, y, query, truth, _, _ = digits(3, seed)
        sets = FewShotClassifier(learner=learner, calibrate=False).fit(x, y).predict_set(query, coverage)
        shares.append(covered(sets, truth))
        sizes.append(np.mean([len(held) for held in sets]))
    assert coverage - 0.03 < np.mean(shares) < coverage + 0.08
    assert 1 <= np.mean(sizes) < 6


@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_coverage_with_held_out_items_on_real_digits(coverage):
    shares = []
    for seed in range(60):
        x, y, query, truth, more, more_y = digits(3, seed, more=10)
        classifier = FewShotClassifier(learner="nearest-mean", calibrate=False).fit(x, y)
        shares.append(covered(classifier.predict_set(query, coverage, calibration=(more, more_y)), truth))
    assert abs(np.mean(shares) - coverage) < 0.02


def test_labels_of_the_user_stand_in_the_sets_and_unknown_things_give_large_or_empty_ones():
    x, y, query, _, _, _ = digits(6, 0)
    names = np.array([f"digit {k}" for k in range(10)])
    classifier = FewShotClassifier(learner="nearest-mean").fit(x, names[y])
    sets = classifier.predict_set(query)
    assert all(set(held) <= set(names.tolist()) and list(held) == sorted(held) for held in sets)
    sizes = [len(held) for held in classifier.predict_set(np.full((1, 64), 0.5))]
    assert sizes[0] > np.mean([len(held) for held in sets])


def test_a_higher_coverage_never_makes_a_set_smaller():
    x, y, query, _, _, _ = digits(3, 0)
    classifier = FewShotClassifier(learner="nearest-mean").fit(x, y)
    small, large = classifier.predict_set(query, 0.7), classifier.predict_set(query, 0.95)
    assert all(set(a) <= set(b) for a, b in zip(small, large, strict=True)) and small != large


def test_what_cannot_be_promised_is_refused():
    x, y, query, _, _, _ = digits(2, 0)
    classifier = FewShotClassifier(learner="nearest-mean").fit(x, y)
    with pytest.raises(StatisticsError, match=r"coverage 0\.99 need 99 labelled examples, got 20; ask for less"):
        classifier.predict_set(query, 0.99)
    with pytest.raises(StatisticsError, match=r"coverage must be a number between 0 and 1, got 1\.0; 0\.9 is 90 %"):
        classifier.predict_set(query, 1.0)
    with pytest.raises(StatisticsError, match="need 9 labelled examples, got 5"):
        classifier.predict_set(query, 0.9, calibration=(query[:5], y[:5]))
    with pytest.raises(UnknownNameError, match="the label must be a known name, got '11'"):
        classifier.predict_set(query, 0.5, calibration=(query[:2], [11, 1]))
    classifier.partial_fit(query[:1], [77])
    with pytest.raises(
        StatisticsError, match=r"two different examples of every class, got one of 1 classes; .* calibration="
    ):
        classifier.predict_set(query)
