"""MetaOptNet: the primal problem by SciPy behind a backbone, smoothed labels by hand, finite differences."""

import numpy as np
import pytest
import torch
from make import episode
from slips import Slipped
from torch import nn
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.index import load_learner
from fewshot.learners.linear.metaoptnet import MetaOptNet
from fewshot.testing import check_learner
from fewshot.training.episodic import EpisodicTraining, train

C, SCALE = 0.3, 2.0
CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # of SciPy's solver


def solved(support, query, scale=SCALE, C=C, margin=1.0, squared=False, intercept=False):
    """Scores of one episode by subgradient-free optimisation of the primal; each option is a slip."""
    from scipy.optimize import minimize

    x, y, n = support.x.numpy(), support.y.numpy(), support.n_way
    z = query.numpy()
    if intercept:
        x, z = np.c_[x, np.ones(len(x))], np.c_[z, np.ones(len(z))]
    size, dim = x.shape
    true = np.eye(n)[y]

    def objective(v):
        w, slack = v[: n * dim], v[n * dim :]
        loss, slope = (slack**2, 2 * slack) if squared else (slack, np.ones(size))
        return w @ w / 2 + C * loss.sum(), np.r_[w, C * slope]

    def room(v):
        scores = x @ v[: n * dim].reshape(n, dim).T
        return ((scores * true).sum(1)[:, None] - scores - margin * (1 - true) + v[n * dim :, None]).ravel()

    start = np.r_[np.zeros(n * dim), np.full(size, margin)]
    limits = {"type": "ineq", "fun": room}
    found = minimize(
        objective, start, jac=True, method="SLSQP", constraints=limits, options={"ftol": 1e-13, "maxiter": 500}
    )
    return torch.from_numpy(scale * z @ found.x[: n * dim].reshape(n, dim).T)


def made(backbone=None, **options):
    return MetaOptNet(backbone or nn.Identity(), **({"C": C, "scale": SCALE} | options)).double()


@pytest.mark.parametrize("shots", [(3, 1, 2), (1, 1), (2, 4, 1, 1)])
def test_scores_are_those_of_the_primal_problem_on_the_features(shots):
    backbone = nn.Linear(6, 4).double()
    support, query, _ = episode(shots)
    with torch.no_grad():
        expected = solved(support.map(backbone), backbone(query))
        assert_close(made(backbone).adapt(support)(query), expected, **CLOSE)


SLIPS = {
    "scale forgotten": {"scale": 1.0},
    "violations weighted by their mean": {"C": C / 6},
    "violations squared": {"squared": True},
    "an intercept": {"intercept": True},
    "margin of two": {"margin": 2.0},
}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_wrong_machines_are_caught(slip):
    support, query, _ = episode((3, 1, 2), spread=3.0)
    scores = made().adapt(support)(query).detach()
    assert_close(scores, solved(support, query), **CLOSE)
    with pytest.raises(AssertionError):
        assert_close(scores, solved(support, query, **slip), **CLOSE)


@pytest.mark.slip
def test_a_wrong_machine_keeps_the_contract():
    check_learner(Slipped(solved, scale=1.0), tolerance=1e-3)


def test_it_keeps_the_contract():
    check_learner(MetaOptNet(nn.Identity()))
    check_learner(MetaOptNet(nn.Linear(8, 5), smoothing=0.1), learns=False)


def by_hand(scores, labels, smoothing, slip=None):
    """Mean over the queries of minus the sum of label times log-probability."""
    scores, labels = scores.detach().numpy(), labels.numpy()
    n, terms = scores.shape[-1], []
    for row, label in zip(scores.reshape(-1, n), labels.ravel(), strict=True):
        log_p = row - np.log(np.exp(row).sum())
        rest = n if slip == "torch's smoothing" else n - 1
        wanted = np.full(n, smoothing / rest)
        wanted[label] = 1 - smoothing + (smoothing / n if slip == "torch's smoothing" else 0)
        wanted = wanted if slip != "true class only" else wanted * (np.arange(n) == label)
        terms.append(-(wanted * log_p).sum())
    return float(np.sum(terms) if slip == "sum for mean" else np.mean(terms))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_the_loss_has_smoothed_labels(smoothing):
    learner = made(smoothing=smoothing)
    support, query, labels = episode((3, 1, 2), episodes=3)
    scores = learner.adapt(support)(query)
    assert_close(episode_loss(learner, support, query, labels).item(), by_hand(scores, labels, smoothing))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["torch's smoothing", "true class only", "sum for mean"])
def test_wrong_smoothing_is_caught(slip):
    learner = made(smoothing=0.1)
    support, query, labels = episode((3, 1, 2), episodes=3)
    wrong = by_hand(learner.adapt(support)(query), labels, 0.1, slip)
    assert learner.loss(support, query, labels).item() != pytest.approx(wrong, rel=1e-6)


def test_gradients_reach_backbone_and_scale_through_the_solution():
    """Central differences; with the support cut off from the backbone the slope is another."""
    learner = made(nn.Linear(5, 3), smoothing=0.1)
    case = episode((3, 1, 2), 5, episodes=2, spread=2.0)
    episode_loss(learner, *case).backward()
    for parameter, at in (
        (learner.backbone.weight, (1, 2)),
        (learner.backbone.bias, (0,)),
        (learner.head.svm.scale, ()),
    ):
        assert_close(parameter.grad[at].item(), slope(learner, parameter, at, case), rtol=1e-4, atol=1e-7)
    cut = learner.head.loss(case[0].map(lambda x: learner.embed(x).detach()), learner.embed(case[1]), case[2])
    (wrong,) = torch.autograd.grad(cut, learner.backbone.weight)
    assert wrong[1, 2].item() != pytest.approx(learner.backbone.weight.grad[1, 2].item(), rel=1e-2)


def slope(learner, parameter, at, case, step=1e-5):
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter[at] += sign * step
            values.append(episode_loss(learner, *case).item())
            parameter[at] -= sign * step
    return (values[0] - values[1]) / (2 * step)


def test_training_learns():
    rng = np.random.default_rng(0)
    y = np.arange(8).repeat(9)
    base = Collection.from_arrays((rng.normal(size=(8, 6))[y] + rng.normal(size=(72, 6))).astype(np.float32), y)
    learner = load_learner("metaoptnet", backbone=nn.Linear(6, 6), smoothing=0.1)
    state = train(learner, base, EpisodicTraining(EpisodeSpec(3, 2, 4), steps=30, learning_rate=0.03))
    assert np.mean(state.losses[-8:]) < 0.9 * np.mean(state.losses[:8]) and learner.head.svm.scale.item() > 1.1


def test_a_known_number():
    """Items 1 and -1 on a line, C of 1: w = ±1/2 meets both margins, so the query at 1 scores ±1/2 times the scale."""
    support = SupportSet(torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1]), 2)
    scores = MetaOptNet(nn.Identity(), C=1.0, scale=3.0).adapt(support)(torch.ones(1, 1))
    assert_close(scores.detach(), torch.tensor([[1.5, -1.5]]), rtol=1e-5, atol=1e-6)


def test_errors_say_what_must_hold():
    for smoothing in (-0.1, 1.0, float("nan")):
        with pytest.raises(FewShotError, match=rf"smoothing must lie in \[0, 1\), got {smoothing}"):
            MetaOptNet(nn.Identity(), smoothing=smoothing)
    with pytest.raises(FewShotError, match=r"C must be above 0, got 0\.0"):
        MetaOptNet(nn.Identity(), C=0.0)
    support, query, labels = episode((2,), episodes=1)
    with pytest.raises(EpisodeError, match="smoothing needs at least two classes, got 1; use smoothing=0"):
        made(smoothing=0.1).loss(support, query, labels)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        made().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
    assert type(load_learner("metaoptnet", backbone=nn.Identity(), C=1.0)) is Embedded
