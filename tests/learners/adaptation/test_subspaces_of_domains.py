"""Joint PCA and subspace alignment: eigenvectors of covariances in NumPy, and a published cell."""

import numpy as np
import pytest
import torch
from domain_cases import DistancesHead, FromOracle, domains
from torch.testing import assert_close

from fewshot import load_dataset
from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adaptation.pca import JointPCA
from fewshot.learners.adaptation.subspace_alignment import SubspaceAlignment
from fewshot.learners.adaptation.subspaces import row_space
from fewshot.testing import check_learner


def axes(rows, dim, slip=None):
    table = rows.T @ rows if slip == "not centred" else np.cov(rows.T)
    vectors = np.linalg.eigh(table)[1]
    return vectors[:, :dim] if slip == "least" else vectors[:, ::-1][:, :dim]


def pca(x, y, target, dim=3, slip=None):
    both = np.concatenate([x, x if slip == "source only" else target])
    p = axes(both, dim, slip)
    if slip == "each domain centred":
        return (x - x.mean(0)) @ p, lambda rows: (rows - target.mean(0)) @ p
    return x @ p, lambda rows: rows @ p


def alignment(x, y, target, dim=3, centre=True, slip=None):
    p, r = axes(x, dim, slip), axes(target, dim, slip)
    m, m_target = (x.mean(0), target.mean(0)) if centre else (0, 0)
    if slip == "target aligned too":
        return (x - m) @ p @ p.T @ r, lambda rows: (rows - m_target) @ r @ r.T @ p
    if slip == "not aligned":
        return (x - m) @ p, lambda rows: (rows - m_target) @ r
    if slip == "joint mean":
        m = m_target = np.concatenate([x, target]).mean(0)
    return (x - m) @ p @ p.T @ r, lambda rows: (rows - m_target) @ r


CASES = [
    (JointPCA, pca, {}, ["not centred", "least", "source only", "each domain centred"]),
    (SubspaceAlignment, alignment, {"centre": True}, ["target aligned too", "least", "joint mean"]),
    (SubspaceAlignment, alignment, {"centre": False}, ["target aligned too", "not centred", "joint mean"]),
]


@pytest.mark.parametrize(("learner", "oracle", "options"), [case[:3] for case in CASES])
@pytest.mark.parametrize("dim", [6, 40])
def test_answers_are_those_of_covariances(learner, oracle, options, dim):
    support, query, _ = domains(dim=dim)
    for adapt_to in ("pool", "queries"):
        ours = learner(3, head=DistancesHead(), adapt_to=adapt_to, **options).adapt(support)(query)
        assert_close(ours, FromOracle(oracle, adapt_to, **options).adapt(support)(query), rtol=1e-9, atol=1e-9)


WRONG = [(*case[:3], slip) for case in CASES for slip in case[3]]


@pytest.mark.slip
@pytest.mark.parametrize(("learner", "oracle", "options", "slip"), WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(learner, oracle, options, slip):
    check_learner(FromOracle(oracle, slip=slip, **options), unlabelled=20, learns=False, numbers=False)
    support, query, _ = domains()
    ours = learner(3, head=DistancesHead(), **options).adapt(support)(query)
    with pytest.raises(AssertionError):
        assert_close(ours, FromOracle(oracle, slip=slip, **options).adapt(support)(query), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("learner", [JointPCA, SubspaceAlignment])
@pytest.mark.parametrize("adapt_to", ["pool", "queries"])
def test_keeps_the_contract(learner, adapt_to):
    check_learner(learner(2, adapt_to=adapt_to), unlabelled=20)


def test_a_published_cell(data_root):
    """Long et al. (2013), A→D of PCA: 27.39."""
    data_root("transfer")
    a, b = (load_dataset("office-caltech10", domain=domain) for domain in ("amazon", "dslr"))
    support = SupportSet(torch.from_numpy(a.items)[None], torch.from_numpy(a.labels)[None], 10)
    learner = JointPCA(scaling="sum, z-score", adapt_to="queries")
    answers = learner.adapt(support)(torch.from_numpy(b.items)[None])[0].argmax(-1)
    assert round(100 * float((answers.numpy() == b.labels).mean()), 2) == 27.39


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (50, 4)])
def test_a_row_space_has_no_rounded_zeros(shape):
    rows = np.random.default_rng(0).normal(size=(shape[0], 3)) @ np.random.default_rng(1).normal(size=(3, shape[1]))
    values, directions = row_space([torch.from_numpy(rows)])
    assert_close(values.numpy(), np.linalg.svd(rows)[1][:3])
    assert_close(torch.from_numpy(rows) @ directions @ directions.mT, torch.from_numpy(rows))


def test_errors_say_what_must_hold(no_shape_hook):
    support, _, _ = domains()
    for learner in (JointPCA(7), SubspaceAlignment(7)):
        with pytest.raises(EpisodeError, match="dim must be at most the rank of the rows, 6, got 7; lower dim"):
            learner.adapt(support)
    with pytest.raises(FewShotError, match="centre must be True or False, got 'yes'"):
        SubspaceAlignment(centre="yes")
