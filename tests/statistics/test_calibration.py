"""Calibration figures: scikit-learn and a slow loop as oracles, planted mistakes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn import metrics

from fewshot.errors import StatisticsError
from fewshot.statistics.calibration import brier_score, calibration_error, negative_log_likelihood


def answers(seed, queries=200, n_way=4):
    """Scores too sure where they are sure, too modest elsewhere; an arbitrary constant per query."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_way, queries)
    scores = rng.normal(size=(queries, n_way)) * 2
    modest = rng.random(queries) < 0.5
    scores[np.arange(queries), labels] += np.where(modest, 2, 0)
    scores *= np.where(modest, 0.5, 2)[:, None]
    return scores + rng.normal(size=(queries, 1)) * 50, labels


def probabilities(scores):
    shifted = np.exp(scores - scores.max(1, keepdims=True))
    return shifted / shifted.sum(1, keepdims=True)


def slow_calibration_error(p, labels, bins):
    """Query by query: find the bin whose edges hold the confidence."""
    members = [[] for _ in range(bins)]
    for row, label in zip(p, labels, strict=True):
        place = next(b for b in range(bins) if row.max() <= (b + 1) / bins + 1e-12)
        members[place].append((row.max(), row.argmax() == label))
    gaps = [abs(np.mean([c for c, _ in m]) - np.mean([r for _, r in m])) * len(m) for m in members if m]
    return sum(gaps) / len(labels)


@given(st.integers(0, 500), st.sampled_from([1, 7, 15]))
def test_calibration_error_is_the_slow_loop(seed, bins):
    scores, labels = answers(seed)
    expected = slow_calibration_error(probabilities(scores), labels, bins)
    assert_allclose(calibration_error(scores, labels, bins), expected, atol=1e-9)


def own_class(p, labels, bins=15):
    """The probability of the true class for that of the answer."""
    return slow_calibration_error(np.stack([p[np.arange(len(p)), labels]], 1), labels, bins)


WRONG = {
    "bins weigh the same": lambda p, y: np.mean(
        [
            abs((p.max(1) - (p.argmax(1) == y))[k].mean())
            for b in range(15)
            if (k := np.ceil(p.max(1) * 15) == b + 1).any()
        ]
    ),
    "one bin": lambda p, y: slow_calibration_error(p, y, 1),
    "gap before averaging": lambda p, y: np.abs(p.max(1) - (p.argmax(1) == y)).mean(),
    "signed gaps": lambda p, y: (p.max(1) - (p.argmax(1) == y)).mean(),
    "confidence of the true class": own_class,
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_calibration_errors_are_caught(wrong):
    scores, labels = answers(3)
    p = probabilities(scores)
    with pytest.raises(AssertionError):
        assert_allclose(wrong(p, labels), slow_calibration_error(p, labels, 15), atol=1e-3)


def test_calibration_error_by_hand():
    scores = np.log(np.array([[0.8, 0.2], [0.8, 0.2], [0.6, 0.4], [0.45, 0.55]]))
    labels = np.array([0, 1, 0, 0])
    # bins of a tenth: (0.7, 0.8] has confidence 0.8, accuracy 0.5; (0.5, 0.6] has 0.575 and 0.5
    assert_allclose(calibration_error(scores, labels, 10), (2 * 0.3 + 2 * 0.075) / 4, atol=1e-9)


@given(st.integers(0, 500))
def test_losses_are_scikit_learns_and_the_slow_sum(seed):
    scores, labels = answers(seed)
    p = probabilities(scores)
    nll = metrics.log_loss(labels, p, labels=range(4))
    assert_allclose(negative_log_likelihood(scores, labels), nll, rtol=1e-9)
    brier = np.mean([sum((p[q, c] - (c == label)) ** 2 for c in range(4)) for q, label in enumerate(labels)])
    assert_allclose(brier_score(scores, labels), brier, rtol=1e-9)
    two = scores[:, :2], labels % 2
    halves = metrics.brier_score_loss(two[1], probabilities(two[0])[:, 1])
    assert_allclose(brier_score(*two), 2 * halves, rtol=1e-9)


def test_certain_answers():
    scores = np.array([[0.0, -np.inf], [0.0, -np.inf]])
    right, half = np.array([0, 0]), np.array([0, 1])
    assert calibration_error(scores, right) == brier_score(scores, right) == 0
    assert negative_log_likelihood(scores, right) == 0
    assert (calibration_error(scores, half), brier_score(scores, half)) == (0.5, 1.0)
    assert negative_log_likelihood(scores, half) == np.inf


@pytest.mark.parametrize(
    ("scores", "labels", "bins", "message"),
    [
        (np.zeros((2, 3)), [0, 3], 15, r"0..2, got 0..3"),
        (np.zeros((2, 3)), [-1, 0], 15, r"0..2, got -1..0"),
        (np.zeros((2, 3)), [0], 15, r"\(2, 3\) and \(1,\)"),
        (np.zeros((0, 3)), [], 15, r"\(0, 3\) and \(0,\)"),
        (np.array([[0.0, np.nan]]), [0], 15, "none that is NaN"),
        (np.full((1, 2), -np.inf), [0], 15, "a finite score"),
        (np.zeros((2, 3)), [0, 1], 0, "at least one bin, got 0"),
    ],
)
def test_what_cannot_be_answered_is_refused(scores, labels, bins, message, no_shape_hook):
    with pytest.raises(StatisticsError, match=message):
        calibration_error(scores, np.array(labels, dtype=int), bins)
