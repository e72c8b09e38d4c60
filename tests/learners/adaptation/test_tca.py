"""TCA: dense generalised eigenvectors of SciPy on tables of all rows, and published cells."""

import numpy as np
import pytest
import scipy.linalg
import torch
from domain_cases import DistancesHead, FromOracle, domains
from torch.testing import assert_close

from fewshot import load_dataset
from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adaptation.discrepancy import class_gaps, marginal_gap
from fewshot.learners.adaptation.tca import TCA
from fewshot.testing import check_learner


def dense(x, y, target, dim=3, penalty=0.5, form="kernel", eigenvectors="unit", unit_gap=True, slip=None):
    """Eqs. 6 to 10 of Pan et al. (2011) with all tables of rows by rows, or of columns by columns."""
    both = np.concatenate([x, target])
    n, s = len(both), len(x)
    e = np.concatenate([np.full(s, 1 / s), np.full(n - s, -1 / (n - s))])
    if slip == "sizes forgotten":
        e = np.concatenate([np.ones(s), -np.ones(n - s)]) / n
    gap = np.outer(e, e) / (np.linalg.norm(np.outer(e, e)) if unit_gap else 1)
    centre = np.eye(n) - 1 / n
    if slip == "not centred":
        centre = np.eye(n)
    k = both @ both.T if form == "kernel" else both.T
    top, bottom = k @ centre @ k.T, k @ gap @ k.T + penalty * np.eye(len(k))
    if slip == "penalty on the spread":
        top, bottom = k @ centre @ k.T + penalty * np.eye(len(k)), k @ gap @ k.T + 0.01 * np.eye(len(k))
    values, vectors = scipy.linalg.eigh(top, bottom)
    w = vectors[:, ::-1][:, 1 : dim + 1] if slip == "not the largest" else vectors[:, ::-1][:, :dim]
    w = w / (np.sqrt(values[::-1][:dim]) if eigenvectors == "constraint" else np.linalg.norm(w, axis=0))
    if form == "kernel":
        return k[:s] @ w, lambda rows: rows @ both.T @ w
    return x @ w, lambda rows: rows @ w


@pytest.mark.parametrize("form", ["kernel", "primal"])
@pytest.mark.parametrize("eigenvectors", ["unit", "constraint"])
@pytest.mark.parametrize("unit_gap", [True, False])
@pytest.mark.parametrize("tied", [0, 2])
def test_maps_are_those_of_dense_tables(form, eigenvectors, unit_gap, tied):
    support, query, _ = domains(dim=6, tied=tied)
    options = {"dim": 3, "penalty": 0.5, "form": form, "eigenvectors": eigenvectors, "unit_gap": unit_gap}
    for adapt_to in ("pool", "queries"):
        ours = TCA(head=DistancesHead(), adapt_to=adapt_to, **options).adapt(support)(query)
        slow = FromOracle(dense, adapt_to, **options).adapt(support)(query)
        assert_close(ours, slow, rtol=1e-9, atol=1e-10)


def test_more_columns_than_rows():
    support, query, _ = domains(dim=60)
    ours = TCA(3, 0.5, head=DistancesHead()).adapt(support)(query)
    assert_close(ours, FromOracle(dense).adapt(support)(query), rtol=1e-9, atol=1e-10)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["sizes forgotten", "not centred", "penalty on the spread", "not the largest"])
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    check_learner(FromOracle(dense, slip=slip), unlabelled=20, learns=False, numbers=False)
    support, query, _ = domains()
    with pytest.raises(AssertionError):
        assert_close(
            TCA(3, 0.5, head=DistancesHead()).adapt(support)(query),
            FromOracle(dense, slip=slip).adapt(support)(query),
            rtol=1e-6,
            atol=1e-6,
        )


@pytest.mark.parametrize("adapt_to", ["pool", "queries"])
def test_keeps_the_contract(adapt_to):
    check_learner(TCA(2, adapt_to=adapt_to), unlabelled=20)


def test_the_gap_is_the_distance_of_means_by_a_double_loop():
    support, query, _ = domains()
    x, t = support.x, query
    both = torch.cat([x, t])
    e = marginal_gap(len(x), len(t), both)
    loop = sum(float(a @ b) for a in x for b in x) / len(x) ** 2 + sum(float(a @ b) for a in t for b in t) / len(t) ** 2
    loop -= 2 * sum(float(a @ b) for a in x for b in t) / (len(x) * len(t))
    assert float((both.mT @ e).square().sum()) == pytest.approx(loop, rel=1e-10)


def test_gaps_of_classes_are_distances_of_their_means():
    support, query, labels = domains()
    labels = labels.clamp(max=1)  # nobody guesses the last class
    gaps = torch.cat([support.x, query]).mT @ class_gaps(support.y, labels, 3, query)
    for c in range(3):
        theirs = query[labels == c].mean(0) if (labels == c).any() else 0
        assert_close(gaps[:, c], support.x[support.y == c].mean(0) - theirs)


@pytest.mark.parametrize(
    ("options", "source", "target", "cell"),
    [
        ({"scaling": "sum, z-score"}, ("office-caltech10", "caltech"), "dslr", 41.40),
        ({"scaling": "unit", "form": "primal", "penalty": 0.1}, ("coil20", "coil1"), "coil2", 88.47),
    ],
)
def test_published_cells(options, source, target, cell, data_root):
    """Table 3 of Long et al. (2013), rows C→D and COIL1→2 of TCA."""
    data_root("transfer")
    a, b = load_dataset(source[0], domain=source[1]), load_dataset(source[0], domain=target)
    support = SupportSet(torch.from_numpy(a.items)[None], torch.from_numpy(a.labels)[None], len(a.class_names))
    answers = TCA(adapt_to="queries", **options).adapt(support)(torch.from_numpy(b.items)[None])[0].argmax(-1)
    assert round(100 * float((answers.numpy() == b.labels).mean()), 2) == cell


def test_errors_say_what_must_hold(no_shape_hook):
    for options, sentence in [
        ({"form": "dual"}, "form must be 'kernel' or 'primal', got 'dual'"),
        ({"eigenvectors": "B"}, "eigenvectors must be 'unit' or 'constraint', got 'B'"),
        ({"dim": 0}, "dim must be a whole number of at least 1, got 0"),
        ({"penalty": -1}, "penalty must be a finite number of at least 0, got -1"),
        ({"unit_map": 1}, "unit_map must be True or False, got 1"),
    ]:
        with pytest.raises(FewShotError, match=sentence):
            TCA(**options)
    support, _, _ = domains()
    with pytest.raises(EpisodeError, match="dim must be at most the rank of the rows, 6, got 7; lower dim"):
        TCA(7).adapt(support)
    with pytest.raises(
        EpisodeError, match=r"must be positive definite, got penalty 0, too small .*; raise the penalty"
    ):
        TCA(2, penalty=0.0).adapt(support)
