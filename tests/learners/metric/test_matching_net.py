"""Matching networks: both LSTMs written out in NumPy gate by gate, cosine and softmax by scikit-learn and SciPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from make import episode, episodes
from scipy.special import expit, softmax
from sklearn.metrics.pairwise import cosine_similarity
from slips import Slipped
from torch import nn
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.datasets.collection import Collection
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError, ShapeError
from fewshot.learners.index import load_learner
from fewshot.learners.metric.matching_attention import MatchingAttention
from fewshot.learners.metric.matching_net import FullContext, MatchingNet
from fewshot.testing import check_learner
from fewshot.training.episodic import EpisodicTraining, train

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def made(dim=8, backbone=None, **options):
    options = {"fce": True, "dim": dim, "temperature": 0.2} | options
    return MatchingNet(backbone or nn.Identity(), **options).double()


def cell(w, x, h, c, names):
    """One step of an LSTM; torch has the gates in the order input, forget, new, output."""
    into, back, bias, bias_back = (w[name] for name in names)
    i, f, new, out = np.split(into @ x + bias + back @ h + bias_back, 4)
    c = expit(f) * c + expit(i) * np.tanh(new)
    return expit(out) * np.tanh(c), c


def one_way(w, items, suffix):
    names = [f"reader.{kind}_l0{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    h, c, states = np.zeros(items.shape[1]), np.zeros(items.shape[1]), []
    for item in items:
        h, c = cell(w, item, h, c, names)
        states.append(h)
    return np.array(states)


def oracle(support, query, head, both=True, skip=True, own_skip=True, begin="zeros", read="softmax", reads_g=True):
    """Log-probabilities of one episode; each option is a slip."""
    w = {name: value.numpy() for name, value in head.state_dict().items()}
    x, y = support.x.numpy(), support.y.numpy()
    back = one_way(w, x[::-1], "_reverse")[::-1] if both else 0
    g = one_way(w, x, "") + back + (x if skip else 0)
    f = np.array([asked(w, z, g, x, head.steps, own_skip, begin, read, reads_g) for z in query.numpy()])
    share = softmax(cosine_similarity(f, g) / head.attention.temperature, axis=1)
    return torch.from_numpy(np.log(np.stack([share[:, y == k].sum(1) for k in range(support.n_way)], 1)))


def asked(w, z, g, x, steps, own_skip, begin, read, reads_g):
    names = [f"asker.{kind}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    h, c = (z if begin == "query" else np.zeros_like(z)), np.zeros_like(z)
    for _ in range(steps):
        members = g if reads_g else x
        affinity = cosine_similarity(h[None], members)[0] if read == "cosine" else members @ h
        r = softmax(affinity) @ members
        h, c = cell(w, np.concatenate([z, r]), h, c, names)
        h = h + z if own_skip else h
    return h


def agree(learner, case, head, **slip):
    support, query, _ = case
    with torch.no_grad():
        assert_close(learner.adapt(support)(query), oracle(support, query, head, **slip), **CLOSE)


@settings(max_examples=10)
@given(episodes())
def test_scores_are_those_of_the_appendix_written_out(case):
    learner = made(case[0].x.shape[-1])
    agree(learner, case, learner.head)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_any_number_of_readings(steps):
    learner = made(steps=steps)
    agree(learner, episode((3, 1, 2), 8), learner.head)


SLIPS = {
    "one direction only": {"both": False},
    "no skip in the support": {"skip": False},
    "no skip in the query": {"own_skip": False},
    "begins with the query": {"begin": "query"},
    "reads by cosine": {"read": "cosine"},
    "reads the mere features": {"reads_g": False},
}


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_wrong_embeddings_keep_the_contract_and_are_caught(slip):
    learner, case = made(), episode((3, 1, 2), 8)
    wrong = Slipped(oracle, head=learner.head, **slip)
    check_learner(wrong, order_invariant=False, learns=False)
    agree(learner, case, learner.head)
    with pytest.raises(AssertionError):
        agree(learner, case, learner.head, **slip)


def test_torchs_own_bookkeeping_of_directions():
    """The last state of the way back is that at the first item."""
    head = made().head
    x = episode((3, 2), 8)[0].x
    with torch.no_grad():
        forth, back = head.reader(x)[1][0]
        assert_close(head.read(x)[-1] - x[-1], forth + head.reader(x)[0][-1, 8:], **CLOSE)
        assert_close(head.read(x)[0] - x[0], back + head.reader(x)[0][0, :8], **CLOSE)


def test_without_full_context_it_is_the_attention_of_eq_1():
    case = episode((3, 1, 2), 6, episodes=3)
    plain, bare = MatchingNet(nn.Identity(), temperature=0.5), MatchingAttention(temperature=0.5)
    assert torch.equal(plain.adapt(case[0])(case[1]), bare.adapt(case[0])(case[1]))
    assert not list(plain.parameters())
    empty = made(6, steps=0, temperature=0.5)
    for parameter in empty.head.parameters():
        nn.init.zeros_(parameter)
    assert_close(empty.adapt(case[0])(case[1]), bare.adapt(case[0])(case[1]), **CLOSE)


def test_the_order_of_the_support_matters_and_that_of_the_queries_does_not():
    learner = made()
    support, query, _ = episode((3, 1, 2), 8)
    turned = SupportSet(support.x.flip(0), support.y.flip(0), 3)
    with torch.no_grad():
        scores = learner.adapt(support)(query)
        assert float((learner.adapt(turned)(query) - scores).abs().max()) > 1e-4
        assert_close(learner.adapt(support)(query.flip(0)), scores.flip(0), **CLOSE)


def test_it_keeps_the_contract():
    check_learner(MatchingNet(nn.Identity(), temperature=0.05))
    check_learner(made(), order_invariant=False, learns=False)
    check_learner(made(5, nn.Linear(8, 5), metric="squared-euclidean"), order_invariant=False, learns=False)


def test_batches_are_episodes_one_by_one():
    learner = made(6)
    support, query, _ = episode((2, 1, 3), 6, episodes=4)
    with torch.no_grad():
        together = learner.adapt(support)(query)
        for k in range(4):
            assert_close(learner.adapt(support[k])(query[k]), together[k], **CLOSE)
        assert learner.adapt(support)(query[:, :0]).shape == (4, 0, 3)


def test_gradients_reach_backbone_and_both_lstms():
    learner = made(4, nn.Linear(6, 4))
    case = episode((2, 1, 3), 6, episodes=2)
    episode_loss(learner, *case).backward()
    for name, parameter in learner.named_parameters():
        at = (0,) * parameter.ndim
        assert_close(parameter.grad[at].item(), slope(learner, parameter, at, case), rtol=1e-5, atol=1e-9, msg=name)


def slope(learner, parameter, at, case, step=1e-6):
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            parameter[at] += sign * step
            values.append(episode_loss(learner, *case).item())
            parameter[at] -= sign * step
    return (values[0] - values[1]) / (2 * step)


def test_weights_are_those_of_the_seed_and_global_randomness_is_untouched():
    before = torch.get_rng_state()
    one, same, other = (made(4, seed=seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["head.asker.weight_hh"], other["head.asker.weight_hh"])


def test_training_learns():
    rng = np.random.default_rng(0)
    y = np.arange(8).repeat(9)
    base = Collection.from_arrays((rng.normal(size=(8, 6))[y] + rng.normal(size=(72, 6))).astype(np.float32), y)
    learner = load_learner("matching-net", backbone=nn.Identity(), fce=True, dim=6, temperature=0.1, steps=1)
    state = train(learner, base, EpisodicTraining(EpisodeSpec(3, 2, 4), steps=40, tasks=4, learning_rate=0.01))
    assert np.mean(state.losses[-8:]) < 0.9 * np.mean(state.losses[:8])


def test_a_known_number():
    """All weights 0 leave g = x, and h = f after each step; then cosines 0.6 and 0.8 of the query (3, 4)."""
    learner = MatchingNet(nn.Identity(), fce=True, dim=2)
    for parameter in learner.parameters():
        nn.init.zeros_(parameter)
    support = SupportSet(torch.eye(2), torch.tensor([0, 1]), 2)
    p = learner.adapt(support)(torch.tensor([[3.0, 4.0]])).exp().detach()
    assert_close(p, torch.tensor([[0.45016600, 0.54983400]]))  # 1 / (1 + exp(0.2))


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="fce must know the number of features, got a Identity; pass dim"):
        MatchingNet(nn.Identity(), fce=True)
    with pytest.raises(FewShotError, match="steps must be a whole number of at least 0, got -1"):
        FullContext(4, MatchingAttention(), steps=-1)
    with pytest.raises(FewShotError, match="metric must be 'cosine' or 'squared-euclidean', got 'dot'"):
        MatchingNet(nn.Identity(), metric="dot")
    support, _, _ = episode((1, 2), 6)
    with pytest.raises(ShapeError, match="features must be of size 4, got 6; pass another dim"):
        made(4).adapt(support)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        made(6).adapt(SupportSet(support.x, torch.zeros_like(support.y), 2))
    assert type(load_learner("matching-net", backbone=nn.Identity())) is Embedded
