"""Transductive fine-tuning: automatic differentiation with torch's Adam, one episode at a time; and easyfsl."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from slips import Slipped
from torch import nn
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.learners.transductive.transductive_fine_tune import TransductiveFineTune
from fewshot.testing import check_learner


def entropy(logits):
    """Mean over items of the entropy of their predictions."""
    p = logits.softmax(1)
    return -(p * p.log()).sum(1).mean()


def lengths_1(z):
    return z / z.square().sum(-1, keepdim=True).sqrt()


def features(z, relu=True, slip=None):
    """Negative features are cut off, then items get length 1; the other way round in one slip."""
    z = z.double().clamp(min=0) if relu else z.double()
    return z if slip == "length of features kept" else lengths_1(z)


def oracle(support, query, epochs=25, lr=5e-5, entropy_weight=1.0, scale=1.0, relu=True, alternate=True, slip=None):
    """Log-probabilities of one episode by a linear layer that torch differentiates."""
    x, q, y = features(support.x, relu, slip), features(query, relu, slip), support.y
    raw = x if slip == "mean of items of length 1" else features(support.x, relu, "length of features kept")
    means = torch.stack([raw[y == k].mean(0) for k in range(support.n_way)])
    w = (means if slip == "length of means kept" else lengths_1(means)).clone().requires_grad_()
    b = torch.zeros(support.n_way, dtype=torch.float64, requires_grad=slip != "no intercept")

    def logits(z):
        return scale * (z @ w.T + b)

    def of_support():
        return cross_entropy(logits(x), y, reduction="sum" if slip == "sum over the support" else "mean")

    def of_queries():
        return (-1 if slip == "entropy raised" else entropy_weight) * entropy(logits(q))

    turns = [of_support, of_queries] if alternate else [lambda: of_support() + of_queries()]
    trained = [w, b] if b.requires_grad else [w]
    adam = (torch.optim.SGD if slip == "plain gradient" else torch.optim.Adam)(trained, lr=lr)
    with torch.enable_grad():
        for _ in range(epochs):
            for loss in turns if entropy_weight else [of_support]:
                adam.zero_grad()
                loss().backward()
                adam.step()
    return logits(q).log_softmax(1).detach()


def agree(learner, case, **options):
    support, query, _ = case
    assert_close(learner.adapt(support)(query), oracle(support, query, **options), rtol=1e-7, atol=1e-7)


OPTIONS = st.fixed_dictionaries(
    {
        "epochs": st.integers(0, 6),
        "lr": st.sampled_from([1e-3, 0.05]),
        "entropy_weight": st.sampled_from([0.0, 0.3, 1.0]),
        "scale": st.sampled_from([1.0, 10.0]),
        "relu": st.booleans(),
        "alternate": st.booleans(),
    }
)


def positive(case):
    """The same episode with features above 0, so that no item is cut off whole."""
    support, query, y = case
    return support.map(lambda x: (x / 4).exp()), (query / 4).exp(), y


@given(episodes(), OPTIONS)
def test_log_probabilities_are_those_of_automatic_differentiation(case, options):
    case = positive(case) if options["relu"] else case
    agree(TransductiveFineTune(**options), case, **options)


def test_the_defaults_are_those_of_automatic_differentiation():
    agree(TransductiveFineTune(), episode((3, 1, 2), 20, queries=12))


@given(episodes())
def test_without_an_epoch_it_is_the_nearest_mean_by_cosine(case):
    support, query, _ = positive(case)
    plain = NearestMean("cosine").adapt(support)(query).log_softmax(-1)
    assert_close(TransductiveFineTune(epochs=0).adapt(support)(query), plain)


@settings(max_examples=10)
@given(episodes(), st.booleans())
def test_the_loss_falls(case, alternate):
    """Of eq. 8, the cross-entropy of the support and the entropy of the queries; the support is asked like queries."""
    support, query, _ = case
    values = []
    for epochs in (0, 20, 40):
        learner = TransductiveFineTune(epochs, 1e-3, scale=5.0, relu=False, alternate=alternate)
        log_p = learner.adapt(support)(query)
        values.append(float(support_loss(learner, support, query) - (log_p.exp() * log_p).sum(-1).mean()))
    assert values[0] > values[1] > values[2]


def support_loss(learner, support, query):
    """Cross-entropy of the support by the head that support and queries trained."""
    ones = torch.ones(len(support.y) + len(query), 1, dtype=torch.float64)
    items = torch.cat([lengths_1(torch.cat([support.x, query])), ones], 1)
    x, q = items[: len(support.y)], items[len(support.y) :]
    means = lengths_1(torch.stack([support.x[support.y == k].mean(0) for k in range(support.n_way)]))
    target = nn.functional.one_hot(support.y, support.n_way).T.double()
    head = learner._train(nn.functional.pad(means, (0, 1))[None], x[None], target[None], q[None])[0]
    return cross_entropy(learner.scale * x @ head.T, support.y)


@pytest.mark.parametrize("options", [{}, {"relu": False}, {"alternate": False}, {"scale": 10.0, "lr": 1e-3}], ids=str)
def test_keeps_the_contract(options):
    check_learner(TransductiveFineTune(**options))


FRAME = {"epochs": 5, "lr": 0.01, "relu": False}
SLIPS = [
    {"slip": "mean of items of length 1"},
    {"slip": "length of means kept"},
    {"slip": "no intercept"},
    {"slip": "sum over the support"},
    {"slip": "entropy raised"},
    {"slip": "plain gradient"},
    {"alternate": False},
    {"entropy_weight": 0.0},
    {"relu": True},
]


def test_the_frame_of_the_wrong_formulas_is_right():
    agree(Slipped(oracle, **FRAME), episode(queries=12), **FRAME)
    agree(TransductiveFineTune(**FRAME), episode(queries=12), **FRAME)


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS, ids=str)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(slip):
    wrong = Slipped(oracle, **{**FRAME, **slip})
    check_learner(wrong)
    with pytest.raises(AssertionError):
        agree(wrong, episode(queries=12), **FRAME)


# easyfsl --------------------------------------------------------------------------------------------


def easyfsls(support, query, steps=25, lr=5e-5):
    """easyfsl 1.5.0: minus the distance, not squared, to class means of features as they are; one step on both."""
    x, y = support.x, support.y
    with torch.enable_grad():
        means = torch.stack([x[y == k].mean(0) for k in range(support.n_way)]).requires_grad_()
        adam = torch.optim.Adam([means], lr=lr)
        for _ in range(steps):
            p = (-torch.cdist(query, means)).softmax(1)
            loss = cross_entropy(-torch.cdist(x, means), y) - (p * (p + 1e-12).log()).sum(1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
    return -torch.cdist(query, means).detach()


class Deviating(TransductiveFineTune):
    """Ours with easyfsl's distances: class means in place of a linear head, features of any length, no intercept."""

    def _logits(self, head, z):
        return -torch.cdist(head[..., :-1], z[..., :-1], compute_mode="donot_use_mm_for_euclid_dist")

    def _differentiated(self, head, loss):
        with torch.enable_grad():
            head = head.clone().requires_grad_()
            return torch.autograd.grad(loss(head), head)[0]

    def _by_support(self, head, x, target):
        return self._differentiated(head, lambda h: -(target * self._logits(h, x).log_softmax(-2)).sum() / x.shape[-2])

    def _by_query(self, head, query):
        def loss(h):
            log_p = self._logits(h, query).log_softmax(-2)
            return -(log_p.exp() * log_p).sum() / query.shape[-2]

        return self._differentiated(head, loss)

    def adapt(self, support):
        def classify(query):
            one, y, n = (lambda z: torch.cat([z, torch.ones_like(z[..., :1])], -1)), support.y, support.n_way
            means = torch.stack([support.x[y == k].mean(0) for k in range(n)])
            parts = one(means), one(support.x), nn.functional.one_hot(y, n).T.to(query.dtype), one(query)
            return self._scores(*parts)

        return classify


@given(episodes(min_shot=2, spread=3.0), st.sampled_from([5e-5, 0.05]))
def test_easyfsl_is_reached_by_its_deviations(case, lr):
    support, query, _ = case
    ours = Deviating(lr=lr, alternate=False).adapt(support)(query)
    assert_close(ours, easyfsls(support, query, lr=lr).log_softmax(1), rtol=1e-6, atol=1e-6)


def test_without_them_it_is_not():
    support, query, _ = episode((2, 3, 2), queries=60, spread=3.0)
    ours = TransductiveFineTune(relu=False).adapt(support)(query)
    assert 0.02 < (ours.argmax(-1) != easyfsls(support, query).argmax(-1)).double().mean() < 0.5


# Edges ----------------------------------------------------------------------------------------------


def test_a_batch_is_its_episodes_and_types_stay():
    support, query, _ = episode((3, 1, 2), episodes=100)
    scores = TransductiveFineTune().adapt(support)(query)
    alone = torch.stack([TransductiveFineTune().adapt(support[k])(query[k]) for k in range(0, 100, 25)])
    assert_close(scores[::25], alone, rtol=1e-10, atol=1e-10)
    single = TransductiveFineTune().adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, scores.float(), rtol=1e-3, atol=1e-3)


def test_unbalanced_queries_and_a_single_one_are_answered():
    support, query, _ = positive(episode((2, 1, 1), queries=9))
    agree(TransductiveFineTune(lr=0.01), (support, query[[0] * 8 + [1]], None), lr=0.01)
    agree(TransductiveFineTune(lr=0.01), (support, query[:1], None), lr=0.01)


def test_items_without_a_feature_above_0_have_only_the_intercept():
    support, query, _ = episode((2, 1), queries=3)
    scores = TransductiveFineTune(epochs=0).adapt(support)(-query.abs())
    assert_close(scores.exp(), torch.full_like(scores, 0.5))


def test_no_gradient_flows_and_none_is_left_behind():
    support, query, _ = episode((2, 1), queries=3)
    asked = support.map(lambda x: x.clone().requires_grad_())
    scores = TransductiveFineTune().adapt(asked)(query.clone().requires_grad_())
    assert not scores.requires_grad
    assert asked.x.grad is None


def test_a_known_number():
    """By hand: two examples on the axes, and Adam's first step, which moves every weight by lr."""
    support = SupportSet(torch.eye(2, dtype=torch.float64), torch.tensor([0, 1]), 2)
    query = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    scores = TransductiveFineTune(1, 0.1, entropy_weight=0.0).adapt(support)(query)
    difference = (1 + 0.1) - (0 - 0.1)  # the intercepts stay, since both classes are alike
    assert_close((scores[0, 0] - scores[0, 1]).item(), difference, rtol=0, atol=1e-6)
    assert round(math.exp(scores[0, 0].item()), 4) == 0.7685


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="epochs must be a whole number of at least 0, got -1"):
        TransductiveFineTune(epochs=-1)
    with pytest.raises(FewShotError, match="entropy_weight must be 0 or more, got nan"):
        TransductiveFineTune(entropy_weight=math.nan)
    with pytest.raises(FewShotError, match=r"lr and scale must be above 0, got 0.0 and 1.0"):
        TransductiveFineTune(lr=0.0)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        TransductiveFineTune().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
