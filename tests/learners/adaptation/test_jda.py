"""JDA: rounds of dense generalised eigenvectors of SciPy with gaps by loops over classes, and a published cell."""

import numpy as np
import pytest
import scipy.linalg
import torch
from domain_cases import DistancesHead, FromOracle, class_distances, domains
from torch.testing import assert_close

from fewshot import load_dataset
from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adaptation.jda import JDA
from fewshot.learners.adaptation.tca import TCA
from fewshot.learners.metric.k_nearest_neighbours import KNearestNeighbours
from fewshot.testing import check_learner


def column(mine, theirs):
    e = np.concatenate([mine / mine.sum(), -theirs / max(theirs.sum(), 1)])
    return np.outer(e, e)


def dense(x, y, target, dim=3, penalty=0.5, rounds=4, form="kernel", slip=None):
    """Algorithm 1 of Long et al. (2013) with all tables of rows by rows, or of columns by columns."""
    both, n_way = np.concatenate([x, target]), y.max() + 1
    n, s = len(both), len(x)
    k = both @ both.T if form == "kernel" else both.T
    marginal = column(np.ones(s), np.ones(n - s)) * (1 if slip == "marginal counts once" else n_way)
    guess, centre = None, np.eye(n) - 1 / n
    for _ in range(1 if slip == "labels never guessed" else rounds):
        gap = marginal.copy()
        for c in range(n_way if guess is not None else 0):
            mine = y >= 0 if slip == "all of the source" else y == c
            gap += column(mine.astype(float), (guess == c).astype(float))
        if slip != "gap not scaled":
            gap /= np.linalg.norm(gap)
        _, vectors = scipy.linalg.eigh(k @ centre @ k.T, k @ gap @ k.T + penalty * np.eye(len(k)))
        w = vectors[:, -dim:] / np.linalg.norm(vectors[:, -dim:], axis=0)

        def through(rows, w=w):
            z = (rows @ both.T if form == "kernel" else rows) @ w
            return z / np.linalg.norm(z, axis=1, keepdims=True)

        guess = class_distances(through(x), y, through(target), n_way).argmax(1)
    return through(x), through


@pytest.mark.parametrize("form", ["kernel", "primal"])
@pytest.mark.parametrize("shift", [0.7, 4.0])
@pytest.mark.parametrize("dim", [6, 40])
def test_maps_are_those_of_dense_tables(form, shift, dim):
    support, query, _ = domains(dim=dim, shift=shift)
    for adapt_to in ("pool", "queries"):
        ours = JDA(3, 0.5, 4, form, head=DistancesHead(), adapt_to=adapt_to).adapt(support)(query)
        near = 1e-7 if (form, shift, dim) == ("kernel", 4.0, 40) else 1e-9  # there the dense table rounds more
        assert_close(ours, FromOracle(dense, adapt_to, form=form).adapt(support)(query), rtol=near, atol=near)


SLIPS = ["marginal counts once", "labels never guessed", "all of the source", "gap not scaled"]


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    check_learner(FromOracle(dense, slip=slip), unlabelled=20, learns=False, numbers=False)
    support, query, _ = domains(shift=4.0)
    ours = JDA(3, 0.5, 4, head=DistancesHead()).adapt(support)(query)
    with pytest.raises(AssertionError):
        assert_close(ours, FromOracle(dense, slip=slip).adapt(support)(query), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("adapt_to", ["pool", "queries"])
def test_keeps_the_contract(adapt_to):
    check_learner(JDA(2, rounds=3, adapt_to=adapt_to), unlabelled=20)


def test_one_round_is_tca():
    support, query, _ = domains()
    one = JDA(3, 0.5, rounds=1, head=DistancesHead()).adapt(support)(query)
    assert_close(one, TCA(3, 0.5, unit_map=True, head=DistancesHead()).adapt(support)(query))


def test_a_published_cell_and_its_rounds(data_root):
    """Long et al. (2013), C→W: 41.69; labels do not settle, so the number of rounds is part of the result."""
    data_root("transfer")
    a, b = (load_dataset("office-caltech10", domain=domain) for domain in ("caltech", "webcam"))
    support = SupportSet(torch.from_numpy(a.items)[None], torch.from_numpy(a.labels)[None], 10)
    for rounds, cell in ((1, 37.97), (9, 40.68), (10, 41.69)):
        learner = JDA(rounds=rounds, scaling="sum, z-score, unit", adapt_to="queries")
        answers = learner.adapt(support)(torch.from_numpy(b.items)[None])[0].argmax(-1)
        assert round(100 * float((answers.numpy() == b.labels).mean()), 2) == cell


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="rounds must be a whole number of at least 1, got 0"):
        JDA(rounds=0)
    support, _, _ = domains()
    with pytest.raises(EpisodeError, match="dim must be at most the rank of the rows, 6, got 100; lower dim"):
        JDA().adapt(support)
    with pytest.raises(EpisodeError, match=r"gap and penalty together must be positive definite, got penalty 0"):
        JDA(2, penalty=0.0).adapt(support)
    with pytest.raises(EpisodeError, match="k must be at most the number of support items, 18, got k=19"):
        JDA(2, head=KNearestNeighbours(19)).adapt(support)
