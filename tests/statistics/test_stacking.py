"""Calibrated stacking: every γ by brute force on the scores, the area by scikit-learn, limits, planted slips."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, balanced_accuracy_score

from fewshot.errors import StatisticsError
from fewshot.statistics.per_class import harmonic_mean
from fewshot.statistics.stacking import JointAnswers, curve

SEEN = np.array([True, False, True, False, False])  # of five classes


def scores_and_labels(seed=0, items=60):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(5), rng.choice(5, items - 5, p=[0.4, 0.1, 0.2, 0.1, 0.2])])
    scores = rng.normal(size=(items, 5)) + 1.2 * np.eye(5)[labels] + 0.8 * SEEN
    return scores, labels


def joint(scores, labels):
    own = np.where(SEEN[labels][:, None] == SEEN, scores, -np.inf).argmax(1)
    advantage = scores[:, SEEN].max(1) - scores[:, ~SEEN].max(1)
    return JointAnswers(labels, SEEN[labels], own == labels, advantage)


def brute(scores, labels, gamma):
    """U and S by scikit-learn, from the answers of all five classes."""
    answers = (scores - gamma * SEEN).argmax(1)
    return [balanced_accuracy_score(labels[k], answers[k]) if k.any() else 0 for k in (~SEEN[labels], SEEN[labels])]


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(-4, 4))
def test_every_gamma_gives_what_the_scores_say(seed, gamma):
    scores, labels = scores_and_labels(seed)
    unseen, seen = joint(scores, labels).counts(gamma)
    assert [unseen.mean, seen.mean] == pytest.approx(brute(scores, labels, gamma))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_the_curve_is_all_of_them():
    scores, labels = scores_and_labels()
    got = curve(joint(scores, labels))
    expected = np.array([brute(scores, labels, g) for g in got.gamma[1:-1]])
    np.testing.assert_allclose(np.stack([got.unseen, got.seen], 1)[1:-1], expected, atol=1e-12)
    fine = np.array([brute(scores, labels, g) for g in np.linspace(-8, 8, 3001)])
    assert got.area == pytest.approx(auc(fine[:, 0], fine[:, 1]), abs=1e-3)
    h = harmonic_mean(fine[:, 0], fine[:, 1])
    best = brute(scores, labels, got.best_gamma())
    assert float(harmonic_mean(*best)) >= h.max() - 1e-12


def test_limits():
    got = curve(joint(*scores_and_labels()))
    assert (got.unseen[0], got.seen[-1]) == (0, 0)
    assert (np.diff(got.unseen) >= 0).all() and (np.diff(got.seen) <= 1e-15).all()
    scores, labels = scores_and_labels()
    answers = joint(scores, labels)
    assert answers.counts(-np.inf)[0].mean == 0 and answers.counts(np.inf)[1].mean == 0
    right = np.where(SEEN[labels][:, None] == SEEN, scores, -np.inf).argmax(1) == labels
    zero_shot = np.mean([right[labels == c].mean() for c in np.flatnonzero(~SEEN)])
    assert answers.counts(np.inf)[0].mean == pytest.approx(zero_shot)  # as if seen classes were no answers


def test_of_equally_good_ones_the_gamma_nearest_to_zero_is_taken():
    labels = np.array([0, 0, 1, 1])
    answers = JointAnswers(labels, SEEN[labels], np.array([True] * 4), np.array([5.0, 4.0, -4.0, -6.0]))
    assert answers.counts(curve(answers).best_gamma())[0].mean == 1
    assert curve(answers).best_gamma() == 0.0  # any of -4..4 is perfect: the middle


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["items weigh equally", "γ is added", "right among all classes"])
def test_wrong_formulas_would_be_seen(slip):
    scores, labels = scores_and_labels()
    answers, gamma = joint(scores, labels), 0.7
    right = [counts.mean for counts in answers.counts(gamma)]
    if slip == "items weigh equally":
        wrong = [counts.correct.sum() / counts.items.sum() for counts in answers.counts(gamma)]
    elif slip == "γ is added":
        wrong = [counts.mean for counts in answers.counts(-gamma)]
    else:
        free = JointAnswers(labels, SEEN[labels], scores.argmax(1) == labels, answers.advantage)
        wrong = [counts.mean for counts in free.counts(gamma)]
    assert np.abs(np.subtract(right, wrong)).max() > 0.01


def test_errors():
    one = np.zeros(2, int)
    with pytest.raises(StatisticsError, match="items of seen and of unseen classes, got 2 of 2 seen"):
        JointAnswers(one, np.ones(2, bool), np.ones(2, bool), np.zeros(2))
    with pytest.raises(StatisticsError, match="scores must be numbers, got nan"):
        JointAnswers(one, np.array([True, False]), np.ones(2, bool), np.array([0, np.nan]))
