"""Measures of the gap: double loops, domains whose distance is known, and intervals that hold it."""

import numpy as np
import pytest

from fewshot.errors import StatisticsError
from fewshot.statistics.gap.discrepancy import discrepancy
from fewshot.statistics.gap.proxy_distance import proxy_distance


def rng(seed=0):
    return np.random.default_rng(seed)


def domains(seed=0, s=30, t=25, shift=0.8, dim=3):
    draw = rng(seed)
    return draw.normal(size=(s, dim)), draw.normal(size=(t, dim)) + shift


def mmd_oracle(x, t, width, slip=None):
    """Eq. 3 of Gretton et al. (2012) by double loops."""
    factor = 1 if slip == "no factor of two" else 2
    k = lambda a, b: np.exp(-((a - b) ** 2).sum() / (factor * width**2))  # noqa: E731
    own = slip == "pairs with itself"

    def within(rows):
        n = len(rows)
        total = sum(k(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if i != j or own)
        return total / (n * n if own else n * (n - 1))

    across = np.mean([k(a, b) for a in x for b in t])
    return within(x) + within(t) - (1 if slip == "once across" else 2) * across


def test_the_discrepancy_is_the_double_loop():
    x, t = domains()
    assert discrepancy(x, t, rng(), width=1.3, draws=5).interval.estimate == pytest.approx(mmd_oracle(x, t, 1.3))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["no factor of two", "pairs with itself", "once across"])
def test_wrong_discrepancies_fail(slip):
    x, t = domains()
    assert discrepancy(x, t, rng(), width=1.3, draws=5).interval.estimate != pytest.approx(mmd_oracle(x, t, 1.3, slip))


def test_the_width_is_the_median_distance():
    x, t = domains()
    both = np.concatenate([x, t])
    apart = [np.linalg.norm(a - b) for i, a in enumerate(both) for b in both[:i]]
    assert discrepancy(x, t, rng(), draws=5).width == pytest.approx(np.median(apart))


def known_mmd(shift, width):
    """Of N(0, 1) and N(shift, 1): Gaussian integrals."""
    v = width**2 + 2
    return 2 * width / np.sqrt(v) * (1 - np.exp(-(shift**2) / (2 * v)))


def test_the_interval_holds_the_known_value():
    held = 0
    for seed in range(60):
        x, t = domains(seed, 60, 60, dim=1)
        interval = discrepancy(x, t, rng(seed), width=1.0, draws=200).interval
        held += interval.low <= known_mmd(0.8, 1.0) <= interval.high
    assert held >= 52  # of 60 at 95 %
    assert interval.estimand == "new rows of both domains"


def test_the_permutation_test_is_exact():
    p = np.array([discrepancy(*domains(seed, 20, 20, shift=0), rng(seed), draws=99).p for seed in range(100)])
    assert 0.02 <= (p <= 0.1).mean() <= 0.2
    assert discrepancy(*domains(shift=2), rng(), draws=99).p == 0.01


def test_proxy_distance_at_both_ends():
    far = proxy_distance(*domains(shift=20), rng())
    assert (far.estimate, far.low, far.high) == (2, 2, 2)
    none = proxy_distance(*domains(s=800, t=800, shift=0), rng())
    assert none.low < 0 < none.high
    assert abs(none.estimate) < 0.15
    assert none.estimand == "other splits of these rows"


def test_proxy_distance_of_two_gaussians_is_known():
    """Two Gaussians 2 apart: the best line errs on Φ(-1) = 15.9 %, so the distance is 1.365; sizes do not matter."""
    draw = rng(3)
    for s in (1000, 300):
        x, t = draw.normal(size=(s, 2)), draw.normal(size=(1000, 2)) + np.array([2.0, 0.0])
        assert proxy_distance(x, t, draw).estimate == pytest.approx(1.365, abs=0.12)


def test_the_interval_of_splits_is_wider_than_that_of_independent_ones():
    x, t = domains(s=60, t=60)
    values = [proxy_distance(x, t, rng(seed), splits=2).estimate for seed in range(30)]
    one = proxy_distance(x, t, rng(0), splits=30)
    naive = 2.045 * np.std(values, ddof=1) / np.sqrt(30)
    assert one.half_width > 3 * naive
    assert one.count == 30


def test_many_rows_are_sampled_and_seeds_name_the_answer():
    x, t = domains(s=500, t=30)
    few = discrepancy(x, t, rng(4), draws=20, most=100)
    assert few.rows == (100, 30)
    assert few == discrepancy(x, t, rng(4), draws=20, most=100)
    assert proxy_distance(x, t, rng(4), most=100) == proxy_distance(x, t, rng(4), most=100)


def test_errors_say_what_must_hold(no_shape_hook):
    x, t = domains()
    for call, sentence in [
        (lambda: discrepancy(x, t[:, :2], rng()), r"the same columns, got shapes \(30, 3\) and \(25, 2\)"),
        (lambda: discrepancy(x, t[:9], rng()), "a gap needs 10 rows of each domain or more, got 30 and 9"),
        (lambda: proxy_distance(x * np.nan, t, rng()), "numbers of both domains must be finite, got NaN or infinity"),
        (lambda: discrepancy(x, t, rng(), width=0.0), "the width of the kernel must be above 0, got 0.0; give one"),
        (lambda: discrepancy(x, t, rng(), level=95), "a level lies between 0 and 1, got 95"),
        (lambda: proxy_distance(x, t, rng(), splits=1), "an interval needs two splits or more, got 1"),
    ]:
        with pytest.raises(StatisticsError, match=sentence):
            call()
