"""Verdicts on published numbers: SciPy as oracle, slips that would be seen, and how often the rule is right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fewshot.errors import StatisticsError
from fewshot.results.verdict import NO_TRAINING, Published, SeedTerm, judge, plausible

SLIPS = ("normal quantile", "no seed term", "no spread of the paper", "no rounding", "seed term of one run")


def run(mean, episodes=600, spread=0.05, seed=0):
    """Accuracies with about this mean, no two alike."""
    values = np.random.default_rng(seed).normal(mean, spread, episodes)
    return np.clip(values, 0, 1)


def slow(runs, published, slip=None):
    """Ends of the 90 % interval in points, part by part, from the definitions."""
    count, episodes = len(runs), len(runs[0])
    mean_of_runs = np.array([np.mean([r[i] for r in runs]) for i in range(episodes)])
    ours = stats.sem(mean_of_runs) ** 2
    if published.half_width is None:
        paper = np.mean([np.var(r, ddof=1) for r in runs]) / published.episodes
    else:
        paper = (published.half_width / 1.96) ** 2
    unit = 10.0**-published.digits / 100
    rounding = stats.uniform(loc=-unit / 2, scale=unit).var()
    seed = np.var([np.mean(r) for r in runs], ddof=1) * (1 if slip == "seed term of one run" else 1 + 1 / count)
    paper = 0 if slip == "no spread of the paper" else paper
    rounding = 0 if slip == "no rounding" else rounding
    seed = 0 if slip == "no seed term" else seed
    parts, freedoms = (
        np.array([ours, paper + rounding, seed]),
        np.array([episodes - 1, published.episodes - 1, count - 1]),
    )
    total = parts.sum()
    freedom = total**2 / (parts**2 / freedoms).sum()
    quantile = stats.norm.ppf(0.95) if slip == "normal quantile" else stats.t.ppf(0.95, freedom)
    gap = np.mean([np.mean(r) for r in runs]) - published.value
    return gap - quantile * np.sqrt(total), gap + quantile * np.sqrt(total)


CASES = [Published(0.81, 400), Published(0.812, 600, 0.004, 2)]
RUNS = [run(m, seed=k) for k, m in enumerate((0.80, 0.81, 0.815))]


@pytest.mark.parametrize("published", CASES)
def test_the_interval_is_that_of_the_definitions(published):
    assert judge(RUNS, published, 0.01).inner == pytest.approx(slow(RUNS, published), rel=1e-9)


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_would_be_seen(slip):
    wrong = [slow(RUNS, published, slip) for published in CASES]
    found = [judge(RUNS, published, 0.01).inner for published in CASES]
    assert any(abs(w[0] - f[0]) > 1e-5 for w, f in zip(wrong, found, strict=True))


@given(st.floats(-0.1, 0.1), st.floats(0.001, 0.05))
def test_words_follow_from_the_intervals(shift, delta):
    found = judge([run(0.8, seed=k) for k in range(3)], Published(round(0.8 - shift, 3), 600), delta)
    inside = -delta < found.inner[0] and found.inner[1] < delta
    apart = found.outer[0] > 0 or found.outer[1] < 0
    assert found.word == ("reproduced" if inside else "different" if apart else "undecided")
    assert found.outer[0] < found.inner[0] < found.difference < found.inner[1] < found.outer[1]


def test_one_run_alone_decides_nothing():
    single = [run(0.8)]
    far = Published(0.5, 600)
    assert judge(single, far, 0.01).word == "undecided" and not judge(single, far, 0.01).seeds
    assert judge(single, far, 0.01, SeedTerm(1e-5, 4)).word == "different"
    assert judge(single, Published(0.8, 600), 0.05, SeedTerm(1e-6, 4)).word == "reproduced"


def test_two_runs_borrow_a_known_spread_and_three_have_their_own():
    two, three, far = RUNS[:2], RUNS, SeedTerm(1.0, 8)
    assert judge(two, CASES[0], 0.01, far).inner[1] > 1 > judge(two, CASES[0], 0.01).inner[1]
    assert judge(three, CASES[0], 0.01, far) == judge(three, CASES[0], 0.01)


def test_where_nothing_is_trained_one_run_decides():
    assert judge([run(0.8, 20000)], Published(0.8, 20000), 0.01, NO_TRAINING).word == "reproduced"
    assert judge([run(0.8)], Published(0.7, 600), 0.01, NO_TRAINING).word == "different"


@pytest.mark.parametrize(("published", "word"), [(0.612, "reproduced"), (0.6, "different"), (0.613, "reproduced")])
def test_on_the_same_queries_only_rounding_is_left(published, word):
    runs = [np.full(20, 0.6125) + np.tile([0.1, -0.1], 10)]
    found = judge(runs, Published(published, 20), 0.01, NO_TRAINING, same_items=True)
    assert found.word == word
    rounding = 0.0005 / np.sqrt(3)
    assert found.inner == pytest.approx([0.6125 - published + s * stats.norm.ppf(0.95) * rounding for s in (-1, 1)])
    assert judge(runs, Published(published, 20), 0.01, NO_TRAINING).word == "undecided"  # as if of other queries


def test_a_true_number_is_called_different_in_one_case_of_twenty_at_most():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        seeds = rng.normal(0.8, 0.004, 4)  # three of ours, and the paper's
        ours = [np.clip(rng.normal(s, 0.05, 300), 0, 1) for s in seeds[:3]]
        paper = rng.normal(seeds[3], 0.05, 300)
        half = 1.96 * paper.std(ddof=1) / np.sqrt(300)
        wrong += judge(ours, Published(round(paper.mean(), 3), 300, half), 0.001).word == "different"
    assert wrong <= 30  # 20 expected at most, three standard deviations


def test_a_difference_beyond_delta_is_called_reproduced_in_one_case_of_twenty_at_most():
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(400):
        seeds = rng.normal(0.8, 0.002, 4) + np.array([0.02, 0.02, 0.02, 0])
        ours = [np.clip(rng.normal(s, 0.05, 300), 0, 1) for s in seeds[:3]]
        paper = rng.normal(seeds[3], 0.05, 300)
        half = 1.96 * paper.std(ddof=1) / np.sqrt(300)
        wrong += judge(ours, Published(round(paper.mean(), 3), 300, half), 0.02).word == "reproduced"
    assert wrong <= 33


@pytest.mark.parametrize(
    ("value", "half", "queries", "episodes", "holds"),
    [  # MAML, miniImageNet; Reptile, Omniglot, printed an interval over something else (their papers)
        (0.4870, 0.0184, 5, 600, True),
        (0.9539, 0.0009, 5, 10000, False),
        (0.9948, 0.0010, 75, 1000, True),
    ],
)
def test_intervals_that_cannot_be_over_episodes_are_found(value, half, queries, episodes, holds):
    assert plausible(Published(value, episodes, half, 2), queries) == holds
    assert plausible(Published(value, episodes), queries)


def test_errors_of_verdicts():
    with pytest.raises(StatisticsError, match=r"one number of episodes and delta be above 0, got \[3, 4\] and 0.1"):
        judge([np.full(3, 0.5), np.full(4, 0.5)], Published(0.5, 10), 0.1)
    with pytest.raises(StatisticsError, match="delta be above 0"):
        judge([run(0.5)], Published(0.5, 10), 0.0)
