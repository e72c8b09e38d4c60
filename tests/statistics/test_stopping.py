"""Sizes of runs: known counts, planted mistakes, and simulated coverage of the two stages."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from fewshot.errors import StatisticsError
from fewshot.statistics.mean_accuracy import t_interval
from fewshot.statistics.stopping import plausible_half_width, two_stage_count


def pilot_of(spread, episodes=200, mean=0.5):
    """A pilot with exactly that standard deviation (ddof 1)."""
    values = np.linspace(-1, 1, episodes)
    return mean + spread * values / values.std(ddof=1)


def test_a_normal_quantile_gives_the_textbook_count():
    # (1.96 * 0.1 / 0.008)^2 = 600.2; t with 199 degrees of freedom is 1.97196
    assert two_stage_count(pilot_of(0.1), 0.008) == int(np.ceil((1.97196 * 0.1 / 0.008) ** 2)) == 608


@given(st.integers(3, 300), st.floats(0.01, 0.3), st.floats(0.002, 0.1), st.floats(0.8, 0.99))
def test_the_count_is_the_smallest_that_is_enough(episodes, spread, half_width, level):
    pilot = pilot_of(spread, episodes)
    count = two_stage_count(pilot, half_width, level)
    factor = stats.t.ppf((1 + level) / 2, episodes - 1) * np.std(pilot, ddof=1)
    assert count >= episodes
    assert factor / count**0.5 <= half_width * (1 + 1e-9)
    if count > episodes:
        assert factor / (count - 1) ** 0.5 > half_width * (1 - 1e-9)


WRONG = {
    "1.96 for t": lambda a, h: (1.96 * a.std(ddof=1) / h) ** 2,
    "ddof 0": lambda a, h: (stats.t.ppf(0.975, len(a) - 1) * a.std() / h) ** 2,
    "full width": lambda a, h: (2 * stats.t.ppf(0.975, len(a) - 1) * a.std(ddof=1) / h) ** 2,
    "no square": lambda a, h: stats.t.ppf(0.975, len(a) - 1) * a.std(ddof=1) / h,
    "pilot not counted": lambda a, h: len(a) + (stats.t.ppf(0.975, len(a) - 1) * a.std(ddof=1) / h) ** 2,
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_counts_are_caught(wrong):
    pilot = pilot_of(0.1, 20)
    right = (stats.t.ppf(0.975, 19) * np.std(pilot, ddof=1) / 0.004) ** 2
    with pytest.raises(AssertionError):
        assert_allclose(np.ceil(wrong(pilot, 0.004)), np.ceil(right))
    assert two_stage_count(pilot, 0.004) == np.ceil(right)


def test_simulated_coverage_of_two_stages():
    rng = np.random.default_rng(0)
    held, width = [], []
    for _ in range(1500):
        episodes = rng.binomial(25, rng.beta(19, 1, size=3000)) / 25
        interval = t_interval(episodes[: two_stage_count(episodes[:200], 0.004)])
        held.append(interval.low <= 0.95 <= interval.high)
        width.append(interval.half_width)
    assert 0.935 < np.mean(held) < 0.965
    assert_allclose(np.mean(width), 0.004, rtol=0.03)


@pytest.mark.parametrize(
    ("accuracy", "half_width", "episodes", "queries", "rounding", "plausible"),
    [
        (0.4870, 0.0184, 600, 5, 0.00005, True),  # MAML, miniImageNet 1-shot: one query a class
        (0.4942, 0.0078, 600, 75, 0.00005, True),  # ProtoNet, miniImageNet 1-shot
        (0.4942, 0.0018, 600, 75, 0.00005, False),  # the same over ten training runs, say
        (0.9500, 0.0010, 10_000, 5, 0.00005, False),  # binomial floor 0.0019
        (1.0000, 0.0000, 600, 75, 0.0, True),  # no errors, no spread
    ],
)
def test_printed_half_widths(accuracy, half_width, episodes, queries, rounding, plausible):
    assert plausible_half_width(accuracy, half_width, episodes, queries, rounding) == plausible


def test_the_floor_is_nine_tenths_of_the_binomial_one():
    floor = 1.96 * (0.5 * 0.5 / (75 * 600)) ** 0.5
    assert plausible_half_width(0.5, 0.91 * floor, 600, 75)
    assert not plausible_half_width(0.5, 0.89 * floor, 600, 75)
    assert plausible_half_width(0.5, 0.85 * floor, 600, 75, rounding=0.06 * floor)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: two_stage_count(np.full(200, 0.7), 0.01), "must show some spread, got 200 episodes at 0.7"),
        (lambda: two_stage_count(pilot_of(0.1), 0.0), "must be positive, got 0.0"),
        (lambda: two_stage_count(pilot_of(0.1), float("nan")), "must be positive, got nan"),
        (lambda: two_stage_count(np.array([0.7]), 0.01), "two or more values"),
        (lambda: plausible_half_width(49.4, 0.8, 600, 75), "accuracy is in 0..1.*got 49.4"),
        (lambda: plausible_half_width(0.494, 0.008, 0, 75), "episodes and queries positive.* 0 and 75"),
    ],
)
def test_what_cannot_be_answered_is_refused(call, message, no_shape_hook):
    with pytest.raises(StatisticsError, match=message):
        call()
