"""Scale, offset and type of features: the loss that is reached is that of an independent solver in float64."""

import mpmath
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


def newton_logistic(x, y, penalty=1.0):
    """W ``(dim, n)`` and b ``(n,)``: Newton's method with the whole Hessian, on centred columns of unit size."""
    centre, (n, dim) = x.mean(0), (y.max() + 1, x.shape[1])
    size = np.abs(x - centre).max(0)
    rows, own = np.c_[(x - centre) / size, np.ones(len(x))], np.eye(y.max() + 1)[y]
    strength = np.r_[penalty / size**2, 0][:, None]

    def value(w):
        return logistic_loss(rows, y, w, 0) + (strength * w**2).sum() / 2

    w = np.zeros((dim + 1, n))
    for _ in range(300):
        missed, hessian = derivatives(rows, own, w)
        gradient = (rows.T @ missed + strength * w).ravel()
        step = solved(hessian + np.diag(np.repeat(strength.ravel(), n)), gradient, n).reshape(w.shape)
        gain, length = (gradient * step.ravel()).sum(), 1.0
        while value(w - length * step) > value(w) - 1e-4 * length * gain and length > 1e-6:
            length /= 2
        w = w - length * step
        if gain <= 1e-12 * value(w):
            break
    return w[:-1] / size[:, None], w[-1] - centre / size @ w[:-1]


def derivatives(rows, own, w):
    """Of the loss: by the logits, and twice by the weights. Of the own class, 1 - p is the sum of the others: no digit is lost."""
    odds = np.exp(rows @ w - (rows @ w * own).sum(1, keepdims=True)) * (1 - own)
    p = odds / (1 + odds.sum(1, keepdims=True))
    total = p.sum(1, keepdims=True)
    cross = own[:, :, None] * (p * (1 - total))[:, None]
    curved = p[:, :, None] * np.eye(own.shape[1]) - p[:, :, None] * p[:, None] - cross - cross.transpose(0, 2, 1)
    curved += own[:, :, None] * own[:, None] * (total * (1 - total))[:, None]
    hessian = np.einsum("ij,icd,ik->jckd", rows, curved, rows)
    return p - own * total, hessian.reshape(w.size, w.size)


def solved(hessian, gradient, n):
    """Newton's step; the classes' mean, on which nothing depends, is held by a penalty of its own."""
    size = hessian.diagonal().reshape(-1, n).mean(1).clip(1e-300)
    scale = hessian.diagonal() ** -0.5
    held = (hessian + np.kron(np.diag(size), np.ones((n, n))) / n) * scale * scale[:, None]
    return scale * np.linalg.lstsq(held, scale * gradient, rcond=1e-15)[0]


def own_logistic(x, y):
    w, b = multinomial_logistic(torch.tensor(x), one_hot(torch.tensor(y)).double(), 1.0)
    return w.numpy(), b[0].numpy()


def excess_of_logistic(solve, x, y):
    """By how much the loss of a solution is above that of the better of two solvers, relative to it."""
    centre = x.mean(0)

    def loss(w, b):
        return logistic_loss(x - centre, y, w, b + centre @ w) + (w**2).sum() / 2

    return loss(*solve(x, y)) / min(least_logistic(x, y), loss(*newton_logistic(x, y))) - 1


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize(("spread", "dim"), [(0.7, 5), (1.0, 40)])
def test_logistic_regression_reaches_the_least_loss(scale, spread, dim):
    x, y = table(spread, dim)
    assert excess_of_logistic(own_logistic, scale(x), y) <= 1e-6


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize(("spread", "dim"), [(0.7, 5), (1.0, 40)])
def test_the_two_solvers_agree(scale, spread, dim):
    """So that each of them is no loose bar: the whole Hessian here, and gradients alone in SciPy."""
    x, y = table(spread, dim)
    x = scale(x)
    assert excess_of_logistic(newton_logistic, x, y) <= 1e-6


def in_float32(x, y):
    w, b = multinomial_logistic(torch.tensor(x).float(), one_hot(torch.tensor(y)).float(), 1.0)
    return w.double().numpy(), b[0].double().numpy()


def from_residuals(x, y):
    """W as the sum of items by what their probabilities miss: at the minimum it is, but these are below rounding."""
    w, b = own_logistic(x, y)
    logits = x @ w + b
    p = np.exp(logits - logits.max(1, keepdims=True))
    w = (x - x.mean(0)).T @ (np.eye(3)[y] - p / p.sum(1, keepdims=True))
    return w, b


def with_columns_of_unit_size(x, y):
    size = np.abs(x - x.mean(0)).max(0)
    w, b = own_logistic(x / size, y)
    return w / size[:, None], b


WRONG = {
    "float32": in_float32,
    "weights from residuals": from_residuals,
    "the penalty of columns of unit size": with_columns_of_unit_size,
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_solutions_are_caught(wrong):
    x, y = table(0.7)

    def right(scale):
        try:
            return bool(excess_of_logistic(wrong, scale(x), y) <= 1e-6)
        except EpisodeError:
            return False

    assert not all(map(right, SCALES.values()))


def exact_ridge(x, y, penalty, intercept=True):
    """Normal equations in 60 digits: W ``(dim, n)`` and b ``(n,)``; without an intercept, b is 0."""
    with mpmath.workdps(60):
        rows = mpmath.matrix(x.tolist())
        target = mpmath.matrix(np.eye(y.max() + 1)[y].tolist())
        s, n = rows.rows, target.cols
        if intercept:
            centre = [mpmath.fsum(rows[i, j] for i in range(s)) / s for j in range(rows.cols)]
            share = [mpmath.fsum(target[i, c] for i in range(s)) / s for c in range(n)]
        else:
            centre, share = [mpmath.mpf(0)] * rows.cols, [mpmath.mpf(0)] * n
        z = mpmath.matrix(s, rows.cols)
        t = mpmath.matrix(s, n)
        for i in range(s):
            for j in range(rows.cols):
                z[i, j] = rows[i, j] - centre[j]
            for c in range(n):
                t[i, c] = target[i, c] - share[c]
        gram = z * z.T + penalty * mpmath.eye(s)
        alpha = [mpmath.lu_solve(gram, t[:, c]) for c in range(n)]
        w = [z.T * one for one in alpha]
        b = [share[c] - mpmath.fsum(centre[j] * w[c][j] for j in range(rows.cols)) for c in range(n)]
        return w, b


def exact_ridge_scores(x, y, query, penalty=1.0, intercept=True):
    with mpmath.workdps(60):
        w, b = exact_ridge(x, y, penalty, intercept)
        return np.array(
            [[float(mpmath.fdot(row, one) + c) for one, c in zip(w, b, strict=True)] for row in query.tolist()]
        )


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("dim", [5, 40])
def test_ridge_is_least_squares_on_columns_of_unit_size(scale, dim):
    """Two closed forms: NumPy's least squares of stacked rows, and the normal equations in 60 digits."""
    x, y = table(1.0, dim)
    x = scale(x)
    z = x - x.mean(0)
    target = np.eye(3)[y]

    def loss(w):
        return ((z @ w - target) ** 2).sum() + (w**2).sum()

    size = np.abs(z).max(0)
    stacked = np.r_[z / size, np.diag(1 / size)]
    first = np.linalg.lstsq(stacked, np.r_[target, np.zeros((dim, 3))], rcond=None)[0] / size[:, None]
    second = np.array([[float(v) for v in w] for w in exact_ridge(z, y, 1.0, intercept=False)[0]]).T
    assert loss(ridge(torch.tensor(z), torch.tensor(target), 1.0).numpy()) <= min(loss(first), loss(second)) * (
        1 + 1e-6
    )


MARGIN = 1e-4


def questions(scale, dim, kind):
    """A support and queries of the same classes, as they are stored in a type."""
    x, y = table(1.5, dim, 12)
    x = scale(x).astype(kind)
    return x[::2], y[::2], x[1::2]


def require_predictions(scores, oracle):
    """The classes are those of the oracle wherever its best is above its second by more than the margin."""
    two = np.sort(oracle, 1)[:, -2:]
    clear = two[:, 1] - two[:, 0] > MARGIN
    wrong = scores.argmax(1) != oracle.argmax(1)
    assert not (clear & wrong).any(), f"{(clear & wrong).sum()} of {clear.sum()} predictions differ"
    return clear


def oracle_scores(name, x, y, query):
    x, query = x.astype(float), query.astype(float)
    if name == "logistic-regression":
        w, b = newton_logistic(x, y)
        return (query - x.mean(0)) @ w + (b + x.mean(0) @ w)
    if name == "ridge":
        return exact_ridge_scores(x, y, query)
    with_ones = (np.c_[rows, np.ones(len(rows))] for rows in (x, query))
    first, then = with_ones
    return exact_ridge_scores(first, y, then, intercept=False)


PREDICTED = {
    "all times 1e-6": lambda x: x * 1e-6,
    "all times 1e-3": lambda x: x * 1e-3,
    "as they are": lambda x: x,
    "all times 1e3": lambda x: x * 1e3,
    "all times 1e6": lambda x: x * 1e6,
    "all times 1e9": lambda x: x * 1e9,
    "one times 1e3": lambda x: x * np.r_[np.ones(x.shape[1] - 1), 1e3],
    "one times 1e6": lambda x: x * np.r_[np.ones(x.shape[1] - 1), 1e6],
    "plus 1e3": lambda x: x + 1e3,
    "plus 1e5": lambda x: x - 1e5,
    "one times 1e6, plus 1e5": lambda x: x * np.r_[1e6, np.ones(x.shape[1] - 1)] + 1e5,
}


@pytest.mark.parametrize("scale", PREDICTED.values(), ids=PREDICTED)
@pytest.mark.parametrize("name", ["logistic-regression", "ridge", "r2d2"])
@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("dim", [5, 40])
def test_predictions_are_those_of_the_oracle_where_its_margin_is_clear(scale, name, kind, dim):
    x, y, query = questions(scale, dim, kind)
    support = SupportSet(torch.tensor(x)[None], torch.tensor(y)[None], 3)
    with torch.no_grad():
        scores = load_learner(name).adapt(support)(torch.tensor(query)[None])[0].numpy()
    clear = require_predictions(scores, oracle_scores(name, x, y, query))
    assert clear.any() or scale is PREDICTED["all times 1e-6"] or scale is PREDICTED["all times 1e-3"]


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
    with pytest.raises(EpisodeError, match=r"features must be at most 1e\+100 in float64, got "):
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
