"""Weighted and soft targets of the multinomial logistic regression: scikit-learn with sample weights as the oracle."""

import numpy as np
import pytest
import torch
from make import episode
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression
from torch.testing import assert_close

from fewshot.errors import EpisodeError
from fewshot.learners.linear.convex import multinomial_logistic


def oracle(x, target, penalty):
    """Each item once for each class, weighted by its share; weights and intercepts as ``(dim, n)`` and ``(n,)``."""
    n = target.shape[1]
    rows, labels = np.repeat(x.numpy(), n, 0), np.tile(np.arange(n), len(x))
    model = SklearnLogisticRegression(C=1 / penalty, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(rows, labels, sample_weight=target.numpy().ravel())
    return torch.from_numpy(model.coef_.T), torch.from_numpy(model.intercept_ - model.intercept_.mean())


@pytest.mark.parametrize("dim", [3, 40])
@pytest.mark.parametrize("penalty", [0.01, 1.0, 30.0])
def test_weighted_soft_targets_are_scikit_learns_weighted_copies(dim, penalty):
    support, _, _ = episode((3, 1, 4), dim, episodes=3, spread=2.0)
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 8, 3, generator=generator, dtype=torch.float64) * 2
    weights, intercept = multinomial_logistic(support.x, target, penalty)
    for k in range(3):
        exact_weights, exact_intercept = oracle(support.x[k], target[k], penalty)
        assert_close(weights[k], exact_weights, rtol=1e-4, atol=1e-5)
        assert_close(intercept[k, 0] - intercept[k].mean(), exact_intercept, rtol=1e-4, atol=1e-5)


def test_a_weight_is_a_repetition_and_no_weight_is_absence():
    support, _, _ = episode((3, 2, 2), 5, spread=2.0)
    target = torch.nn.functional.one_hot(support.y, 3).double()
    times = torch.tensor([2, 1, 0, 1, 3, 1, 1])
    weighted = multinomial_logistic(support.x, target * times[:, None], 1.0)
    repeated = multinomial_logistic(support.x.repeat_interleave(times, 0), target.repeat_interleave(times, 0), 1.0)
    for ours, exact in zip(weighted, repeated, strict=True):
        assert_close(ours, exact, rtol=1e-6, atol=1e-7)


def test_many_items_of_few_features_stay_small():
    """More items than features: no matrix of all pairs of items, and the gradient vanishes."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3000, 4, generator=generator, dtype=torch.float64)
    target = torch.nn.functional.one_hot((x @ torch.randn(4, 3, generator=generator).double()).argmax(-1), 3).double()
    weights, intercept = multinomial_logistic(x, target, 2.0)
    error = (x @ weights + intercept).softmax(-1) - target
    assert_close(x.mT @ error + 2 * weights, torch.zeros(4, 3).double(), rtol=0, atol=1e-6)


def test_single_precision_items_are_solved_in_the_precision_of_the_target():
    support, _, _ = episode((2, 3), 30, dtype=torch.float32)
    target = torch.nn.functional.one_hot(support.y, 2).double()
    was = support.x.clone()
    for ours, exact in zip(
        multinomial_logistic(support.x, target, 1.0),
        multinomial_logistic(support.x.double(), target, 1.0),
        strict=True,
    ):
        assert ours.dtype == torch.float64
        assert_close(ours, exact, rtol=1e-6, atol=1e-6)
    assert_close(support.x, was, rtol=0, atol=0)


def test_not_converging_is_an_error():
    x = torch.tensor([[0.0], [torch.nan]], dtype=torch.float64)
    with pytest.raises((EpisodeError, torch.linalg.LinAlgError)):
        multinomial_logistic(x, torch.eye(2, dtype=torch.float64), 1.0)
