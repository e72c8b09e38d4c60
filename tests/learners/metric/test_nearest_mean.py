"""Nearest class means: scikit-learn's NearestCentroid, the linear form of the paper, a slow loop."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from make import episode, episodes
from sklearn.neighbors import NearestCentroid
from torch.nn.functional import normalize
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.metric.nearest_mean import NearestMean


def slow(support, query):
    """Eqs. 1 and 2 of Snell et al. (2017), one number at a time: log-probabilities up to a constant."""
    rows = []
    for z in query.tolist():
        row = []
        for k in range(support.n_way):
            members = [x for x, y in zip(support.x.tolist(), support.y.tolist(), strict=True) if y == k]
            c = [math.fsum(values) / len(members) for values in zip(*members, strict=True)]
            row.append(-math.fsum((a - b) ** 2 for a, b in zip(z, c, strict=True)))
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def probabilities(scores):
    return scores.log_softmax(-1)


@given(episodes())
def test_scores_are_those_of_the_slow_loop(case):
    support, query, _ = case
    assert_close(NearestMean().adapt(support)(query), slow(support, query), rtol=1e-9, atol=1e-9)


@given(episodes())
def test_probabilities_are_those_of_the_linear_form(case):
    """Eq. 8 of the paper: w_k = 2 c_k and b_k = -|c_k|^2, up to what all classes share."""
    support, query, _ = case
    c = torch.stack([support.x[support.y == k].mean(0) for k in range(support.n_way)])
    linear = query @ (2 * c).T - c.square().sum(1)
    assert_close(probabilities(NearestMean().adapt(support)(query)), probabilities(linear), rtol=1e-9, atol=1e-9)


@given(episodes(min_shot=2))
def test_answers_are_those_of_nearest_centroid(case):
    support, query, _ = case
    theirs = NearestCentroid().fit(support.x.numpy(), support.y.numpy()).predict(query.numpy())
    assert NearestMean().adapt(support)(query).argmax(-1).tolist() == theirs.tolist()


def means(support):
    return torch.stack([support.x[support.y == k].mean(0) for k in range(support.n_way)])


WRONG = {
    "distance not squared": lambda s, q: -torch.cdist(q, means(s)),
    "reversed sign": lambda s, q: torch.cdist(q, means(s)).square(),
    "half the distance": lambda s, q: -torch.cdist(q, means(s)).square() / 2,
    "mean over features": lambda s, q: -torch.cdist(q, means(s)).square() / q.shape[-1],
    "no bias in the linear form": lambda s, q: 2 * q @ means(s).T,
    "bias counted twice": lambda s, q: 2 * q @ means(s).T - 2 * means(s).square().sum(1),
    "sum instead of mean": lambda s, q: (
        -torch.cdist(q, torch.stack([s.x[s.y == k].sum(0) for k in range(s.n_way)])).square()
    ),
    "median": lambda s, q: (
        -torch.cdist(q, torch.stack([s.x[s.y == k].median(0).values for k in range(s.n_way)])).square()
    ),
    "mean of the distances": lambda s, q: (
        -torch.stack([torch.cdist(q, s.x[s.y == k]).square().mean(1) for k in range(s.n_way)], 1)
    ),
    "nearest example": lambda s, q: (
        -torch.stack([torch.cdist(q, s.x[s.y == k]).square().amin(1) for k in range(s.n_way)], 1)
    ),
    "normalised": lambda s, q: -torch.cdist(normalize(q, dim=-1), means(s)).square(),
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_formulas_are_caught(wrong):
    support, query, _ = episode((3, 1, 2))
    with pytest.raises(AssertionError):
        assert_close(probabilities(wrong(support, query)), probabilities(slow(support, query)), rtol=1e-9, atol=1e-9)


WRONG_COSINES = {
    "prototypes not normalised": lambda q, c: normalize(q, dim=-1) @ c.T,
    "queries not normalised": lambda q, c: q @ normalize(c, dim=-1).T,
    "normalised over classes": lambda q, c: normalize(q, dim=-1) @ normalize(c, dim=0).T,
    "angle": lambda q, c: -torch.arccos(torch.cosine_similarity(q[:, None], c, dim=-1)),
    "divided by the square": lambda q, c: q @ c.T / (q @ q.T).diagonal()[:, None],
}


def exact_cosine(q, c):
    return torch.tensor(
        [[math.fsum(a * b for a, b in zip(z, w, strict=True)) / math.hypot(*z) / math.hypot(*w) for w in c.tolist()]
         for z in q.tolist()], dtype=torch.float64,
    )  # fmt: skip


@given(episodes(), st.floats(0.01, 100))
def test_cosine_over_a_temperature(case, temperature):
    support, query, _ = case
    ours = NearestMean("cosine", temperature).adapt(support)(query)
    assert_close(ours, exact_cosine(query, means(support)) / temperature, rtol=1e-9, atol=1e-9)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_COSINES.values(), ids=WRONG_COSINES)
def test_wrong_cosines_are_caught(wrong):
    support, query, _ = episode((3, 1, 2))
    with pytest.raises(AssertionError):
        assert_close(wrong(query, means(support)), exact_cosine(query, means(support)), rtol=1e-9, atol=1e-9)


@given(episodes(), st.floats(0.1, 10))
def test_temperature_divides_and_scaling_is_quadratic(case, factor):
    support, query, _ = case
    plain = NearestMean().adapt(support)(query)
    assert_close(NearestMean(temperature=factor).adapt(support)(query), plain / factor)
    grown = SupportSet(support.x * factor, support.y, support.n_way)
    assert_close(NearestMean().adapt(grown)(query * factor), plain * factor**2)


@given(episodes())
def test_euclidean_scores_do_not_move_with_the_origin(case):
    support, query, _ = case
    moved = SupportSet(support.x + 7, support.y, support.n_way)
    assert_close(NearestMean().adapt(moved)(query + 7), NearestMean().adapt(support)(query), rtol=1e-9, atol=1e-9)


def test_a_batch_is_its_episodes():
    support, query, _ = episode((3, 1, 2), episodes=4)
    alone = [NearestMean().adapt(support[k])(query[k]) for k in range(4)]
    assert_close(NearestMean().adapt(support)(query), torch.stack(alone), rtol=1e-12, atol=1e-12)


def test_one_way_and_one_shot():
    support, query, _ = episode((1,), queries=2)
    assert NearestMean().adapt(support)(query).softmax(-1).tolist() == [[1.0], [1.0]]


def test_a_tie_is_a_tie_and_a_zero_vector_is_finite():
    support = SupportSet(torch.tensor([[-1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]), 2)
    query = torch.zeros(1, 2)
    for learner in (NearestMean(), NearestMean("cosine")):
        scores = learner.adapt(support)(query)
        assert scores[0, 0] == scores[0, 1]
        assert scores.isfinite().all()


def test_a_known_number():
    """By hand: means (1, 0) and (0, 3); the query (1, 1) is at 1 and 5, so p = 1 / (1 + exp(-4))."""
    support = SupportSet(torch.tensor([[2.0, 0.0], [0.0, 3.0], [0.0, 0.0]]), torch.tensor([0, 1, 0]), 2)
    scores = NearestMean().adapt(support)(torch.tensor([[1.0, 1.0]]))
    assert_close(scores, torch.tensor([[-1.0, -5.0]]))
    assert_close(scores.softmax(-1)[0, 0].item(), 1 / (1 + math.exp(-4)), rtol=1e-6, atol=0)


def test_gradients_flow_to_support_and_query():
    support, query, labels = episode((2, 1), dim=3, queries=3)

    def loss(x, q):
        scores = NearestMean().adapt(SupportSet(x, support.y, 2))(q)
        return torch.nn.functional.cross_entropy(scores, labels)

    torch.autograd.gradcheck(loss, (support.x.clone().requires_grad_(), query.clone().requires_grad_()))


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="metric must be 'squared-euclidean' or 'cosine', got 'manhattan'"):
        NearestMean("manhattan")
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(FewShotError, match=f"temperature must be above 0, got {temperature}"):
            NearestMean(temperature=temperature)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        NearestMean().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
