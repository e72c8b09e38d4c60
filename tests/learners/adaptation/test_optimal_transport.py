"""Optimal transport: linear programming and a plain Sinkhorn as oracles, POT's own class as second opinion."""

from dataclasses import replace

import numpy as np
import ot
import pytest
import torch
from scipy.optimize import linprog
from scipy.special import logsumexp
from torch.testing import assert_close
from two_domains import shifted

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, MissingExtraError
from fewshot.learners.adaptation import optimal_transport
from fewshot.learners.adaptation.optimal_transport import OptimalTransport
from fewshot.learners.adaptation.source_only import SourceOnly
from fewshot.plumbing import names
from fewshot.testing import check_learner


def costs(x, t, slip=None):
    found = np.array([[((a - b) ** 2).sum() for b in t] for a in x])
    found = np.sqrt(found) if slip == "distances, not squares" else found
    return found / found.max()


def linear_program(cost):
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    sums = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return linprog(cost.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=sums).x.reshape(n, m)


def sinkhorn(cost, entropy):
    n, m = cost.shape
    kernel, u = np.exp(-cost / entropy), np.ones(n)
    for _ in range(20_000):
        v = 1 / m / (kernel.T @ u)
        u = 1 / n / (kernel @ v)
    return u[:, None] * kernel * v


def oracle(support, query, plan="sinkhorn", entropy=0.1, classes=0.1, rounds=10, slip=None):
    """Squared distances of the queries to the moved rows of the source, which a head of one neighbour ranks by."""
    x, t, y = support.x.numpy(), support.unlabelled.numpy(), support.y.numpy()
    cost = costs(x, t, slip)
    p = (
        linear_program(cost)
        if plan == "emd"
        else sinkhorn(cost, 10 * entropy if slip == "another entropy" else entropy)
    )
    for _ in range(rounds - 1 if plan == "sinkhorn-classes" else 0):
        slope = np.zeros_like(cost)
        for i in range(len(x)):
            for j in range(len(t)):
                slope[i, j] = 0.5 / np.sqrt(p[y == y[i], j].sum() + 1e-3)
        p = sinkhorn(cost + (-1 if slip == "classes apart" else 1) * classes * slope, entropy)
    moved = p @ t if slip == "mass not divided by" else p @ t / p.sum(1, keepdims=True)
    if slip == "the target moves":
        moved = x
    return moved


class Moved:
    """A head that shows what it was given."""

    def adapt(self, support):
        return lambda query: support.x


def moved(learner, support, query):
    """Rows of the source as the head gets them."""
    return replace(learner, head=Moved()).adapt(support)(query)


@pytest.fixture(autouse=True)
def _to_the_end(monkeypatch):
    monkeypatch.setattr(optimal_transport, "TOLERANCE", 1e-11)


@pytest.mark.parametrize("plan", ["emd", "sinkhorn", "sinkhorn-classes"])
@pytest.mark.parametrize("seed", range(3))
def test_rows_go_where_the_oracle_says(plan, seed):
    support, query = shifted(shots=(5, 3, 4), pool=7, seed=seed)
    ours = moved(OptimalTransport(plan, entropy=0.2, rounds=4, steps=20_000), support, query)
    wanted = oracle(support, query, plan, 0.2, rounds=4)
    assert_close(ours, torch.from_numpy(wanted), rtol=1e-6, atol=1e-6)


@pytest.mark.slip
@pytest.mark.parametrize(
    ("plan", "slip"),
    [
        ("emd", "the target moves"),
        ("emd", "mass not divided by"),
        ("sinkhorn", "another entropy"),
        ("sinkhorn", "distances, not squares"),
        ("sinkhorn-classes", "classes apart"),
    ],
)
def test_wrong_formulas_fail_the_oracle(plan, slip):
    support, query = shifted(shots=(5, 3, 4), pool=7)
    ours = moved(OptimalTransport(plan, entropy=0.2, rounds=4, steps=20_000), support, query)
    wanted = oracle(support, query, plan, 0.2, rounds=4, slip=slip)
    with pytest.raises(AssertionError):
        assert_close(ours, torch.from_numpy(wanted), rtol=1e-6, atol=1e-6)


def test_pots_own_class_moves_rows_to_the_same_places():
    support, query = shifted(shots=(5, 3, 4), pool=7)
    x, t = support.x.numpy(), support.unlabelled.numpy()
    theirs = ot.da.SinkhornLpl1Transport(0.2, 0.1, max_iter=10, max_inner_iter=20_000, tol=1e-12, norm="max")
    wanted = theirs.fit(Xs=x, ys=support.y.numpy(), Xt=t).transform(Xs=x)
    ours = moved(OptimalTransport(entropy=0.2, steps=20_000), support, query)
    assert_close(ours, torch.from_numpy(wanted), rtol=1e-6, atol=1e-6)


def test_logarithms_hold_where_plain_scales_underflow():
    support, query = shifted(shots=(5, 3, 4), pool=7)
    log_k, f = -costs(support.x.numpy(), support.unlabelled.numpy()) / 0.001, np.zeros((12, 1))
    assert (np.exp(log_k) == 0).any()
    for _ in range(3000):
        g = -np.log(7) - logsumexp(log_k + f, axis=0, keepdims=True)
        f = -np.log(12) - logsumexp(log_k + g, axis=1, keepdims=True)
    wanted = 12 * np.exp(f + log_k + g) @ support.unlabelled.numpy()
    ours = moved(OptimalTransport("sinkhorn", entropy=0.001, steps=3000), support, query)
    assert_close(ours, torch.from_numpy(wanted), rtol=1e-6, atol=1e-6)
    plain = moved(OptimalTransport("sinkhorn", entropy=0.2, logarithms=False, steps=20_000), support, query)
    assert_close(plain, moved(OptimalTransport("sinkhorn", entropy=0.2, steps=20_000), support, query))


def test_equal_domains_stay_under_emd_and_a_large_entropy_sends_all_to_the_mean():
    support, query = shifted()
    same = replace(support, unlabelled=support.x.flip(0))
    assert_close(moved(OptimalTransport("emd"), same, query), support.x)
    blurred = moved(OptimalTransport("sinkhorn", entropy=1e6), support, query)
    assert_close(blurred, support.unlabelled.mean(0).expand_as(support.x), rtol=1e-4, atol=1e-4)


def test_a_known_number():
    """By hand: sources 0 and 1, targets 10 and 12: each goes to its own, for crossing costs 2 * 2 * 1 more."""
    x, t = torch.tensor([[1.0], [0.0]]).double(), torch.tensor([[10.0], [12.0]]).double()
    support = SupportSet(x, torch.tensor([0, 1]), 2, unlabelled=t)
    assert moved(OptimalTransport("emd"), support, t).flatten().tolist() == [12.0, 10.0]


def test_a_translation_is_undone():
    support, query = shifted(shift=6.0, pool=40)
    truth = SourceOnly().adapt(support)(query - 6 * torch.linspace(1, -0.5, 4, dtype=torch.float64)).argmax(-1)
    assert (OptimalTransport("emd").adapt(support)(query).argmax(-1) == truth).double().mean() > 0.8
    assert (SourceOnly().adapt(support)(query).argmax(-1) == truth).double().mean() < 0.7


@pytest.mark.parametrize(
    "learner",
    [OptimalTransport("emd"), OptimalTransport("sinkhorn", entropy=0.5), OptimalTransport("emd", adapt_to="queries")],
    ids=str,
)
def test_keeps_the_contract(learner, monkeypatch):
    monkeypatch.setattr(optimal_transport, "TOLERANCE", 1e-6)
    check_learner(learner, shots=(8, 5, 6), unlabelled=12)


def test_keeps_the_contract_with_classes(monkeypatch):
    monkeypatch.setattr(optimal_transport, "TOLERANCE", 1e-6)
    check_learner(OptimalTransport(entropy=0.3, rounds=2), shots=(4, 2, 3), unlabelled=6, numbers=False)


def test_errors_say_what_must_hold(monkeypatch, no_shape_hook):
    support, query = shifted()
    with pytest.raises(
        EpisodeError, match=r"must reach the mass of every row, got one that is .* after 1 steps; raise"
    ):
        OptimalTransport("sinkhorn", entropy=0.001, steps=1).adapt(support)(query)
    for make, sentence in [
        (lambda: OptimalTransport("lp"), "plan must be one of emd, sinkhorn, sinkhorn-classes, got 'lp'"),
        (lambda: OptimalTransport(entropy=0.0), "entropy must be a finite number above 0, got 0.0"),
        (lambda: OptimalTransport(classes=-1.0), "classes must be a finite number of at least 0, got -1.0"),
        (lambda: OptimalTransport(rounds=0), "rounds must be a whole number of at least 1, got 0"),
        (lambda: OptimalTransport(logarithms="yes"), "logarithms must be True or False, got 'yes'"),
        (lambda: OptimalTransport(adapt_to="all"), "adapt_to must be 'pool' or 'queries', got 'all'"),
    ]:
        with pytest.raises(FewShotError, match=sentence):
            make()

    learner = OptimalTransport()

    def absent(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(names.importlib, "import_module", absent)
    with pytest.raises(
        MissingExtraError, match=r"the package 'ot', which is not installed; run: pip install 'fewshot\[transport\]'"
    ):
        learner.adapt(support)(query)
