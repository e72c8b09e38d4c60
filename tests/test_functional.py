"""Class means and distances against NumPy loops, SciPy and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from make import episode, episodes
from sklearn.metrics.pairwise import euclidean_distances
from torch.testing import assert_close

from fewshot.errors import EpisodeError
from fewshot.functional import class_means, class_membership, require_every_class, squared_distances


def slow_means(support):
    x, y = support.x.numpy(), support.y.numpy()
    return torch.tensor(np.array([[x[e][y[e] == k].mean(0) for k in range(support.n_way)] for e in range(len(x))]))


def sums(support):
    member = torch.nn.functional.one_hot(support.y, support.n_way).to(support.x)
    return member.mT @ support.x, member.sum(1).unsqueeze(-1)


WRONG_MEANS = {
    "divided by the largest count": lambda s: sums(s)[0] / sums(s)[1].amax(1, keepdim=True),
    "divided by the mean shot": lambda s: sums(s)[0] / (s.y.shape[1] / s.n_way),
    "divided by the way": lambda s: sums(s)[0] / s.n_way,
    "not divided": lambda s: sums(s)[0],
    "counted over the batch": lambda s: sums(s)[0] / sums(s)[1].mean(0, keepdim=True),
    "sorted by position": lambda s: torch.stack([part.mean(1) for part in s.x.tensor_split(s.n_way, 1)], 1),
    "mean of class and episode": lambda s: (slow_means(s) + s.x.mean(1, keepdim=True)) / 2,
}


@given(episodes(count=3))
def test_means_are_those_of_a_loop(case):
    support, _, _ = case
    assert_close(class_means(support.x, support.y, support.n_way), slow_means(support), rtol=1e-12, atol=1e-12)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_MEANS.values(), ids=WRONG_MEANS)
def test_wrong_means_are_caught(wrong):
    support, _, _ = episode((3, 1, 2), episodes=3)
    support.y[1] = support.y[1].roll(1)  # another order, the same counts
    support.y[2, support.y[2] == 0] = torch.tensor([0, 1, 1])  # other counts than its neighbours
    with pytest.raises(AssertionError):
        assert_close(wrong(support), slow_means(support))


def test_means_take_one_episode_or_many():
    support, _, _ = episode((2, 3), episodes=4)
    together = class_means(support.x, support.y, 2)
    alone = torch.stack([class_means(support.x[k], support.y[k], 2) for k in range(4)])
    assert_close(together, alone, rtol=0, atol=1e-15)


def test_an_absent_class_is_refused_by_number():
    y = torch.tensor([[0, 0, 2], [1, 2, 0]])
    with pytest.raises(EpisodeError, match=r"every class needs a support example, got none for classes \[1, 3\]"):
        require_every_class(y, 4)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        class_means(torch.zeros(2, 3, 5), y, 3)
    with pytest.raises(EpisodeError, match=r"none for classes \[0, 1\]"):
        require_every_class(torch.zeros(0, dtype=torch.long), 2)
    require_every_class(y[1], 3)


def test_membership_marks_the_class_of_each_row():
    member = class_membership(torch.tensor([2, 0, 2]), 3, torch.float64)
    assert_close(member, torch.tensor([[0, 0, 1], [1, 0, 0], [0, 0, 1.0]], dtype=torch.float64), rtol=0, atol=0)


points = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(0, 2**31))


def random_points(n, m, dim, seed, offset=0.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)) + offset, rng.normal(size=(m, dim)) + offset


@given(points)
def test_distances_are_scikit_learns(case):
    a, b = random_points(*case)
    ours = squared_distances(torch.from_numpy(a), torch.from_numpy(b))
    assert_close(ours, torch.from_numpy(euclidean_distances(a, b, squared=True)), rtol=1e-9, atol=1e-9)


WRONG_DISTANCES = {
    "not squared": lambda a, b: torch.cdist(a, b),
    "transposed": lambda a, b: torch.cdist(b, a).square(),
    "product once": lambda a, b: a.square().sum(-1, keepdim=True) + b.square().sum(-1)[None] - a @ b.mT,
    "without the query's norm": lambda a, b: b.square().sum(-1)[None] - 2 * a @ b.mT,
    "mean over features": lambda a, b: (a[:, None] - b).square().mean(-1),
    "only b centred": lambda a, b: torch.cdist(a, b - b.mean(0)).square(),
    "absolute": lambda a, b: (a[:, None] - b).abs().sum(-1),
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_DISTANCES.values(), ids=WRONG_DISTANCES)
def test_wrong_distances_are_caught(wrong):
    a, b = random_points(4, 4, 3, 0)
    exact = torch.from_numpy(euclidean_distances(a, b, squared=True))
    with pytest.raises(AssertionError):
        assert_close(wrong(torch.from_numpy(a), torch.from_numpy(b)), exact, rtol=1e-9, atol=1e-9)


@given(points, st.sampled_from([0.0, 1e2, 1e4]))
def test_distances_do_not_move_with_the_origin(case, offset):
    a, b = random_points(*case)
    exact = torch.from_numpy(((a[:, None] - b) ** 2).sum(-1))
    moved = squared_distances(torch.from_numpy(a + offset), torch.from_numpy(b + offset))
    assert_close(moved, exact, rtol=1e-7, atol=1e-7)


def test_a_large_offset_costs_float32_little():
    a, b = random_points(5, 3, 16, 0)
    naive = torch.cdist(
        torch.tensor(a + 1e3).float(), torch.tensor(b + 1e3).float(), compute_mode="use_mm_for_euclid_dist"
    )
    exact = torch.from_numpy(((a[:, None] - b) ** 2).sum(-1)).float()
    ours = squared_distances(torch.tensor(a + 1e3).float(), torch.tensor(b + 1e3).float())
    assert_close(ours, exact, rtol=1e-3, atol=1e-3)
    assert (naive.square() - exact).abs().max() > 100 * (ours - exact).abs().max()


@given(points)
def test_distances_are_never_negative_and_zero_to_oneself(case):
    a, _ = random_points(*case)
    assume(len(a) > 0)
    own = squared_distances(torch.from_numpy(a), torch.from_numpy(a))
    assert (own >= 0).all()
    assert_close(own.diagonal(), torch.zeros(len(a), dtype=torch.float64), rtol=0, atol=1e-12)


def test_no_rows_give_no_distances():
    assert squared_distances(torch.zeros(2, 0, 3), torch.zeros(2, 4, 3)).shape == (2, 0, 4)
