"""Label propagation: scikit-learn's LabelSpreading on the full graph, and the iteration of the paper by NumPy."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from scipy.spatial.distance import cdist
from sklearn.semi_supervised import LabelSpreading
from slips import Slipped
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.transductive.label_propagation import LabelPropagation
from fewshot.testing import check_learner


def links(distance, k):
    """True where one of two items is among the k nearest others of the other; by a loop."""
    linked = np.zeros(distance.shape, bool)
    for i in range(len(distance)):
        others = sorted((j for j in range(len(distance)) if j != i), key=lambda j: distance[i, j])
        for j in others[: len(distance) if k is None else k]:
            linked[i, j] = True
    return linked | linked.T


def oracle(support, query, alpha=0.99, k=5, sigma=0.5, relative=True, normalise="columns", balance=True, slip=None):
    """Logarithms of shares by the inverse of I − alpha P, one episode; shares below 1e-12 are cut off."""
    z, y = np.concatenate([support.x.double().numpy(), query.double().numpy()]), support.y.numpy()
    n, pairs = len(z), np.triu_indices(len(z), 1)
    distance = cdist(z, z) if slip == "distance not squared" else cdist(z, z, "sqeuclidean")
    unit = distance[pairs].mean() if relative else 1.0
    half = 1 if slip == "no half" else 2
    w = np.exp(-distance / (half * sigma**2 * unit)) * links(distance, k)
    w = w + np.eye(n) if slip == "itself a neighbour" else w
    d = w.sum(1)
    p = {"columns": w / d, "both": w / np.sqrt(d[:, None] * d), "rows": w / d[:, None]}[normalise]
    start = np.zeros((n, support.n_way))
    for i, label in enumerate(y):
        start[i, label] = 1 / (y == label).sum() if balance else 1.0
    f = (np.linalg.inv(np.eye(n) - alpha * p) @ start)[len(y) :]
    return np.log(np.maximum(f / f.sum(1, keepdims=True), 1e-12))


def agree(learner, case, **options):
    support, query, _ = case
    expected = torch.from_numpy(oracle(support, query, **options))
    assert_close(learner.adapt(support)(query).exp(), expected.exp(), rtol=1e-7, atol=1e-9)


OPTIONS = st.fixed_dictionaries(
    {
        "alpha": st.sampled_from([0.2, 0.9]),
        "sigma": st.sampled_from([0.5, 2.0]),
        "relative": st.booleans(),
        "normalise": st.sampled_from(["columns", "both"]),
        "balance": st.booleans(),
    }
)


@given(episodes(), st.sampled_from([3, 6, None]), OPTIONS)
def test_shares_are_those_of_the_inverse(case, k, options):
    support, query, y = case
    case = support.map(lambda x: x / 4), query / 4, y  # nearer to each other, so that a sigma without unit reaches
    agree(LabelPropagation(neighbours=k, **options), case, k=k, **options)


@given(episodes())
def test_the_defaults_are_those_of_the_inverse(case):
    agree(LabelPropagation(), case)


@settings(max_examples=15)
@given(episodes(), st.sampled_from([0.2, 0.9, 0.99]), st.sampled_from([0.1, 1.0]))
def test_the_full_graph_is_scikit_learns_label_spreading(case, alpha, gamma):
    support, query, _ = case
    z, s = torch.cat([support.x, query]).numpy() / 4, len(support.y)
    labels = np.concatenate([support.y.numpy(), np.full(len(query), -1)])
    theirs = LabelSpreading(kernel="rbf", gamma=gamma, alpha=alpha, max_iter=20_000, tol=1e-14).fit(z, labels)
    learner = LabelPropagation(alpha, None, (2 * gamma) ** -0.5, relative=False, normalise="both", balance=False)
    ours = learner.adapt(support.map(lambda x: x / 4))(query / 4).exp()
    assert_close(ours, torch.from_numpy(theirs.label_distributions_[s:]), rtol=1e-7, atol=1e-9)


@given(episodes(), st.floats(0.1, 10), st.floats(-50, 50))
def test_a_relative_sigma_needs_no_scale_and_no_origin(case, scale, offset):
    support, query, _ = case
    learner = LabelPropagation(sigma=1.0)
    moved = learner.adapt(support.map(lambda x: scale * x + offset))(scale * query + offset)
    assert_close(moved, learner.adapt(support)(query), rtol=1e-6, atol=1e-6)


@given(st.integers(1, 4), st.integers(0, 99))
def test_with_equal_shots_balance_changes_nothing(shot, seed):
    support, query, _ = episode((shot,) * 3, seed=seed)
    plain = LabelPropagation(balance=False).adapt(support)(query)
    assert_close(LabelPropagation().adapt(support)(query).exp(), plain.exp(), rtol=1e-9, atol=1e-9)


def test_near_alpha_1_a_class_is_not_favoured_for_its_shots_or_neighbours():
    """All shares tend to be equal with columns normalised; with both sides they follow the sums of D^½."""
    support, query, _ = episode((6, 1), queries=9)
    even = LabelPropagation(1 - 1e-9, None, 1.0).adapt(support)(query).exp()
    assert_close(even, torch.full_like(even, 0.5), rtol=0, atol=1e-6)
    plain = LabelPropagation(1 - 1e-9, None, 1.0, normalise="both", balance=False).adapt(support)(query).exp()
    assert bool((plain[:, 0] > 0.7).all())


@pytest.mark.parametrize("options", [{}, {"neighbours": 3}, {"neighbours": None, "alpha": 0.5}], ids=str)
def test_keeps_the_contract(options):
    check_learner(LabelPropagation(**options))
    check_learner(LabelPropagation(**{"alpha": 0.8, "normalise": "both", **options}))


SLIPS = [
    {"slip": "itself a neighbour"},
    {"slip": "distance not squared"},
    {"slip": "no half"},
    {"normalise": "both"},
    {"normalise": "rows"},
    {"balance": False},
    {"k": 4},
]
FRAME = {"alpha": 0.8, "sigma": 0.7}


def test_the_frame_of_the_wrong_formulas_is_right():
    case = episode((3, 1, 2), queries=12, spread=2.0)
    agree(Slipped(oracle, **FRAME), case, **FRAME)
    agree(LabelPropagation(0.8, sigma=0.7), case, **FRAME)


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=str)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    wrong = Slipped(oracle, **{**FRAME, **slip})
    check_learner(wrong)
    with pytest.raises(AssertionError):
        agree(wrong, episode((3, 1, 2), queries=12, spread=2.0), **FRAME)


# Edges ----------------------------------------------------------------------------------------------


def test_a_batch_is_its_episodes_and_types_stay():
    support, query, _ = episode((3, 1, 2), episodes=300)
    scores = LabelPropagation(sigma=1.0).adapt(support)(query)
    alone = torch.stack([LabelPropagation(sigma=1.0).adapt(support[k])(query[k]) for k in range(0, 300, 50)])
    assert_close(scores[::50], alone, rtol=1e-10, atol=1e-10)
    single = LabelPropagation(sigma=1.0).adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, scores.float(), rtol=1e-3, atol=1e-3)


def test_unbalanced_queries_and_a_single_one_are_answered():
    """Nine queries of the first class and one of the second, far apart."""
    x = torch.tensor([[0.0, 0.0], [8.0, 8.0]], dtype=torch.float64)
    noise = torch.randn(10, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    support, labels = SupportSet(x, torch.tensor([0, 1]), 2), torch.tensor([0] * 9 + [1])
    learner = LabelPropagation()
    assert learner.adapt(support)(x[labels] + noise).argmax(-1).tolist() == labels.tolist()
    assert learner.adapt(support)(x[1:] + noise[:1]).argmax(-1).tolist() == [1]


def test_a_query_out_of_reach_has_no_preference_and_equal_items_neither():
    support, query, _ = episode((2, 1, 1), queries=3)
    far = LabelPropagation(sigma=1e-3, relative=False).adapt(support)(query).exp()
    assert_close(far, torch.full_like(far, 1 / 3))
    same = LabelPropagation(neighbours=None).adapt(support.map(torch.zeros_like))(torch.zeros_like(query)).exp()
    assert_close(same, torch.full_like(same, 1 / 3))


def test_a_known_number():
    """By hand: examples at 0 and 3, a query at 1, the nearest item of both; W = exp(−½) and exp(−2), no other link."""
    support = SupportSet(torch.tensor([[0.0], [3.0]], dtype=torch.float64), torch.tensor([0, 1]), 2)
    query = torch.ones(1, 1, dtype=torch.float64)
    both = LabelPropagation(0.3, 1, 1.0, relative=False, normalise="both").adapt(support)(query)
    expected = 1 / (1 + np.exp(-0.75))  # the roots of W, since the query has all links of both examples
    assert_close(both[0, 0].exp().item(), expected)
    assert round(expected, 4) == 0.6792
    columns = LabelPropagation(0.3, 1, 1.0, relative=False).adapt(support)(query)  # each gives all it has to the query
    assert_close(columns.exp(), torch.full_like(columns, 0.5))


def test_errors_say_what_must_hold():
    for alpha in (1.0, -0.1):
        with pytest.raises(FewShotError, match=f"alpha must be 0 or more and below 1, got {alpha}"):
            LabelPropagation(alpha)
    with pytest.raises(FewShotError, match="neighbours must be a whole number of at least 1, got 0"):
        LabelPropagation(neighbours=0)
    with pytest.raises(FewShotError, match=r"sigma must be above 0, got 0.0"):
        replace(LabelPropagation(), sigma=0.0)
    with pytest.raises(FewShotError, match="normalise must be 'columns' or 'both', got 'rows'"):
        LabelPropagation(normalise="rows")
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        LabelPropagation().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
