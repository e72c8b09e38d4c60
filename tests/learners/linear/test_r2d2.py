"""R2-D2: a slow transcription of the paper's equations in NumPy, finite differences, training."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from make import episode, episodes
from torch.nn.functional import cross_entropy, one_hot
from torch.testing import assert_close

from fewshot.contract import SupportSet, episode_loss
from fewshot.embedded import Embedded
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adapters import from_function
from fewshot.learners.linear.convex import ridge
from fewshot.learners.linear.r2d2 import R2D2
from fewshot.testing import check_learner

PENALTY, SCALE, BIAS = 2.0, 3.0, 0.5
CLOSE = {"rtol": 1e-6, "atol": 1e-6}  # the learned numbers are float32


def slow(support, query, penalty=PENALTY, scale=SCALE, bias=BIAS):
    """Eq. 4 as a least squares problem with extra rows for the penalty, eq. 8 for the scores."""
    x = np.c_[support.x.numpy(), np.ones(len(support.x))]
    y = np.eye(support.n_way)[support.y]
    rows = np.r_[x, np.sqrt(penalty) * np.eye(x.shape[1])]
    w = np.linalg.lstsq(rows, np.r_[y, np.zeros((x.shape[1], support.n_way))], rcond=None)[0]
    return torch.from_numpy(scale * np.c_[query.numpy(), np.ones(len(query))] @ w + bias)


@settings(max_examples=15)
@given(episodes())
def test_scores_are_those_of_the_paper(case):
    support, query, _ = case
    assert_close(R2D2(PENALTY, SCALE, BIAS).adapt(support)(query), slow(support, query), **CLOSE, check_dtype=False)


@pytest.mark.parametrize("dim", [3, 30])
def test_batches_with_more_and_with_fewer_features_than_items(dim):
    support, query, _ = episode((4, 2, 3), dim, episodes=3)
    exact = torch.stack([slow(support[k], query[k]) for k in range(3)])
    assert_close(R2D2(PENALTY, SCALE, BIAS).adapt(support)(query), exact, **CLOSE, check_dtype=False)


def with_ones(x):
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def formula(penalty=PENALTY, scale=SCALE, bias=BIAS, ones=with_ones, labels=lambda y: one_hot(y)):
    def scores(x, y, query):
        return scale * ones(query) @ ridge(ones(x), labels(y).to(x), penalty) + bias

    return from_function(scores)


WRONG = {
    "no bias column": formula(ones=lambda x: x),
    "penalty squared": formula(PENALTY**2),
    "penalty times the items": from_function(
        lambda x, y, q: SCALE * with_ones(q) @ ridge(with_ones(x), one_hot(y).to(x), PENALTY * len(x)) + BIAS
    ),
    "scale forgotten": formula(scale=1.0),
    "scale after the bias": formula(bias=SCALE * BIAS),
    "labels of plus and minus one": formula(labels=lambda y: 2 * one_hot(y) - 1),
}


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_formulas_keep_the_contract_and_are_caught(wrong):
    check_learner(wrong)
    support, query, _ = episode((3, 1, 4), 5)
    with pytest.raises(AssertionError):
        assert_close(wrong.adapt(support)(query), slow(support, query), **CLOSE)


def test_it_keeps_the_contract():
    check_learner(R2D2())


def test_the_authors_form_has_the_penalty_over_the_number_of_items():
    """Their rows and labels are divided by the root of the number of items."""
    support, query, _ = episode((3, 1, 4), 5)
    x, y = with_ones(support.x) / 8**0.5, one_hot(support.y, 3).double() / 8**0.5
    theirs = with_ones(query) @ torch.linalg.solve(x.mT @ x + 0.25 * torch.eye(6).double(), x.mT @ y)
    assert_close(R2D2(8 * 0.25).adapt(support)(query), theirs, **CLOSE)


@pytest.mark.parametrize("dim", [2, 9])
def test_gradients_to_support_query_and_learned_numbers_are_those_of_finite_differences(dim):
    support, query, labels = episode((2, 1, 2), dim, queries=3)
    learner = R2D2(PENALTY, SCALE, BIAS).double()

    def loss(x, q, *numbers):
        parameters = dict(zip(("log_penalty", "scale", "bias"), numbers, strict=True))
        scores = torch.func.functional_call(_Call(learner), {f"learner.{k}": v for k, v in parameters.items()}, (x, q))
        return cross_entropy(scores, labels)

    class _Call(torch.nn.Module):
        def __init__(self, learner):
            super().__init__()
            self.learner = learner

        def forward(self, x, q):
            return self.learner.adapt(SupportSet(x, support.y, 3))(q)

    numbers = [p.detach().clone().requires_grad_() for p in (learner.log_penalty, learner.scale, learner.bias)]
    inputs = (support.x.clone().requires_grad_(), query.clone().requires_grad_(), *numbers)
    torch.autograd.gradcheck(loss, inputs)


def test_training_lowers_the_loss_and_moves_every_parameter():
    torch.manual_seed(0)
    model = Embedded(torch.nn.Linear(6, 4), R2D2())
    support, query, labels = episode((3, 1, 2), episodes=4, spread=3.0, dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer, losses = torch.optim.Adam(model.parameters(), lr=0.05), []
    for _ in range(20):
        loss = episode_loss(model, support, query, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    same = [name for name, p in model.named_parameters() if torch.equal(before[name], p.detach())]
    assert not same or same == ["head.bias"]  # the same for all classes: a softmax does not see it


def test_a_known_number():
    """One feature, items -1 and 1: w = 1 / (2 + λ) for label 1 and its negative; the ones give 1 / (2 + λ) to both."""
    x = torch.tensor([[-1.0], [1.0]])
    scores = R2D2(2.0).adapt(SupportSet(x, torch.tensor([0, 1]), 2))(torch.ones(1, 1))
    assert_close(scores.detach(), torch.tensor([[0.0, 0.5]]), rtol=1e-6, atol=1e-6)


def test_errors_say_what_must_hold():
    for penalty in (0.0, -1.0, float("nan")):
        with pytest.raises(FewShotError, match=f"penalty must be above 0, got {penalty}"):
            R2D2(penalty)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        R2D2().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
