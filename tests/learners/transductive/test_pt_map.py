"""Sinkhorn by POT, and PT-MAP by algorithm 1 with POT's transport on features in full."""

import math

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from scipy.special import softmax
from slips import Slipped
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import sinkhorn
from fewshot.learners.transductive.pt_map import PTMAP
from fewshot.testing import check_learner

# Sinkhorn -------------------------------------------------------------------------------------------


def transport(n, m, seed):
    rng = np.random.default_rng(seed)
    rows, columns = rng.dirichlet(np.full(n, 3.0)), rng.dirichlet(np.full(m, 3.0))
    return rng.uniform(0, 2, size=(n, m)), rows, columns


@given(st.integers(1, 6), st.integers(1, 9), st.sampled_from([0.1, 1.0, 10.0]), st.integers(0, 1000))
def test_the_plan_is_that_of_pot(n, m, strength, seed):
    cost, rows, columns = transport(n, m, seed)
    theirs = ot.sinkhorn(rows, columns, cost, 1 / strength, numItermax=10_000, stopThr=1e-13)
    ours = sinkhorn(*map(torch.from_numpy, (cost, rows, columns)), strength, tolerance=1e-11).exp()
    assert_close(ours, torch.from_numpy(theirs), rtol=1e-6, atol=1e-9)


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 1000))
def test_columns_are_exact_and_rows_within_the_tolerance(n, m, seed):
    cost, rows, columns = map(torch.from_numpy, transport(n, m, seed))
    plan = sinkhorn(cost, rows, columns, 100.0).exp()
    assert_close(plan.sum(0), columns, rtol=1e-12, atol=1e-12)
    assert (plan.sum(1) - rows).abs().max() <= 1e-8


def test_nothing_underflows():
    cost = torch.tensor([[0.0, 1e5, 2e5], [1e5, 0.0, 0.0]])
    plan = sinkhorn(cost, torch.tensor([1.0, 2.0]), torch.ones(3), 10.0)
    assert plan.dtype == torch.float32
    assert plan.isfinite().all()
    assert_close(plan.exp(), torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]))


def test_an_episode_does_not_wait_for_others():
    hard, easy = transport(4, 6, 0), transport(4, 6, 1)
    cost, rows, columns = (torch.from_numpy(np.stack(arrays)) for arrays in zip(hard, easy, strict=True))
    both = sinkhorn(cost, rows, columns, 10.0)
    for k in range(2):
        assert_close(both[k], sinkhorn(cost[k], rows[k], columns[k], 10.0), rtol=1e-12, atol=1e-12)


# PT-MAP ---------------------------------------------------------------------------------------------


def lengths_1(z):
    return z / np.sqrt((z**2).sum(1, keepdims=True))


def oracle(
    support,
    query,
    marginal="uniform",
    strength=10.0,
    rate=0.2,
    epochs=20,
    power=0.5,
    centre=True,
    slip=None,
    iterations=5000,
):
    """Algorithm 1 of Hu et al. (2021) with features in full: log-probabilities of one episode."""
    y = support.y.numpy()
    x, q = (
        np.sign(z + 1e-300) * (abs(z) + 1e-6) ** power for z in (support.x.double().numpy(), query.double().numpy())
    )
    if centre:
        x, q = lengths_1(x), lengths_1(q)
        common = np.concatenate([x, q]).mean(0)
        together = slip == "centred together"
        x, q = (lengths_1(z - (common if together else z.mean(0))) for z in (x, q))
    n = support.n_way
    shares = np.full(n, 1 / n) if isinstance(marginal, str) else np.array(marginal) / sum(marginal)
    shares = np.bincount(y, minlength=n) / len(y) if slip == "shares of the support" else shares
    c = np.stack([x[y == k].mean(0) for k in range(n)])
    hard = np.eye(n)[y]

    def plan():
        cost = ((q[:, None] - c) ** 2).sum(-1)
        cost = np.sqrt(cost) if slip == "distance not squared" else cost
        if slip == "no columns":
            return softmax(-strength * cost, axis=1)
        if marginal == "estimated":
            return softmax(-strength * cost + np.log(shares), axis=1)
        return ot.sinkhorn(
            np.ones(len(q)), len(q) * shares, cost, 1 / strength, numItermax=iterations, stopThr=1e-10, warn=False
        )

    for _ in range(epochs):
        p = plan()
        shares = p.mean(0) if marginal == "estimated" else shares
        weight = p if slip == "queries only" else np.concatenate([hard, p])
        items = q if slip == "queries only" else np.concatenate([x, q])
        c = c + rate * ((weight.T @ items) / weight.sum(0)[:, None] - c)
    p = plan()
    return np.log(p / p.sum(1, keepdims=True))


def agree(learner, case, **options):
    support, query, _ = case
    expected = torch.from_numpy(oracle(support, query, **options))
    assert_close(learner.adapt(support)(query), expected, rtol=1e-4, atol=1e-4)


def non_negative(case):
    return case[0].map(torch.abs), case[1].abs(), case[2]


@settings(max_examples=15)
@given(episodes(spread=4.0), st.sampled_from(["uniform", "estimated"]), st.booleans(), st.integers(0, 20))
def test_log_probabilities_are_those_of_algorithm_1(case, marginal, centre, epochs):
    strength = 10.0 if centre else 1.0
    options = {"marginal": marginal, "centre": centre, "epochs": epochs, "strength": strength}
    agree(PTMAP(**options), non_negative(case), **options)
    agree(PTMAP(**options), case, **options)


@settings(max_examples=10)
@given(episodes(spread=4.0), st.integers(0, 1000))
def test_given_shares_are_kept(case, seed):
    shares = np.random.default_rng(seed).dirichlet(np.full(case[0].n_way, 3.0)).clip(0.05).tolist()
    agree(PTMAP(shares), non_negative(case), marginal=shares)
    p = PTMAP(shares).adapt(case[0])(case[1]).exp()
    assert_close(p.mean(0), torch.tensor(shares, dtype=torch.float64) / sum(shares), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"marginal": "estimated"}, {"centre": False, "strength": 1.0}], ids=str)
def test_keeps_the_contract(options):
    check_learner(PTMAP(**options))


SLIPS = [
    {"slip": "centred together"},
    {"slip": "shares of the support"},
    {"slip": "distance not squared"},
    {"slip": "no columns"},
    {"slip": "queries only"},
    {"rate": 1.0},
    {"power": 1.0},
]
HARD = non_negative(episode((3, 1, 2), queries=12, spread=3.0))


def test_the_frame_of_the_wrong_formulas_is_right():
    agree(Slipped(oracle), HARD)
    agree(PTMAP(), HARD)


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=str)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    check_learner(Slipped(oracle, least=2, **slip, iterations=20, epochs=2))
    with pytest.raises(AssertionError):
        agree(Slipped(oracle, **slip), HARD)


# easyfsl --------------------------------------------------------------------------------------------


def easyfsls(support, query):
    """easyfsl 1.5.0: negative features become 0, no lengths, no centring, 10 rounds, sums by whole numbers."""
    x, q = ((z.clamp(min=0) + 1e-6).sqrt() for z in (support.x, query))
    y = torch.nn.functional.one_hot(support.y, support.n_way).to(x.dtype)
    c = torch.stack([x[support.y == k].mean(0) for k in range(support.n_way)])

    def plan():
        p = (-10 * torch.cdist(q, c) ** 2).exp()
        p = p / p.sum()
        for _ in range(1000):
            before = p.sum(1)
            p = p / (before + 1e-10)[:, None]
            p = p * (len(q) // support.n_way / (p.sum(0) + 1e-10))
            if (before - p.sum(1)).abs().max() < 1e-6:
                break
        return p

    for _ in range(10):
        weight = torch.cat([y, plan()])
        c = c + 0.2 * (weight.T @ torch.cat([x, q]) / weight.sum(0)[:, None] - c)
    return plan()


def test_easyfsl_is_reached_by_its_deviations_and_not_without():
    support, query, _ = non_negative(episode((3, 1, 2), queries=12))
    support, query = support.map(lambda x: x / 9), query / 9
    theirs = easyfsls(support, query)
    assert_close(PTMAP(centre=False, epochs=10).adapt(support)(query).exp(), theirs, rtol=1e-4, atol=1e-4)
    for learner in (PTMAP(epochs=10), PTMAP(centre=False)):
        with pytest.raises(AssertionError):
            assert_close(learner.adapt(support)(query).exp(), theirs, rtol=1e-2, atol=1e-2)


# Edges ----------------------------------------------------------------------------------------------


def test_a_batch_is_its_episodes_and_types_stay():
    support, query, _ = episode((3, 1, 2), episodes=200)
    scores = PTMAP().adapt(support)(query)
    alone = torch.stack([PTMAP().adapt(support[k])(query[k]) for k in range(0, 200, 50)])
    assert_close(scores[::50], alone, rtol=1e-9, atol=1e-9)
    single = PTMAP().adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single.exp(), scores.exp().float(), rtol=0, atol=0.02)


def test_unbalanced_queries_are_forced_into_balance_unless_told():
    support, query, query_y = episode((2, 2), queries=40, spread=0.3, seed=1)
    skew = torch.cat([query[query_y == 0][:12], query[query_y == 1][:4]])
    counts = [PTMAP(m).adapt(support)(skew).exp().sum(0)[0].item() for m in ("uniform", (0.75, 0.25))]
    assert_close(torch.tensor(counts), torch.tensor([8.0, 12.0]), rtol=1e-3, atol=1e-3)


def test_a_known_number():
    """By hand: two queries at squared distances (0, 1) and (0, 1) from two classes share both; no round, no centring."""
    support = SupportSet(torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.tensor([0, 1]), 2)
    learner = PTMAP(epochs=0, power=1.0, centre=False, strength=1.0)
    query = torch.tensor([[0.0], [0.0]], dtype=torch.float64)
    assert_close(
        learner.adapt(support)(query).exp(), torch.full((2, 2), 0.5, dtype=torch.float64), rtol=1e-5, atol=1e-5
    )
    apart = learner.adapt(support)(torch.tensor([[0.0], [1.0]], dtype=torch.float64)).exp()
    assert_close(apart[0, 0].item(), 1 / (1 + math.exp(-1)), rtol=1e-5, atol=0)


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="marginal must be 'uniform', 'estimated' or numbers, got 'labels'"):
        PTMAP("labels")
    with pytest.raises(FewShotError, match=r"every share of the marginal must be above 0, got \[1.0, 0.0\]"):
        PTMAP((1.0, 0.0))
    with pytest.raises(FewShotError, match=r"rate at most 1, got 10.0, 0.5, 2.0"):
        PTMAP(rate=2.0)
    support, query, _ = episode((2, 1), queries=1)
    with pytest.raises(EpisodeError, match="the marginal must have 2 shares, one a class, got 3"):
        PTMAP((1.0, 1.0, 1.0)).adapt(support)
    with pytest.raises(EpisodeError, match="queries that are centred must be two or more, got 1"):
        PTMAP().adapt(support)(query)
    assert PTMAP(centre=False).adapt(support)(query).isfinite().all()
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        PTMAP().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
