"""LaplacianShot: a transcription of algorithm 1 by NumPy and scikit-learn's neighbours, and how easyfsl differs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from make import episode, episodes
from scipy.special import log_softmax, softmax
from sklearn.neighbors import NearestNeighbors
from slips import Slipped
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.functional import rectifying_weights
from fewshot.learners.metric.simpleshot import SimpleShot
from fewshot.learners.transductive.gram import class_means, cosines, moved, to_the_support
from fewshot.learners.transductive.laplacian_shot import LaplacianShot
from fewshot.testing import check_learner


def lengths_1(z):
    return z / np.sqrt((z**2).sum(1, keepdims=True))


def affinity(q, k, slip=None):
    """Row i has ones at its k nearest others: the item itself is left out by its number, not by its distance."""
    n = len(q)
    k = min(k, n - 1)
    w = np.zeros((n, n))
    if k:
        near = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(q).kneighbors(return_distance=False)
        w[np.arange(n)[:, None], near] = 1
    if slip == "symmetric neighbours":
        w = np.maximum(w, w.T)
    return w + np.eye(n) if slip == "itself a neighbour" else w


def oracle(support, query, k=3, strength=0.4, steps=20, rectify=True, centre=0.0, slip=None, stop=0.0):
    """Log-probabilities of one episode, with L2N features after ``centre`` is subtracted."""
    y = support.y.numpy()
    x, q = (lengths_1(z.double().numpy() - centre) for z in (support.x, query))
    means = np.stack([x[y == c].mean(0) for c in range(support.n_way)])
    if rectify:
        q = q + (x.mean(0) - q.mean(0))
        every, label = np.concatenate([x, q]), np.concatenate([y, (lengths_1(q) @ lengths_1(means).T).argmax(1)])
        weight = softmax((1 if slip == "no factor 10" else 10) * lengths_1(every) @ lengths_1(means).T, axis=1)
        means = np.stack([(weight[label == c, c][:, None] * every[label == c]).mean(0) for c in range(support.n_way)])
    a = ((q[:, None] - means) ** 2).sum(-1)
    a = np.sqrt(a) if slip == "distance not squared" else a
    w = affinity(q, k, slip)
    assigned, before = softmax(-a, axis=1), math.inf
    for i in range(steps):
        logits = -a + strength * (w @ assigned)
        assigned = softmax(logits, axis=1)
        energy = (assigned * np.log(assigned) + a * assigned - strength * (w @ assigned) * assigned).sum()
        if i > 1 and abs(energy - before) <= stop * abs(before):
            break
        before = energy
    return log_softmax(logits, axis=1)


def agree(learner, case, **options):
    support, query, _ = case
    assert_close(
        learner.adapt(support)(query), torch.from_numpy(oracle(support, query, **options)), rtol=1e-8, atol=1e-8
    )


@given(episodes(), st.integers(1, 6), st.sampled_from([0.0, 0.1, 1.5]), st.booleans(), st.integers(1, 20))
def test_log_probabilities_are_those_of_the_transcription(case, k, strength, rectify, steps):
    agree(LaplacianShot(k, strength, steps, rectify), case, k=k, strength=strength, rectify=rectify, steps=steps)


@given(episodes())
def test_the_base_mean_is_subtracted(case):
    base = case[0].map(lambda x: 2 * x + 1)
    learner = LaplacianShot().with_base(base)
    agree(learner, case, centre=base.x.numpy().mean(0))
    agree(replace(learner, transform="CL2N"), case, centre=base.x.numpy().mean(0))
    agree(replace(learner, transform="L2N"), case)
    agree(LaplacianShot(transform="L2N"), case)


def test_the_authors_early_stop_changes_little():
    support, query, _ = episode((2,) * 5, 16, queries=40, episodes=20, spread=3.0)
    ours = LaplacianShot().adapt(support)(query).exp()
    stopped = np.stack([oracle(support[k], query[k], stop=1e-6) for k in range(20)])
    assert_close(ours, torch.from_numpy(stopped).exp(), rtol=0, atol=0.02)
    assert (ours.argmax(-1).numpy() == stopped.argmax(-1)).all()


@given(episodes())
def test_without_the_laplacian_it_is_simpleshot(case):
    support, query, _ = case
    ours = LaplacianShot(strength=0.0, rectify=False).adapt(support)(query)
    assert_close(ours, SimpleShot("L2N").adapt(support)(query).log_softmax(-1), rtol=1e-8, atol=1e-8)


def test_the_energy_does_not_rise_where_the_affinity_is_symmetric_and_positive():
    """Eq. 7's bound holds there; with directed neighbours it need not. All others as neighbours plus nobody's self."""
    support, query, _ = episode((2, 2, 1), 8, queries=10, spread=2.0)
    x, q = (lengths_1(z.numpy()) for z in (support.x, query))
    a = ((q[:, None] - np.stack([x[support.y.numpy() == c].mean(0) for c in range(3)])) ** 2).sum(-1)
    energies = []
    for steps in range(1, 8):
        y = LaplacianShot(9, 0.3, steps, rectify=False).adapt(support)(query).exp().numpy()
        w = np.ones((10, 10)) - np.eye(10)  # its least eigenvalue is -1: shift by what softmax does not see
        energies.append((y * np.log(y) + a * y - 0.15 * (w @ y) * y).sum())
    assert (np.diff(energies) <= 1e-9).all()


FEW = {"neighbours": 1, "strength": 0.5}  # for the battery's seven queries, two or three of a class


@pytest.mark.parametrize("options", [{}, {"rectify": False}, {"transform": "UN"}, {"transform": "L2N"}], ids=str)
def test_keeps_the_contract(options):
    check_learner(LaplacianShot(**options), learns=False)  # three neighbours outvote the classes of seven queries
    check_learner(LaplacianShot(**FEW, **options))


SLIPS = [
    {"k": 2},
    {"slip": "symmetric neighbours"},
    {"slip": "itself a neighbour"},
    {"slip": "distance not squared"},
    {"slip": "no factor 10"},
    {"steps": 1},
]


def test_the_frame_of_the_wrong_formulas_is_right():
    case = episode((3, 1, 2), queries=12, spread=2.0)
    agree(Slipped(oracle, k=1, strength=0.5), case, k=1, strength=0.5)
    agree(LaplacianShot(**FEW), case, k=1, strength=0.5)


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=str)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    wrong = Slipped(oracle, **{"k": 1, "strength": 0.5, **slip})
    check_learner(wrong)
    with pytest.raises(AssertionError):
        agree(wrong, episode((3, 1, 2), queries=12, spread=2.0), k=1, strength=0.5)


# easyfsl --------------------------------------------------------------------------------------------


def easyfsls(support, query, knn=3, strength=0.7):
    """easyfsl 1.5.0 with ``feature_normalization=2``: probabilities.

    It asks for ``knn`` nearest items, drops the first, which is the item itself, and so keeps one less. Prototypes
    are those of its BD-CSPN: weights over members, no factor 10; queries are shifted for them only.
    """
    x, y, q = lengths_1(support.x.numpy()), support.y.numpy(), lengths_1(query.numpy())
    means = lengths_1(np.stack([x[y == c].mean(0) for c in range(support.n_way)]))
    shifted = q + x.mean(0) - q.mean(0)
    every, label = np.concatenate([x, shifted]), np.concatenate([y, (lengths_1(shifted) @ means.T).argmax(1)])
    e = np.exp(lengths_1(every) @ means.T) * np.eye(support.n_way)[label]
    prototypes = (e / e.sum(0)).T @ every
    a = ((q[:, None] - prototypes) ** 2).sum(-1)
    w = affinity(q, knn - 1)
    assigned, before = softmax(-a, axis=1), math.inf
    for i in range(20):
        assigned = softmax(-a + strength * (w @ assigned), axis=1)
        bound = (assigned * np.log(assigned + 1e-12) + a * assigned - strength * (w @ assigned) * assigned).sum()
        if i > 1 and abs(bound - before) <= 1e-6 * abs(before):
            break
        before = bound
    return torch.from_numpy(assigned)


class Deviating(LaplacianShot):
    """Ours with easyfsl's prototypes, of queries that stay where they are."""

    def _prototypes(self, k, support, query):
        of_query, by = to_the_support(support.y.shape[-1], query)
        shifted = moved(k, of_query, by)
        weights = rectifying_weights(cosines(shifted, class_means(support.y, support.n_way, k)), support.y)
        return k, weights + (weights @ of_query)[..., None] * by


def test_easyfsl_is_reached_by_its_deviations():
    support, query, _ = episode((2,) * 5, 16, queries=40, episodes=20, spread=3.0)
    ours = Deviating(neighbours=2, strength=0.7).adapt(support)(query).exp()
    theirs = torch.stack([easyfsls(support[k], query[k]) for k in range(20)])
    assert_close(ours, theirs, rtol=0, atol=0.02)  # it stops early
    assert (ours.argmax(-1) == theirs.argmax(-1)).all()


@pytest.mark.parametrize("learner", [Deviating(3, 0.7), LaplacianShot(2, 0.7)], ids=["neighbours", "prototypes"])
def test_without_one_of_them_it_is_not(learner):
    support, query, _ = episode((2,) * 5, 16, queries=40, episodes=20, spread=3.0)
    theirs = torch.stack([easyfsls(support[k], query[k]) for k in range(20)])
    ours = learner.adapt(support)(query)
    assert 0.005 < (ours.argmax(-1) != theirs.argmax(-1)).double().mean() < 0.2


# Edges ----------------------------------------------------------------------------------------------


def test_a_batch_is_its_episodes_and_types_stay():
    support, query, _ = episode((3, 1, 2), episodes=300)
    scores = LaplacianShot().adapt(support)(query)
    alone = torch.stack([LaplacianShot().adapt(support[k])(query[k]) for k in range(0, 300, 50)])
    assert_close(scores[::50], alone, rtol=1e-12, atol=1e-12)
    single = LaplacianShot().adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, scores.float(), rtol=1e-3, atol=1e-3)


def test_k_means_k_and_all_others_where_there_are_fewer():
    support, query, _ = episode((1, 1), queries=3)
    plain = LaplacianShot(2, rectify=False).adapt(support)(query)
    assert_close(LaplacianShot(50, rectify=False).adapt(support)(query), plain)
    assert LaplacianShot(rectify=False).adapt(support)(query[:1]).isfinite().all()
    assert LaplacianShot().adapt(support)(torch.zeros_like(query)).isfinite().all()


def test_a_known_number():
    """By hand: two queries, each other's neighbour, at squared distances (0, 1) and (1, 0); after one step."""
    support = SupportSet(torch.tensor([[0.0], [1.0]], dtype=torch.float64), torch.tensor([0, 1]), 2)
    learner = LaplacianShot(1, strength=2.0, steps=1, rectify=False, transform="UN")
    scores = learner.adapt(support)(torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    y = 1 / (1 + math.exp(-1))  # of the own class, at first
    expected = 1 / (1 + math.exp(-1 - 2 * ((1 - y) - y)))
    assert_close(scores.exp(), torch.tensor([[expected, 1 - expected], [1 - expected, expected]], dtype=torch.float64))
    assert round(expected, 4) == 0.5189


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="neighbours must be a whole number of at least 1, got 0"):
        LaplacianShot(neighbours=0)
    with pytest.raises(FewShotError, match=r"strength must be 0 or more, got -1.0"):
        LaplacianShot(strength=-1.0)
    with pytest.raises(FewShotError, match="transform must be 'CL2N', 'L2N', 'UN' or None, got 'PCA'"):
        LaplacianShot(transform="PCA")
    support, query, _ = episode((2, 1), queries=1)
    with pytest.raises(NotFittedError, match="CL2N needs the mean of base classes, got none; call with_base"):
        LaplacianShot(transform="CL2N").adapt(support)
    with pytest.raises(EpisodeError, match="must be two or more, got 1"):
        LaplacianShot().adapt(support)(query)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        LaplacianShot().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
