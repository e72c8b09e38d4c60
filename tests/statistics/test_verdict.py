"""Verdicts on published numbers: SciPy as oracle, slips that would be seen, and how often the rule is right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fewshot.errors import StatisticsError
from fewshot.statistics.verdict import NO_TRAINING, Published, SeedTerm, judge, plausible

SLIPS = (
    "normal quantile",
    "degrees of freedom of the sum",
    "no seed term",
    "no spread of the paper",
    "no rounding",
    "seed term of one run",
)


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
    parts = np.array([ours, paper + rounding, seed])
    freedoms = np.array([episodes - 1, published.episodes - 1, count - 1])
    total = parts.sum()
    if slip == "degrees of freedom of the sum":
        freedoms = np.full(3, total**2 / (parts**2 / freedoms).sum())
    quantiles = stats.norm.ppf(0.95) if slip == "normal quantile" else stats.t.ppf(0.95, freedoms)
    half = np.sqrt((parts * quantiles**2).sum())
    gap = np.mean([np.mean(r) for r in runs]) - published.value
    return gap - half, gap + half


CASES = [Published(0.81, 400), Published(0.812, 600, 0.004, 2)]
RUNS = [run(m, seed=k) for k, m in enumerate((0.80, 0.81, 0.815))]


@pytest.mark.parametrize("published", CASES)
def test_the_interval_is_that_of_the_definitions(published):
    assert judge(RUNS, published, 0.01).inner == pytest.approx(slow(RUNS, published), rel=1e-9)


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_would_be_seen(slip):
    wrong = [slow(RUNS, published, slip) for published in CASES]
    found = [judge(RUNS, published, 0.01).inner for published in CASES]
    assert any(abs(w[0] - f[0]) > 1e-6 for w, f in zip(wrong, found, strict=True))


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


def test_two_runs_alone_decide_nothing_and_a_pooled_spread_is_taken_before_ones_own():
    two, far = RUNS[:2], Published(0.5, 600)
    assert judge(two, far, 0.01).word == "undecided" and not judge(two, far, 0.01).seeds
    wide, narrow = SeedTerm(1.0, 8), SeedTerm(1e-8, 8)
    assert judge(RUNS, CASES[0], 0.01, wide).inner[1] > 1
    assert judge(RUNS, CASES[0], 0.01, narrow).inner[1] < judge(RUNS, CASES[0], 0.01).inner[1]


def test_fewer_queries_of_the_paper_make_its_part_larger():
    runs = [run(0.5, 300, 0.06, seed=k) for k in range(3)]
    few, many, unknown = (judge(runs, Published(0.5, 300, queries=n), 0.01, NO_TRAINING) for n in (5, 300, None))
    assert many.inner == unknown.inner
    ours = stats.sem(np.mean(runs, axis=0)) ** 2 * stats.t.ppf(0.95, 299) ** 2
    paper = (0.25 / 5 / 300 + 0.001**2 / 12) * stats.t.ppf(0.95, 299) ** 2
    assert few.inner[1] - few.difference == pytest.approx(np.sqrt(ours + paper), rel=1e-9)


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


@pytest.mark.parametrize("between", [0.0, 0.002, 0.004, 0.02])  # episodes alone have 0.003
@pytest.mark.parametrize("borrowed", [True, False])
def test_a_true_number_is_called_different_in_one_case_of_twenty_at_most(between, borrowed):
    wrong = [word_of(between, 0.0, borrowed, seed) == "different" for seed in range(600)]
    assert np.mean(wrong) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 600)


@pytest.mark.parametrize("between", [0.0, 0.002, 0.004, 0.02])
@pytest.mark.parametrize("borrowed", [True, False])
def test_a_difference_of_delta_is_called_reproduced_in_one_case_of_twenty_at_most(between, borrowed):
    wrong = [word_of(between, 0.02, borrowed, seed) == "reproduced" for seed in range(600)]
    assert np.mean(wrong) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 600)


def test_the_degrees_of_freedom_of_the_sum_would_call_true_numbers_different_too_often():
    wrong = 0
    for seed in range(2000):
        runs, published = drawn(0.006, 0.0, seed)
        gap = np.mean(runs) - published.value
        parts = np.array(
            [
                stats.sem(np.mean(runs, 0)) ** 2,
                (published.half_width / 1.96) ** 2,
                np.var(np.mean(runs, 1), ddof=1) * 4 / 3,
            ]
        )
        freedom = parts.sum() ** 2 / (parts**2 / [299, 299, 2]).sum()
        wrong += abs(gap) > stats.t.ppf(0.975, freedom) * np.sqrt(parts.sum())
    assert wrong / 2000 > 0.06


def drawn(between, shift, seed):
    """Three runs, shifted by so much, and a number of one run that a paper printed."""
    rng = np.random.default_rng(seed)
    means = rng.normal(0.8, between, 4) + shift * np.array([1, 1, 1, 0])
    episodes, paper = rng.normal(0, 0.05, 300), rng.normal(means[3], 0.05, 300)  # ours are judged on the same episodes
    runs = list(np.clip(means[:3, None] + episodes + rng.normal(0, 0.02, (3, 300)), 0, 1))
    return runs, Published(round(float(paper.mean()), 3), 300, float(1.96 * stats.sem(paper)))


def word_of(between, shift, borrowed, seed):
    """The verdict on such runs, or on one of them with the spread of three others."""
    runs, published = drawn(between, shift, seed)
    if not borrowed:
        return judge(runs, published, 0.02 if shift else 1e-6).word
    others, _ = drawn(between, 0.0, 10**6 + seed)
    spread = SeedTerm(float(np.var(np.mean(others, axis=1), ddof=1)), 2)
    return judge(runs[:1], published, 0.02 if shift else 1e-6, spread).word


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
