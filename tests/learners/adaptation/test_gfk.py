"""GFK: the kernel of all columns by numeric integration along the geodesic, and a published cell."""

import numpy as np
import pytest
import scipy.linalg
import torch
from domain_cases import DistancesHead, FromOracle, domains
from torch.testing import assert_close

from fewshot import load_dataset
from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError
from fewshot.learners.adaptation.gfk import GFK, flow_root
from fewshot.testing import check_learner

NODES, WEIGHTS = np.polynomial.legendre.leggauss(40)


def flow(p, r, t):
    """Φ(t): the tangent of the geodesic at p, followed by an exponential of the whole rotation."""
    m = (np.eye(len(p)) - p @ p.T) @ r @ np.linalg.inv(p.T @ r)
    u, tangent, v = np.linalg.svd(m, full_matrices=False)
    tangent = (u * np.arctan(tangent)) @ v
    turn = scipy.linalg.expm(t * (tangent @ p.T - p @ tangent.T))
    return turn @ p


def integral(p, r):
    phis = [flow(p, r, (t + 1) / 2) for t in NODES]
    return sum(w / 2 * phi @ phi.T for w, phi in zip(WEIGHTS, phis, strict=True))


def axes(rows, dim):
    return np.linalg.eigh(np.cov(rows.T))[1][:, ::-1][:, :dim]


def dense(x, y, target, dim=2, slip=None):
    p, r = axes(x, dim), axes(target, dim)
    if slip == "not centred":
        p = np.linalg.eigh(x.T @ x)[1][:, ::-1][:, :dim]
    kernel = integral(p, r)
    if slip == "ends only":
        kernel = (p @ p.T + r @ r.T) / 2
    if slip == "half the way":
        kernel = integral(p, flow(p, r, 0.5))
    values, vectors = np.linalg.eigh(kernel)
    root = vectors * np.sqrt(values.clip(0))
    return x @ root, lambda rows: rows @ root


def orthonormal(rng, dim, d):
    return torch.from_numpy(np.linalg.qr(rng.normal(size=(dim, d)))[0])


@pytest.mark.parametrize(("dim", "d"), [(8, 3), (5, 3), (4, 4), (6, 1)])
def test_the_root_is_that_of_the_integral(dim, d):
    rng = np.random.default_rng(dim * 10 + d)
    p, r = orthonormal(rng, dim, d), orthonormal(rng, dim, d)
    root = flow_root(p, r)
    assert_close(root @ root.mT, torch.from_numpy(integral(p.numpy(), r.numpy())), rtol=1e-9, atol=1e-10)


def test_of_one_subspace_twice_the_kernel_is_its_projection():
    p = orthonormal(np.random.default_rng(0), 7, 3)
    turned = p @ orthonormal(np.random.default_rng(1), 3, 3)
    root = flow_root(p, turned)
    assert_close(root @ root.mT, p @ p.mT, rtol=1e-7, atol=1e-7)


def test_at_right_angles_the_integral_is_known():
    """By hand: θ = π/2 gives weights 1/2, 1/π and 1/2."""
    p, r = torch.eye(2, dtype=torch.float64).split(1, 1)
    root = flow_root(p, r)
    size = (root @ root.mT).abs()
    assert_close(size, torch.tensor([[0.5, 1 / np.pi], [1 / np.pi, 0.5]], dtype=torch.float64))


@pytest.mark.parametrize("dim", [6, 40])
def test_answers_are_those_of_the_integral(dim):
    support, query, _ = domains(dim=dim)
    for adapt_to in ("pool", "queries"):
        ours = GFK(2, head=DistancesHead(), adapt_to=adapt_to).adapt(support)(query)
        assert_close(ours, FromOracle(dense, adapt_to).adapt(support)(query), rtol=1e-7, atol=1e-8)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["not centred", "ends only", "half the way"])
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    check_learner(FromOracle(dense, slip=slip), unlabelled=20, learns=False, numbers=False)
    support, query, _ = domains()
    ours = GFK(2, head=DistancesHead()).adapt(support)(query)
    with pytest.raises(AssertionError):
        assert_close(ours, FromOracle(dense, slip=slip).adapt(support)(query), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("adapt_to", ["pool", "queries"])
def test_keeps_the_contract(adapt_to):
    check_learner(GFK(2, adapt_to=adapt_to), unlabelled=20)


def test_a_published_cell(data_root):
    """Long et al. (2013), D→W of GFK: 75.59, with 10 directions."""
    data_root("transfer")
    a, b = (load_dataset("office-caltech10", domain=domain) for domain in ("dslr", "webcam"))
    support = SupportSet(torch.from_numpy(a.items)[None], torch.from_numpy(a.labels)[None], 10)
    learner = GFK(10, scaling="sum, z-score", adapt_to="queries")
    answers = learner.adapt(support)(torch.from_numpy(b.items)[None])[0].argmax(-1)
    assert round(100 * float((answers.numpy() == b.labels).mean()), 2) == 75.59


def test_too_many_directions():
    with pytest.raises(EpisodeError, match="dim must be at most the rank of the rows, 6, got 20; lower dim"):
        GFK().adapt(domains()[0])
