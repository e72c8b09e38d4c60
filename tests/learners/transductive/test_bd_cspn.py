"""BD-CSPN: a slow loop over classes in NumPy, and how easyfsl differs."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from slips import Slipped
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.transductive.bd_cspn import BDCSPN
from fewshot.testing import check_learner


def lengths_1(z):
    return z / np.sqrt((z**2).sum(1, keepdims=True))


def mean_weights(cosines, scale):
    return np.exp(scale * cosines) / sum(math.exp(scale * c) for c in cosines)


def oracle(support, query, scale=10.0, shift="all", slip=None):
    """Eqs. 5 to 8 of Liu et al. (2020), class by class: cosines ``(q, n_way)``."""
    x, y, q = support.x.double().numpy(), support.y.numpy(), query.double().numpy()
    x, q = (x, q) if slip == "not normalised" else (lengths_1(x), lengths_1(q))
    xi = x.mean(0) - q.mean(0)
    moved = q if shift == "none" else q - xi if slip == "shifted away" else q + xi
    means = np.stack([x[y == k].mean(0) for k in range(support.n_way)])
    label = (lengths_1(moved) @ lengths_1(means).T).argmax(1)
    rectified = []
    for k in range(support.n_way):
        members = np.concatenate([x[y == k], moved if slip == "all queries in every class" else moved[label == k]])
        if slip == "queries only" and (label == k).any():
            members = moved[label == k]
        cosines = np.array([m @ means[k] / math.sqrt(m @ m) / math.sqrt(means[k] @ means[k]) for m in members])
        weights = mean_weights(-cosines if slip == "farthest counts most" else cosines, scale)
        rectified.append(weights @ members)
    answered = moved if shift == "all" else q
    return lengths_1(answered) @ lengths_1(np.stack(rectified)).T


def agree(learner, case, **options):
    support, query, _ = case
    assert_close(
        learner.adapt(support)(query), torch.from_numpy(oracle(support, query, **options)), rtol=1e-8, atol=1e-8
    )


@given(episodes(), st.sampled_from(["all", "prototypes", "none"]), st.sampled_from([1.0, 10.0]))
def test_scores_are_those_of_the_slow_loop(case, shift, scale):
    agree(BDCSPN(scale, shift), case, scale=scale, shift=shift)


@pytest.mark.parametrize("shift", ["all", "prototypes", "none"])
def test_keeps_the_contract(shift):
    check_learner(BDCSPN(shift=shift))


SLIPS = [
    {"slip": "not normalised"},
    {"slip": "shifted away"},
    {"slip": "all queries in every class"},
    {"slip": "queries only"},
    {"slip": "farthest counts most"},
    {"scale": 1.0},
    {"shift": "prototypes"},
]


def test_the_frame_of_the_wrong_formulas_is_right():
    agree(Slipped(oracle, "rank"), episode((3, 1, 2), queries=12, spread=2.0))


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=str)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    wrong = Slipped(oracle, "rank", **slip)
    check_learner(wrong)
    with pytest.raises(AssertionError):
        agree(wrong, episode((3, 1, 2), queries=12, spread=2.0))


# easyfsl --------------------------------------------------------------------------------------------


def easyfsls(support, query):
    """easyfsl 1.5.0 with ``feature_normalization=2``: weights without the factor, cosines of unshifted queries."""
    x, y, q = lengths_1(support.x.numpy()), support.y.numpy(), lengths_1(query.numpy())
    means = lengths_1(np.stack([x[y == k].mean(0) for k in range(support.n_way)]))
    moved = q + x.mean(0) - q.mean(0)
    of_x, of_q = np.exp(lengths_1(x) @ means.T), np.exp(lengths_1(moved) @ means.T)
    of_x = of_x * np.eye(support.n_way)[y]
    of_q = of_q * np.eye(support.n_way)[of_q.argmax(1)]
    prototypes = (of_x.T @ x + of_q.T @ moved) / (of_x.sum(0) + of_q.sum(0))[:, None]
    return torch.from_numpy(q @ lengths_1(prototypes).T)


@given(episodes())
def test_easyfsl_is_reached_by_its_deviations(case):
    support, query, _ = case
    ours = BDCSPN(scale=1.0, shift="prototypes").adapt(support)(query)
    assert_close(ours, easyfsls(support, query), rtol=1e-8, atol=1e-8)


def test_without_the_factor_easyfsl_answers_otherwise():
    support, query, _ = episode((2,) * 5, 16, queries=25, episodes=40, spread=3.0)
    theirs = torch.stack([easyfsls(support[k], query[k]) for k in range(40)]).argmax(-1)
    ours = BDCSPN(shift="prototypes").adapt(support)(query).argmax(-1)
    assert 0.005 < (ours != theirs).double().mean() < 0.2


# Properties and edges -------------------------------------------------------------------------------


@settings(max_examples=10)
@given(episodes(), st.floats(0.01, 100))
def test_length_does_not_matter_and_neither_does_a_rotation(case, factor):
    support, query, _ = case
    plain = BDCSPN().adapt(support)(query)
    rows = torch.linspace(0.5, factor + 0.5, len(query), dtype=torch.float64)[:, None]
    assert_close(BDCSPN().adapt(support)(query * rows), plain, rtol=1e-8, atol=1e-8)
    turn = torch.linalg.qr(torch.vander(torch.linspace(-1, 1, query.shape[1], dtype=torch.float64)))[0]
    turned = BDCSPN().adapt(support.map(lambda x: x @ turn))(query @ turn)
    assert_close(turned, plain, rtol=1e-8, atol=1e-8)


def test_a_batch_is_its_episodes_and_types_stay():
    support, query, _ = episode((3, 1, 2), episodes=300)
    scores = BDCSPN().adapt(support)(query)
    alone = torch.stack([BDCSPN().adapt(support[k])(query[k]) for k in range(0, 300, 50)])
    assert_close(scores[::50], alone, rtol=1e-12, atol=1e-12)
    single = BDCSPN().adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, scores.float(), rtol=1e-3, atol=1e-4)


def test_a_zero_vector_is_finite_and_no_query_of_a_class_leaves_its_mean():
    support = SupportSet(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]), 2)
    assert BDCSPN().adapt(support)(torch.zeros(3, 2)).isfinite().all()
    near_0 = torch.tensor([[1.0, 0.1], [1.0, 0.2]])
    scores = BDCSPN(shift="none").adapt(support)(near_0)
    assert_close(scores[:, 1], near_0[:, 1] / near_0.norm(dim=1))


def test_a_known_number():
    """By hand: the query (0.6, 0.8) joins (0, 1) with weight 1 / (1 + exp(2))."""
    support = SupportSet(torch.eye(2, dtype=torch.float64), torch.tensor([0, 1]), 2)
    scores = BDCSPN(shift="none").adapt(support)(torch.tensor([[0.6, 0.8]], dtype=torch.float64))
    w = 1 / (1 + math.exp(2))
    p = (0.6 * w, 1 - w + 0.8 * w)
    assert_close(scores, torch.tensor([[0.6, (0.6 * p[0] + 0.8 * p[1]) / math.hypot(*p)]], dtype=torch.float64))
    assert round(scores[0, 1].item(), 4) == 0.8417


def test_errors_say_what_must_hold():
    for scale in (0.0, -1.0, math.nan):
        with pytest.raises(FewShotError, match=f"scale must be above 0, got {scale}"):
            BDCSPN(scale)
    with pytest.raises(FewShotError, match="shift must be 'all', 'prototypes' or 'none', got 'some'"):
        BDCSPN(shift="some")
    support = SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        BDCSPN().adapt(support)
    one = BDCSPN().adapt(SupportSet(torch.eye(2), torch.tensor([0, 1]), 2))
    with pytest.raises(EpisodeError, match="queries that are shifted to the support's mean must be two or more, got 1"):
        one(torch.zeros(1, 2))
