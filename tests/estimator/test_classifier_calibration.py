"""Temperatures and left-out examples, against SciPy, a loop over the definition, and real digits."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from sklearn.datasets import load_digits

from fewshot import NearestMean, SupportSet, from_function, load_learner
from fewshot.errors import EpisodeError, StatisticsError
from fewshot.estimator.calibration import fit_temperature, smoothed
from fewshot.estimator.classifier import FewShotClassifier
from fewshot.estimator.left_out import MOST, deal, left_out, left_out_scores
from fewshot.statistics.calibration import calibration_error, negative_log_likelihood


def smooth_loss(temperature, scores, labels):
    """Transcribed: mean over answers of -(m+1)/(m+2) ln p(true) - 1/(m+2) of the others' mean -ln p."""
    m, total = len(labels), 0.0
    for row, label in zip(scores, labels, strict=True):
        logs = log_softmax(row / temperature)
        others = np.delete(logs, label)
        total -= (m + 1) / (m + 2) * logs[label] + others.mean() / (m + 2)
    return total / m


def oracle(scores, labels):
    found = minimize_scalar(
        lambda log_t: smooth_loss(np.exp(log_t), scores, labels),
        bounds=(-9, 9),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return np.exp(found.x)


def answers(seed, m=25, n_way=4, signal=1.5):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_way, size=m)
    return rng.normal(size=(m, n_way)) + signal * np.eye(n_way)[labels], labels


@given(st.integers(0, 2**31), st.integers(2, 6), st.floats(0.8, 4))
def test_temperature_is_that_of_scipy(seed, n_way, signal):
    scores, labels = answers(seed, 40, n_way, signal)
    found, wanted = fit_temperature(scores, labels), oracle(scores, labels)
    assert smooth_loss(found, scores, labels) <= smooth_loss(wanted, scores, labels) + 1e-12
    if wanted < 1000:
        np.testing.assert_allclose(found, wanted, rtol=1e-4)


def test_temperature_goes_with_the_scale_of_scores():
    scores, labels = answers(0)
    np.testing.assert_allclose(fit_temperature(1000 * scores, labels), 1000 * fit_temperature(scores, labels))
    np.testing.assert_allclose(fit_temperature(scores - 77, labels), fit_temperature(scores, labels), rtol=1e-6)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", ["plain", "others not shared", "inverse"])
def test_wrong_formulas_are_seen(wrong):
    scores, labels = answers(3)
    right = fit_temperature(scores, labels)
    if wrong == "plain":
        found = minimize_scalar(
            lambda t: negative_log_likelihood(scores / np.exp(t), labels), bounds=(-9, 9), method="bounded"
        )
        value = np.exp(found.x)
    elif wrong == "others not shared":
        target = smoothed(labels, 4)
        target[target < 0.5] *= 3
        target /= target.sum(1, keepdims=True)
        loss = lambda t: -(target * log_softmax(scores / np.exp(t), axis=1)).sum()  # noqa: E731
        value = np.exp(minimize_scalar(loss, bounds=(-9, 9), method="bounded").x)
    else:
        value = 1 / right
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(value, oracle(scores, labels), rtol=1e-4)


def test_right_answers_alone_make_nothing_certain():
    scores, labels = 5 * np.eye(3), np.arange(3)
    probabilities = np.exp(log_softmax(scores / fit_temperature(scores, labels), axis=1))
    np.testing.assert_allclose(probabilities.diagonal(), 4 / 5, rtol=1e-6)  # (m + 1) / (m + 2)


def test_useless_scores_leave_next_to_nothing():
    scores, labels = answers(1, signal=-3.0)
    probabilities = np.exp(log_softmax(scores / fit_temperature(scores, labels), axis=1))
    np.testing.assert_allclose(probabilities, 1 / 4, atol=0.01)
    assert fit_temperature(np.zeros((3, 2)), np.array([0, 1, 0])) == 1


def scores_of(learner, support):
    return left_out_scores(left_out(learner, support), support.y[0].numpy(), support.n_way)


def test_one_of_each_class_is_left_out_at_a_time():
    labels = np.array([2, 0, 0, 1, 2, 0, 3])
    assert deal(labels, np.arange(7)).tolist() == [0, 0, 1, -1, 1, 2, -1]
    many = deal(np.zeros(3 * MOST, np.int64), np.arange(3 * MOST))
    assert np.bincount(many).tolist() == [3] * MOST


@pytest.mark.parametrize("learner", [NearestMean(), load_learner("logistic-regression")])
def test_left_out_scores_are_those_of_a_loop(learner):
    rng = np.random.default_rng(0)
    labels = rng.permutation([0, 0, 0, 0, 1, 1, 2, 3, 3, 3])
    x = torch.from_numpy(rng.normal(size=(10, 6)) + 2 * np.eye(6)[labels])
    found, asked = scores_of(learner, SupportSet(x[None], torch.from_numpy(labels)[None], 4))
    wanted = {}
    for fold in range(4):
        out = [np.flatnonzero(labels == k)[fold] for k in (0, 1, 3) if (labels == k).sum() > fold]
        kept = np.setdiff1d(np.arange(10), out)
        classify = learner.adapt(SupportSet(x[kept], torch.from_numpy(labels[kept]), 4))
        wanted |= {row: classify(x[[row]])[0].numpy() for row in out}
    assert len(found) == len(wanted) == 9 and 2 not in asked
    for row, scores in wanted.items():
        distance = np.abs(found - scores).max(1)
        assert distance.min() < 1e-8 and asked[distance.argmin()] == labels[row]


def digits(shot, seed, way=10, queries=30):
    data, rng = load_digits(), np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(data.target == k)) for k in range(way)]
    support, query = (np.concatenate([r[part] for r in rows]) for part in (slice(0, shot), slice(shot, shot + queries)))
    return data.data[support] / 16, data.target[support], data.data[query] / 16, data.target[query]


@pytest.mark.parametrize("learner", ["nearest-mean", "logistic-regression"])
def test_probabilities_of_real_digits_are_better_for_it(learner):
    gaps = []
    for seed in range(5):
        x, y, query, truth = digits(5, seed)
        row = []
        for calibrate in (False, True):
            p = FewShotClassifier(learner=learner, calibrate=calibrate).fit(x, y).predict_proba(query)
            row.append((calibration_error(np.log(p), truth), negative_log_likelihood(np.log(p), truth)))
        gaps.append(row)
    before, after = np.mean(gaps, 0)
    assert (after < before).all() and after[0] < 0.12


def test_the_model_says_what_left_out_examples_told():
    x, y, _, _ = digits(3, 0)
    scores, labels = scores_of(NearestMean(), FewShotClassifier().fit(x, y).model_.support)
    told = FewShotClassifier(learner="nearest-mean").fit(x, y).model_.calibration
    assert told.asked == 30 and told.right == (scores.argmax(1) == labels).sum()
    np.testing.assert_allclose(told.temperature, oracle(scores, labels), rtol=1e-4)


def test_one_example_of_each_class_leaves_log_probabilities_as_they_are():
    x, y, query, _ = digits(1, 0)
    classifier = FewShotClassifier(learner="nearest-mean").fit(x, y)
    assert classifier.model_.calibration == (1.0, 0, 0)
    distances = ((query[:, None] - x[None]) ** 2).sum(-1)
    np.testing.assert_allclose(classifier.predict_proba(query), np.exp(log_softmax(-distances, axis=1)), rtol=1e-6)


def city_block(support_x, support_y, query_x):
    distances = torch.cdist(query_x, support_x, p=1)
    return torch.stack([-distances[:, support_y == k].mean(1) for k in range(int(support_y.max()) + 1)], 1)


def test_scores_that_rank_get_probabilities_only_by_calibration():
    x, y, query, truth = digits(2, 0)
    p = FewShotClassifier(learner=from_function(city_block)).fit(x, y).predict_proba(query)
    assert negative_log_likelihood(np.log(p), truth) < np.log(10)
    for options, rows in (({"calibrate": False}, slice(None)), ({}, np.unique(y, return_index=True)[1])):
        classifier = FewShotClassifier(learner=from_function(city_block), **options).fit(x[rows], y[rows])
        assert len(classifier.predict(query)) == len(query)
        with pytest.raises(StatisticsError, match="only rank, and probabilities need an example"):
            classifier.predict_proba(query)


def test_a_learner_that_refuses_what_is_left_says_so():
    @dataclass(frozen=True)
    class Pairs:
        def adapt(self, support):
            if (torch.bincount(support.y.flatten()) < 2 * len(support)).any():
                raise EpisodeError("every class needs two examples, got one; add some")
            return NearestMean().adapt(support)

    x, y, query, _ = digits(2, 0)
    with pytest.raises(StatisticsError, match=r"got 'every class needs two examples.*pass calibrate=False"):
        FewShotClassifier(learner=Pairs()).fit(x, y)
    assert len(FewShotClassifier(learner=Pairs(), calibrate=False).fit(x, y).predict(query)) == len(query)
