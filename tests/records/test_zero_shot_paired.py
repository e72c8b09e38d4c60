"""Paired differences of zero-shot learners: images drawn one by one, coverage in simulation, slips; answers in records."""

import numpy as np
import pytest

from fewshot.errors import StatisticsError
from fewshot.records.zero_shot import Counts
from fewshot.records.zero_shot_paired import PairCounts, paired_bootstrap
from fewshot.statistics.per_class import ClassCounts, bootstrap, harmonic_mean


def answers(rng, items, easy, gap):
    """Answers of two learners that find the same images hard; the first is better by ``gap``, on average."""
    hard = rng.random(sum(items))
    level = np.repeat(easy, items)
    return hard < level + gap, np.where(rng.random(sum(items)) < 0.1, rng.random(sum(items)) < level, hard < level)


def pair(rng, items, easy, gap=0.05):
    classes = np.repeat(np.arange(len(items)), items)
    order = rng.permutation(len(classes))
    first, second = answers(rng, items, easy, gap)
    counts = [ClassCounts.of(one[order], classes[order]) for one in (first, second)]
    return (*counts, PairCounts.of(*counts))


UNSEEN, SEEN = ([30, 5, 60], [0.5, 0.3, 0.6]), ([20, 40], [0.3, 0.7])


def slow_interval(first, second, seen, draws, slip=None):
    """Images drawn one at a time, the same ones for both learners, class by class."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(draws):
        means = [[], []]
        for a, b in [(first, second)] + ([seen] if seen else []):
            ends, accuracies = np.cumsum(a.items), [[], []]
            drawn = [rng.integers(end - n, end, size=n) for end, n in zip(ends, a.items, strict=True)]
            again = [rng.integers(end - n, end, size=n) for end, n in zip(ends, a.items, strict=True)]
            for k, rows in enumerate(drawn):
                accuracies[0].append(a.answers[rows].mean())
                accuracies[1].append(b.answers[again[k] if slip == "images of its own" else rows].mean())
            for which in range(2):
                weights = a.items if slip == "items weigh equally" else None
                means[which].append(np.average(accuracies[which], weights=weights))
        found.append(np.subtract(*[harmonic_mean(*m) if len(m) == 2 else m[0] for m in means]))
    return np.quantile(found, [0.025, 0.975])


@pytest.mark.parametrize("mixed", [False, True])
def test_the_interval_is_that_of_images_drawn_one_by_one(mixed):
    rng = np.random.default_rng(0)
    (a, b, unseen), (c, d, seen) = pair(rng, *UNSEEN), pair(rng, *SEEN)
    found = paired_bootstrap(unseen, seen if mixed else None, draws=20_000)
    low, high = slow_interval(a, b, (c, d) if mixed else None, 4000)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)
    own = [harmonic_mean(x.mean, y.mean) if mixed else x.mean for x, y in ((a, c), (b, d))]
    assert found.estimate == pytest.approx(own[0] - own[1])
    assert found.count == (155 if mixed else 95)
    assert paired_bootstrap(unseen, seen, new_classes=True).count == 5


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["images of its own", "items weigh equally"])
def test_another_interval_would_be_noticed(slip):
    rng = np.random.default_rng(0)
    a, b, unseen = pair(rng, *UNSEEN)
    found = paired_bootstrap(unseen, draws=20_000)
    low, high = slow_interval(a, b, None, 4000, slip)
    assert max(abs(found.low - low), abs(found.high - high)) > 0.015


def test_learners_that_agree_do_not_differ():
    a, _, _ = pair(np.random.default_rng(1), *UNSEEN)
    same = paired_bootstrap(PairCounts.of(a, a), PairCounts.of(a, a))
    assert (same.low, same.estimate, same.high) == (0, 0, 0)


def test_pairing_narrows_the_interval_and_new_classes_widen_it():
    a, b, unseen = pair(np.random.default_rng(2), [200] * 12, np.linspace(0.1, 0.9, 12))
    apart = np.hypot(*[bootstrap(one)["unseen"].half_width for one in (a, b)])
    assert paired_bootstrap(unseen).half_width < 0.6 * apart
    assert paired_bootstrap(unseen, new_classes=True).half_width > paired_bootstrap(unseen).half_width


def test_an_interval_covers_the_true_difference():
    """400 data sets, 95 %: between 92 and 98 % of the intervals hold the mean of the classes' true differences."""
    rng, items, easy = np.random.default_rng(3), [60, 90, 120], [0.3, 0.5, 0.7]
    truth, covered = 0.05, 0
    for seed in range(400):
        found = paired_bootstrap(pair(rng, items, easy, truth)[2], draws=500, seed=seed)
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_answers_survive_the_record():
    for items in ([30, 5, 60], [1], [8, 8], [3, 4]):
        counts = pair(np.random.default_rng(4), items, [0.5] * len(items))[0]
        kept = Counts.of([f"kind {k}" for k in range(len(items))], counts)
        again = Counts.model_validate_json(kept.model_dump_json()).counts
        assert again.answers.tolist() == counts.answers.tolist() and again.correct.tolist() == counts.correct.tolist()
        assert len(kept.answers) == 2 * -(-sum(items) // 8)


def test_answers_stand_class_after_class_in_the_order_of_the_items():
    counts = ClassCounts.of(np.array([True, False, True, True]), np.array([7, 2, 7, 2]))
    assert counts.answers.tolist() == [False, True, True, True]
    assert (counts.correct.tolist(), counts.items.tolist()) == ([1, 2], [2, 2])


def test_what_cannot_be_paired_is_refused(no_shape_hook):
    a, b, _ = pair(np.random.default_rng(0), *UNSEEN)
    with pytest.raises(StatisticsError, match="needs every single answer, got counts alone; run it again"):
        PairCounts.of(a, ClassCounts(b.correct, b.items))
    other = pair(np.random.default_rng(0), *SEEN)[0]
    with pytest.raises(StatisticsError, match="needs the same items, got 95 and 60 in 3 and 2 classes"):
        PairCounts.of(a, other)
    for wrong in (~a.answers, a.answers[:-1]):
        with pytest.raises(StatisticsError, match="answers must add up to the counts of each class, got others"):
            ClassCounts(a.correct, a.items, wrong)
