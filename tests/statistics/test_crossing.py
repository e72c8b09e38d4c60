"""From how many examples on a learner is better than one without: against a root finder, with coverage, and slips that show."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq

from fewshot.errors import StatisticsError
from fewshot.statistics.crossing import crossing

SHOTS = [1, 2, 5, 10]


def around(means, spread=0.02, count=10, seed=0, shared=0.0):
    """Differences whose sample means are exactly these."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=count)
    values = [spread * rng.normal(size=count) + shared * common for _ in means]
    return [m + v - v.mean() for m, v in zip(means, values, strict=True)]


@given(st.floats(-0.5, -0.01), st.floats(0.01, 0.5), st.integers(0, 2))
def test_the_point_is_the_root_of_the_polygon_over_log_shots(below, above, k):
    means = np.where(np.arange(4) <= k, below, above)
    found = crossing(SHOTS, around(means)).estimate
    root = brentq(lambda t: np.interp(t, np.log(SHOTS), means), np.log(SHOTS[k]), np.log(SHOTS[k + 1]), xtol=1e-12)
    assert found == pytest.approx(np.exp(root), rel=1e-6)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["linear in shots", "first crossing", "nearest shot"])
def test_a_slip_would_be_seen(slip):
    means = np.array([-0.1, 0.05, -0.1, 0.3])
    wrong = {"linear in shots": 5 + 0.25 * 5, "first crossing": np.exp(np.log(2) * 2 / 3), "nearest shot": 5.0}[slip]
    assert abs(crossing(SHOTS, around(means)).estimate - wrong) > 0.1


def test_curves_that_do_not_meet_say_so():
    always, never = crossing(SHOTS, around([0.1] * 4)), crossing(SHOTS, around([-0.1] * 4))
    assert (always.estimate, never.estimate) == (0.0, np.inf)
    assert always.text() == "below 1 [below 1, below 1]" and never.text() == "above 10 [above 10, above 10]"
    wide = crossing(SHOTS, around([-0.1, -0.1, -0.1, 0.001], spread=0.05)).text()
    assert wide.endswith(", above 10]")


def test_paired_draws_share_what_they_have_in_common():
    """A part that all shots of a draw have in common moves the crossing of a steep curve alike, paired or not; noise of
    its own cancels in neither. What differs is whether ends of one segment move together."""
    values = around([-0.05, 0.05, 0.2, 0.3], spread=0.0, shared=0.05, count=40)
    together, apart = crossing(SHOTS, values, paired=True), crossing(SHOTS, values)
    assert together.estimate == apart.estimate == pytest.approx(np.sqrt(2))
    assert together.high - together.low > 1.2 * (apart.high - apart.low)


def test_nineteen_intervals_of_twenty_hold_the_truth():
    rng, held = np.random.default_rng(0), 0
    for k in range(200):
        means = [-0.1, -0.02, 0.06, 0.1]
        values = [m + 0.05 * rng.normal(size=25) for m in means]
        found = crossing(SHOTS, values, seed=k)
        held += found.low <= np.exp(np.log(2) + 0.25 * np.log(2.5)) <= found.high
    assert 180 <= held <= 198  # a bootstrap of 25 is a little narrow


def test_errors_of_crossings():
    with pytest.raises(StatisticsError, match=r"a crossing needs rising shots with differences each, got \[5, 1\]"):
        crossing([5, 1], around([-0.1, 0.1]))
    with pytest.raises(StatisticsError, match=r"paired differences need one length, got \[10, 9\]"):
        crossing([1, 5], [np.zeros(10), np.zeros(9)], paired=True)
