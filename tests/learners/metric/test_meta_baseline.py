"""Meta-Baseline: scikit-learn's cosines to means, its gradients by hand, training of backbone and scale."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from make import episode, episodes
from sklearn.metrics.pairwise import cosine_similarity
from slips import Slipped
from torch import nn
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.index import load_learner
from fewshot.learners.metric.meta_baseline import MetaBaseline
from fewshot.testing import check_learner
from fewshot.training.episodic import EpisodicTraining, train

SCALE, CLOSE = 4.0, {"rtol": 1e-9, "atol": 1e-9}


def oracle(support, query, scale=SCALE, unit_items=False, cosine=True, own_mean=False, times=True):
    """Scores of one episode; each option is a slip."""
    x, y = support.x.numpy(), support.y.numpy()
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    x, query = x / lengths if unit_items else x, query.numpy()
    means = np.stack([x[y == k].mean(0) for k in range(support.n_way)])
    if own_mean:
        means, query = means - means.mean(0), query - means.mean(0)
    similar = cosine_similarity(query, means) if cosine else query @ means.T
    return torch.from_numpy(similar * scale if times else similar / scale)


def made(scale=SCALE):
    return MetaBaseline(nn.Identity(), scale).double()


@settings(max_examples=15)
@given(episodes())
def test_scores_are_scaled_cosines_to_the_means(case):
    support, query, _ = case
    assert_close(made().adapt(support)(query), oracle(support, query), **CLOSE)


def test_batches_are_episodes_one_by_one():
    support, query, _ = episode((3, 1, 2), episodes=4)
    exact = torch.stack([oracle(support[k], query[k]) for k in range(4)])
    assert_close(made().adapt(support)(query), exact, **CLOSE)
    assert made().adapt(support)(query[:, :0]).shape == (4, 0, 3)


SLIPS = {
    "items brought to length 1 before the mean": {"unit_items": True},
    "products for cosines": {"cosine": False},
    "centred on the means": {"own_mean": True},
    "divided by the scale": {"times": False},
}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_wrong_formulas_keep_the_contract_and_are_caught(slip):
    support, query, _ = episode((3, 1, 2), spread=3.0)
    wrong = Slipped(oracle, **slip)
    check_learner(wrong)
    assert_close(made().adapt(support)(query), Slipped(oracle).adapt(support)(query), **CLOSE)
    with pytest.raises(AssertionError):
        assert_close(made().adapt(support)(query), wrong.adapt(support)(query), **CLOSE)


def test_it_keeps_the_contract():
    check_learner(MetaBaseline(nn.Identity()))
    check_learner(MetaBaseline(nn.Linear(8, 5)), learns=False)


def test_the_loss_is_a_cross_entropy_whose_gradients_reach_backbone_and_scale():
    """The slope by the scale is that of log-softmax: mean cosine under the model less that of the true class."""
    learner = MetaBaseline(nn.Linear(6, 4, bias=False), SCALE).double()
    support, query, labels = episode((3, 1, 2), episodes=2)
    loss = episode_loss(learner, support, query, labels)
    loss.backward()
    with torch.no_grad():
        cosines = torch.stack([oracle(*embedded(learner, support[k], query[k]), scale=1.0) for k in range(2)])
    p = (SCALE * cosines).softmax(-1)
    true = cosines.gather(-1, labels[..., None])[..., 0]
    assert_close(learner.head.scale.grad, ((p * cosines).sum(-1) - true).mean(), **CLOSE)
    picked = p.gather(-1, labels[..., None])[..., 0]
    assert_close(loss.detach(), -picked.log().mean(), **CLOSE)
    weight = learner.backbone.weight

    def moved(step):
        with torch.no_grad():
            weight[0, 0] += step
            value = episode_loss(learner, support, query, labels).item()
            weight[0, 0] -= step
        return value

    assert_close(weight.grad[0, 0].item(), (moved(1e-6) - moved(-1e-6)) / 2e-6, rtol=1e-6, atol=1e-8)


def embedded(learner, support, query):
    return support.map(learner.backbone), learner.backbone(query)


def test_lengths_of_queries_do_not_matter_and_answers_are_no_further_than_the_scale():
    support, query, _ = episode((3, 1, 2))
    scores = made().adapt(support)(query)
    assert_close(made().adapt(support)(7 * query), scores, **CLOSE)
    assert float(scores.detach().abs().max()) <= SCALE * (1 + 1e-12)


def test_training_moves_the_scale():
    rng = np.random.default_rng(0)
    y = np.arange(8).repeat(9)
    base = Collection.from_arrays((rng.normal(size=(8, 6))[y] + rng.normal(size=(72, 6))).astype(np.float32), y)
    learner = load_learner("meta-baseline", backbone=nn.Linear(6, 6))
    state = train(learner, base, EpisodicTraining(EpisodeSpec(3, 2, 4), steps=40, tasks=4, learning_rate=0.03))
    assert np.mean(state.losses[-8:]) < 0.95 * np.mean(state.losses[:8])
    assert abs(learner.head.scale.item() - 10) > 0.05


def test_a_known_number():
    """Means (1, 0) and (0, 2), query (3, 4): cosines 0.6 and 0.8, times ten."""
    support = SupportSet(torch.tensor([[1.0, 0.0], [0.0, 3.0], [0.0, 1.0]]), torch.tensor([0, 1, 1]), 2)
    scores = MetaBaseline(nn.Identity()).adapt(support)(torch.tensor([[3.0, 4.0]]))
    assert_close(scores.detach(), torch.tensor([[6.0, 8.0]]))


def test_errors_say_what_must_hold():
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(FewShotError, match=f"scale must be above 0, got {scale}"):
            MetaBaseline(nn.Identity(), scale)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        made().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
    assert type(load_learner("meta-baseline", backbone=nn.Identity(), scale=3.0)) is Embedded
