"""Scale, offset and type of features: the loss that is reached is that of an independent solver in float64."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize, nnls
from torch.nn.functional import one_hot

from fewshot.contract import SupportSet, floats, taken
from fewshot.errors import EpisodeError
from fewshot.functional import cholesky
from fewshot.learners.index import load_learner
from fewshot.learners.linear.convex import multinomial_logistic, ridge
from fewshot.learners.linear.margins import largest_margins
from fewshot.learners.transductive.tied_em import TiedEM
from fewshot.testing import check_learner

SCALES = {
    "as they are": lambda x: x,
    "all small": lambda x: x * 1e-6,
    "all large": lambda x: x * 1e6,
    "one large": lambda x: x * np.r_[1e6, np.ones(x.shape[1] - 1)],
    "offset": lambda x: x + 1e5,
    "all and one large, offset": lambda x: x * np.r_[1e6, np.ones(x.shape[1] - 1)] * 1e3 + 1e5,
}


def table(spread, dim=5, each=6, classes=3):
    rng, y = np.random.default_rng(0), np.arange(classes).repeat(each)
    return rng.normal(size=(classes, dim))[y] * spread + rng.normal(size=(len(y), dim)), y


def logistic_loss(x, y, w, b):
    """Sum of the losses, accurate where they are tiny."""
    logits = x @ w + b
    gaps = logits - logits[np.arange(len(y)), y][:, None]
    gaps[np.arange(len(y)), y] = -np.inf
    top = np.maximum(gaps.max(1), 0)
    return (top + np.log1p(np.exp(gaps - top[:, None]).sum(1) + np.expm1(-top))).sum()


def least_logistic(x, y):
    """L-BFGS of SciPy on columns of unit size, with their penalties."""
    centre, (n, dim) = x.mean(0), (y.max() + 1, x.shape[1])
    size = np.abs(x - centre).max(0)
    rows, penalty = (x - centre) / size, 1 / size[:, None] ** 2

    def objective(v):
        w, b = v[: dim * n].reshape(dim, n), v[dim * n :]
        p = np.exp(rows @ w + b - (rows @ w + b).max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        missed = p - np.eye(n)[y]
        value = logistic_loss(rows, y, w, b) + (penalty * w**2).sum() / 2
        return value, np.r_[(rows.T @ missed + penalty * w).ravel(), missed.sum(0)]

    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-15, "gtol": 1e-13}
    return minimize(objective, np.zeros(dim * n + n), jac=True, method="L-BFGS-B", options=options).fun


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize(("spread", "dim"), [(0.7, 5), (1.0, 40)])
def test_logistic_regression_reaches_the_least_loss(scale, spread, dim):
    x, y = table(spread, dim)
    x = scale(x)
    w, b = multinomial_logistic(torch.tensor(x), one_hot(torch.tensor(y)).double(), 1.0)
    centre = x.mean(0)
    got = (
        logistic_loss(x - centre, y, w.numpy(), (b[0] + torch.tensor(centre) @ w).numpy()) + float(w.square().sum()) / 2
    )
    assert got <= least_logistic(x, y) * (1 + 1e-6)


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("dim", [5, 40])
def test_ridge_is_least_squares_of_numpy_on_columns_of_unit_size(scale, dim):
    x, y = table(1.0, dim)
    x = scale(x)
    x = x - x.mean(0)
    target = np.eye(3)[y]

    def loss(w):
        return ((x @ w - target) ** 2).sum() + (w**2).sum()

    size = np.abs(x).max(0)
    stacked = np.r_[x / size, np.diag(1 / size)]
    exact = np.linalg.lstsq(stacked, np.r_[target, np.zeros((dim, 3))], rcond=None)[0] / size[:, None]
    assert loss(ridge(torch.tensor(x), torch.tensor(target), 1.0).numpy()) <= loss(exact) * (1 + 1e-6)


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_no_weights_near_those_of_the_largest_margins_are_better(scale):
    """The objective is convex: no weights around the solution are better, in length or in any coordinate."""
    x, y = table(0.7)
    x, target = torch.tensor(scale(x)), one_hot(torch.tensor(y)).double().T
    w = largest_margins(x, target, 0.1)
    got = svm_loss(w, x, target)
    generator = torch.Generator().manual_seed(0)
    for size in (1e-2, 1e-3, 1e-4):
        for _ in range(50):
            near = w * (1 + size * torch.randn(w.shape, generator=generator, dtype=w.dtype))
            assert svm_loss(near, x, target) > got * (1 - 1e-6)


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e6, 1e9])
def test_largest_margins_without_violation_are_those_of_least_distance(factor):
    x, y = table(3.0)
    w = largest_margins(torch.tensor(x * factor), one_hot(torch.tensor(y)).double().T, 1e4)
    scores = x * factor @ w.numpy().T
    gaps = scores[np.arange(len(y)), y][:, None] - scores
    assert gaps[np.eye(3)[y] == 0].min() >= 1 - 1e-12
    assert float(w.square().sum()) / 2 <= least_distance(x * factor, y) * (1 + 1e-6)


def least_distance(x, y):
    """Least ‖W‖² / 2 with all margins, by nonnegative least squares: Lawson and Hanson (1974), chapter 23."""
    (n, dim), size = (y.max() + 1, x.shape[1]), np.abs(x).max()
    pairs = [
        np.outer(np.eye(n)[own] - np.eye(n)[m], row)
        for row, own in zip(x / size, y, strict=True)
        for m in range(n)
        if m != own
    ]
    stacked = np.r_[np.reshape(pairs, (len(pairs), -1)).T, np.ones((1, len(pairs)))]
    wanted = np.r_[np.zeros(n * dim), 1.0]
    missed = stacked @ nnls(stacked, wanted)[0] - wanted
    return ((missed[:-1] / missed[-1] / size) ** 2).sum() / 2


@pytest.mark.parametrize("name", ["logistic-regression", "ridge", "r2d2", "svm"])
def test_features_whose_squares_are_infinite_are_refused(name):
    x, y = table(1.0)
    with pytest.raises(EpisodeError, match=r"features must be at most 1e\+100, got "):
        load_learner(name).adapt(SupportSet(torch.tensor(x * 1e160)[None], torch.tensor(y)[None], 3))


def svm_loss(w, x, target):
    scores = w @ x.T
    violation = (scores + (1 - target)).amax(0) - (scores * target).sum(0)
    return float(w.square().sum() / 2 + 0.1 * violation.sum())


def test_a_batch_of_large_episodes_has_the_answers_of_one_thread():
    """Batched LU of some CPUs is wrong from about 150 rows once threads are set; nothing here may depend on it."""
    x, y = table(1.0, 300, 60)
    support = SupportSet(torch.tensor(x)[None].repeat(3, 1, 1), torch.tensor(y)[None].repeat(3, 1), 3)
    threads = torch.get_num_threads()
    alone = TiedEM().adapt(support[0])(support.x[0])
    try:
        torch.set_num_threads(2)
        together = TiedEM().adapt(support)(support.x)
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(together, alone.expand_as(together), rtol=1e-8, atol=1e-8)


def test_floats_hold_what_was_stored():
    for kind in (torch.float16, torch.bfloat16, torch.int8, torch.int16, torch.bool):
        assert floats(torch.ones(2).to(kind)).dtype == torch.float32
    large = torch.tensor([2**40 + 1])
    assert floats(large).dtype == torch.float64
    assert int(floats(large)) == 2**40 + 1
    assert taken(load_learner("ridge"), torch.ones(1, 1, 2).double(), like=torch.ones(1, 1, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    "name", ["nearest-mean", "k-nearest-neighbours", "matching-attention", "ridge", "svm", "soft-k-means"]
)
@pytest.mark.parametrize(
    "kinds", [("float32", "float64"), ("float64", "float32"), ("float16", "float16"), ("int64", "int64")]
)
def test_any_type_of_number_is_taken_without_the_evaluator(name, kinds):
    x, y = table(3.0)
    x, first, then = torch.tensor(4 * x).round(), *(getattr(torch, kind) for kind in kinds)
    learner, labels = load_learner(name), torch.tensor(y)[None]
    wanted = learner.adapt(SupportSet(x[None], labels, 3))(x[None])
    got = learner.adapt(SupportSet(x.to(first)[None], labels, 3))(x.to(then)[None])
    torch.testing.assert_close(got.double(), wanted, rtol=1e-3, atol=1e-3)


def test_what_is_not_positive_definite_is_refused_in_a_sentence():
    with pytest.raises(EpisodeError, match="must be positive definite"):
        cholesky(-torch.eye(2))


def test_a_learner_that_fails_on_a_type_is_caught():
    class Picky:
        def adapt(self, support):
            if support.x.dtype == torch.float32 and bool((support.x == support.x.round()).all()):
                raise TypeError("no whole numbers")
            return load_learner("nearest-mean").adapt(support)

    with pytest.raises(AssertionError, match="types of numbers do not matter"):
        check_learner(Picky())
    check_learner(Picky(), numbers=False)
