"""Ridge and logistic regression towards a source: normal equations, scikit-learn, scipy, and both limits of the prior."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression as SklearnLogistic
from sklearn.linear_model import Ridge as SklearnRidge
from torch.testing import assert_close
from two_domains import Marked, few_labels

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adaptation.logistic_transfer import LogisticTransfer
from fewshot.learners.adaptation.ridge_transfer import RidgeTransfer, towards
from fewshot.learners.linear.logistic_regression import LogisticRegression
from fewshot.learners.linear.ridge import Ridge
from fewshot.testing import check_learner


def parts(support):
    """Rows with a column of ones, less the source's mean, and one-hot labels, of both domains."""
    of_target = support.domain.numpy() == 1
    x, y = support.x.numpy(), np.eye(support.n_way)[support.y]
    centre = x[~of_target].mean(0)
    ones = np.concatenate([x - centre, np.ones((len(x), 1))], 1)
    return ones[~of_target], y[~of_target], ones[of_target], y[of_target], centre


def source_ridge(x, y, penalty):
    model = SklearnRidge(penalty).fit(x[:, :-1], y)
    return np.concatenate([model.coef_.T, model.intercept_[None]])


def ridge_oracle(support, query, penalty=1.0, source_penalty=1.0, slip=None):
    x, y, z, t, centre = parts(support)
    start = source_ridge(x, y, source_penalty)
    if slip == "prior around zero":
        start = np.zeros_like(start)
    eye = np.eye(z.shape[1])
    if slip == "free intercept":
        eye[-1, -1] = 0
    wanted = t if slip == "not the residual" else t - z @ start
    w = start + np.linalg.solve(z.T @ z + penalty * eye, z.T @ wanted)
    return np.concatenate([query.numpy() - centre, np.ones((len(query), 1))], 1) @ w


@pytest.mark.parametrize("few", [(1, 0, 0), (3, 2, 2), (9, 8, 10)])
@pytest.mark.parametrize("dim", [3, 30])
def test_ridge_scores_are_the_closed_form(few, dim):
    support, query = few_labels(few=few, dim=dim)
    wanted = torch.from_numpy(ridge_oracle(support, query, 0.7, 2.0))
    assert_close(RidgeTransfer(0.7, 2.0).adapt(support)(query), wanted, rtol=1e-8, atol=1e-9)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["prior around zero", "free intercept", "not the residual"])
def test_wrong_ridge_formulas_fail_the_oracle(slip):
    support, query = few_labels()
    with pytest.raises(AssertionError):
        assert_close(RidgeTransfer().adapt(support)(query), torch.from_numpy(ridge_oracle(support, query, slip=slip)))


def test_ridge_with_a_large_penalty_is_the_source():
    support, query = few_labels()
    source = SupportSet(support.x[support.domain == 0], support.y[support.domain == 0], 3)
    assert_close(RidgeTransfer(1e10).adapt(support)(query), Ridge(1.0).adapt(source)(query), rtol=1e-6, atol=1e-6)


def test_ridge_with_a_small_penalty_is_the_target_alone():
    support, query = few_labels(few=(9, 8, 10))
    _, _, z, t, centre = parts(support)
    w = np.linalg.lstsq(z, t, rcond=None)[0]
    wanted = np.concatenate([query.numpy() - centre, np.ones((len(query), 1))], 1) @ w
    assert_close(RidgeTransfer(1e-9).adapt(support)(query), torch.from_numpy(wanted), rtol=1e-5, atol=1e-5)


def test_a_known_number():
    """By hand: one row x = 2 with y = 5, start 1, penalty 4: 1 + 2 (5 - 2) / (4 + 4) = 1.75."""
    one = torch.ones(1, 1, dtype=torch.float64)
    assert_close(towards(2 * one, 5 * one, one, 4.0), 1.75 * one)


# Logistic regression --------------------------------------------------------------------------------


def logistic_oracle(support, query, C=1.0, source_C=1.0, slip=None):
    """By scipy on all weights at once; the source by scikit-learn."""
    x, y, z, t, centre = parts(support)
    n_way = support.n_way
    twice = 2 if n_way == 2 and slip != "two classes as more" else 1
    model = SklearnLogistic(C=source_C, tol=1e-12, max_iter=100_000).fit(x[:, :-1], y.argmax(1))
    coef, intercept = model.coef_, model.intercept_
    if n_way == 2:
        coef, intercept = np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
    start = np.concatenate([coef.T, intercept[None]])
    start = np.zeros_like(start) if slip == "prior around zero" else start - start.mean(1, keepdims=True)
    penalty = np.full_like(start, twice / C)
    if slip == "free intercept":
        penalty[-1] = 1e-9

    def loss(flat):
        w = flat.reshape(start.shape)
        log_p = log_softmax(z @ w, 1)
        slope = z.T @ (np.exp(log_p) * t.sum(1, keepdims=True) - t) + penalty * (w - start)
        return -(t * log_p).sum() + (penalty * (w - start) ** 2).sum() / 2, slope.ravel()

    w = minimize(loss, start.ravel(), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000}).x
    logits = np.concatenate([query.numpy() - centre, np.ones((len(query), 1))], 1) @ w.reshape(start.shape)
    return log_softmax(logits, 1)


CASES = [
    {"few": (1, 0, 0)},
    {"few": (3, 2, 2)},
    {"few": (9, 8, 10)},
    {"shots": (14, 9), "few": (3, 2)},
    {"few": (2, 2, 2), "dim": 20},
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_logistic_scores_are_those_of_scipy(case):
    support, query = few_labels(**case)
    wanted = torch.from_numpy(logistic_oracle(support, query, 0.7, 2.0))
    assert_close(LogisticTransfer(0.7, 2.0).adapt(support)(query), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["prior around zero", "free intercept", "two classes as more"])
def test_wrong_logistic_formulas_fail_the_oracle(slip):
    support, query = few_labels(shots=(14, 9), few=(3, 2))
    with pytest.raises(AssertionError):
        wanted = torch.from_numpy(logistic_oracle(support, query, slip=slip))
        assert_close(LogisticTransfer().adapt(support)(query), wanted, rtol=1e-5, atol=1e-5)


def test_logistic_with_a_small_C_is_the_source():
    support, query = few_labels()
    source = SupportSet(support.x[support.domain == 0], support.y[support.domain == 0], 3)
    wanted = LogisticRegression().adapt(source)(query)
    assert_close(LogisticTransfer(1e-9).adapt(support)(query), wanted, rtol=1e-5, atol=1e-5)


def test_logistic_with_a_large_C_forgets_the_source():
    support, query = few_labels(few=(30, 30, 30), shift=3.0)
    turned = SupportSet(
        support.x, torch.where(support.domain == 0, (support.y + 1) % 3, support.y), 3, domain=support.domain
    )
    ours = [LogisticTransfer(1e5).adapt(one)(query).argmax(-1) for one in (support, turned)]
    assert (ours[0] == ours[1]).all()


# Both -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", [RidgeTransfer(), LogisticTransfer()], ids=str)
def test_keeps_the_contract(learner):
    check_learner(Marked(learner), shots=(10, 8, 9))


@pytest.mark.parametrize("learner", [RidgeTransfer(), LogisticTransfer()], ids=str)
def test_an_offset_of_all_rows_changes_nothing(learner):
    support, query = few_labels()
    far = SupportSet(support.x + 1e4, support.y, 3, domain=support.domain)
    assert_close(learner.adapt(far)(query + 1e4), learner.adapt(support)(query), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("learner", [RidgeTransfer(), LogisticTransfer()], ids=str)
def test_a_few_labels_help_where_the_domains_are_apart(learner):
    """Rows of the target lie on the other side, so that the source alone calls each by the wrong name."""
    rng = np.random.default_rng(0)
    y, few, asked = np.tile([0, 1], 50), np.tile([0, 1], 8), np.tile([0, 1], 100)
    at = lambda labels, sign: sign * (2 * labels[:, None] - 1) + 0.3 * rng.normal(size=(len(labels), 3))  # noqa: E731
    x, z, query = at(y, 1), at(few, -1), torch.from_numpy(at(asked, -1))
    domain = torch.from_numpy(np.repeat([0, 1], [100, 16]))
    labels = torch.from_numpy(np.concatenate([y, few]))
    support = SupportSet(torch.from_numpy(np.concatenate([x, z])), labels, 2, domain=domain)
    right = (learner.adapt(support)(query).argmax(-1).numpy() == asked).mean()
    assert right > 0.95


@pytest.mark.parametrize("learner", [RidgeTransfer(), LogisticTransfer()], ids=str)
def test_errors_say_what_must_hold(learner):
    support, query = few_labels()
    with pytest.raises(EpisodeError, match="needs labelled examples of the target, got none; mark them by 1 in"):
        learner.adapt(SupportSet(support.x, support.y, 3))
    some = torch.where((support.y == 1) & (support.domain == 0), 2, support.y)
    with pytest.raises(EpisodeError, match=r"an example of the source to start from, got none for classes \[1\]"):
        learner.adapt(SupportSet(support.x, some, 3, domain=support.domain))
    with pytest.raises(EpisodeError, match="features must be finite"):
        learner.adapt(SupportSet(support.x / 0, support.y, 3, domain=support.domain))
    with pytest.raises(FewShotError, match="queries must have the columns of the support, got 2 and 4"):
        learner.adapt(support)(query[:, :2])


def test_options_are_checked():
    with pytest.raises(FewShotError, match="source_penalty must be a finite number above 0, got 0"):
        RidgeTransfer(source_penalty=0.0)
    with pytest.raises(FewShotError, match="C must be a finite number above 0, got nan"):
        LogisticTransfer(float("nan"))
