"""CORAL: powers of whole covariances by SciPy, scikit-learn's shrinkage, and a published cell."""

import numpy as np
import pytest
import scipy.linalg
import torch
from domain_cases import DistancesHead, FromOracle, domains
from sklearn.covariance import shrunk_covariance
from torch.testing import assert_close

from fewshot import load_dataset
from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adaptation.coral import CORAL
from fewshot.learners.adaptation.coral_published import PublishedCORAL
from fewshot.testing import check_learner


def dense(x, y, target, ridge=1.0, shrinkage=0.0, slip=None):
    """Algorithm 1 of Sun et al. (2016) with tables of columns by columns."""
    first, second = (np.cov(rows.T, ddof=0 if slip == "divided by n" else 1) for rows in (x, target))
    if shrinkage:
        first, second = (shrunk_covariance(c, shrinkage) for c in (first, second))
    first, second = (c + ridge * np.eye(len(c)) for c in (first, second))
    if slip == "only whitened":
        second = np.eye(len(first))
    if slip == "no roots":
        a = np.linalg.inv(first) @ second
    else:
        a = np.linalg.inv(scipy.linalg.sqrtm(first)) @ scipy.linalg.sqrtm(second)
    return x @ (a.T if slip == "transposed" else a), lambda rows: rows


@pytest.mark.parametrize(("ridge", "shrinkage"), [(1.0, 0.0), (0.1, 0.0), (0.0, 0.3), (0.5, 0.5), (0.0, 1.0)])
@pytest.mark.parametrize("dim", [6, 40])
def test_answers_are_those_of_whole_covariances(ridge, shrinkage, dim):
    support, query, _ = domains(dim=dim)
    for adapt_to in ("pool", "queries"):
        ours = CORAL(ridge, shrinkage, head=DistancesHead(), adapt_to=adapt_to).adapt(support)(query)
        slow = FromOracle(dense, adapt_to, ridge=ridge, shrinkage=shrinkage).adapt(support)(query)
        assert_close(ours, slow, rtol=1e-9, atol=1e-9)


def test_nothing_is_added_where_nothing_needs_to_be():
    support, query, _ = domains(queries=12)
    ours = CORAL(0.0, head=DistancesHead()).adapt(support)(query)
    assert_close(ours, FromOracle(dense, ridge=0.0).adapt(support)(query), rtol=1e-8, atol=1e-8)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["divided by n", "only whitened", "no roots", "transposed"])
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    check_learner(FromOracle(dense, slip=slip), unlabelled=20, learns=False, numbers=False)
    support, query, _ = domains()
    ours = CORAL(head=DistancesHead()).adapt(support)(query)
    with pytest.raises(AssertionError):
        assert_close(ours, FromOracle(dense, slip=slip).adapt(support)(query), rtol=1e-5, atol=1e-5)


def test_recoloured_rows_have_the_targets_covariance():
    support, _, _ = domains(shots=(30, 30, 30), target=60)
    kept = []

    class Keeper(DistancesHead):
        def adapt(self, support):
            kept.append(support.x[0])
            return super().adapt(support)

    CORAL(0.0, head=Keeper()).adapt(support)
    assert_close(torch.cov(kept[0].mT), torch.cov(support.unlabelled.mT), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("adapt_to", ["pool", "queries"])
@pytest.mark.parametrize("learner", [CORAL, PublishedCORAL])
def test_keeps_the_contract(learner, adapt_to):
    check_learner(learner(adapt_to=adapt_to), unlabelled=20, learns=learner is CORAL, order_invariant=learner is CORAL)


def test_the_published_table_is_of_products_that_are_no_kernel(data_root):
    """D→W of CORAL: 84.7 in the benchmark of Wang et al.; scikit-learn's machine on the very products gives the same."""
    from sklearn.svm import SVC

    data_root("transfer")
    a, b = (load_dataset("office-caltech10", domain=domain) for domain in ("dslr", "webcam"))
    support = SupportSet(torch.from_numpy(a.items)[None], torch.from_numpy(a.labels)[None], 10)
    learner = PublishedCORAL(scaling="sum, z-score", adapt_to="queries")
    answers = learner.adapt(support)(torch.from_numpy(b.items)[None])[0].argmax(-1).numpy()
    assert round(100 * float((answers == b.labels).mean()), 1) == 84.7
    x, q = (one.items.astype(np.float64) / one.items.sum(1, keepdims=True) for one in (a, b))
    x, q = ((rows - rows.mean(0)) / np.where(rows.std(0) == 0, 1, rows.std(0)) for rows in (x, q))
    moved, _ = dense(x, None, q)
    machine = SVC(kernel="precomputed").fit(moved @ x.T, a.labels)
    assert (machine.predict(q @ moved.T) == answers).all()


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match=r"shrinkage must be a finite number in \[0, 1\], got 2"):
        CORAL(shrinkage=2.0)
    with pytest.raises(EpisodeError, match="a covariance must be positive definite, got rank 17 of 40; set ridge or"):
        CORAL(0.0).adapt(domains(dim=40)[0])
    with pytest.raises(FewShotError, match="ridge must be a finite number above 0, got 0"):
        PublishedCORAL(ridge=0.0)
