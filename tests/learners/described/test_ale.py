"""ALE: the weighted approximate ranking update, one draw at a time; autograd's gradient of the weighted hinges."""

import math

import numpy as np
import pytest
import torch
from described import (
    DESCENT,
    NONE,
    SHOTS,
    SlowRanking,
    agree,
    base_of,
    batches_types_and_support_items_play_no_part,
    descriptors_as_they_are,
    draws_come_from_the_seed_alone,
    errors_say_what_must_hold,
    first_drawn,
    moves_nothing_without_a_violation,
    passes_the_battery_and_fails_the_oracle,
    same_matrix,
    tells_new_classes_apart,
)
from hypothesis import given, settings
from torch.nn.functional import normalize
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.learners.described.ale import ALE
from fewshot.learners.described.ranking import first_violation
from fewshot.testing import check_learner


class Slow(SlowRanking):
    draws = True

    def weights(self, hinges, own, turn):
        found, weights = first_drawn(hinges, own, turn), np.zeros(len(hinges))
        if found is not None:
            weights[found[0]] = self.weight(len(hinges), found[1])
        return weights

    def weight(self, z, draws):
        return sum(1 / i for i in range(1, math.floor((z - 1) / draws) + 1))


@settings(max_examples=15)
@given(SHOTS, DESCENT)
def test_the_matrix_is_that_of_the_transcription(shots, options):
    same_matrix(ALE(**options), Slow(**options), shots)


def test_scores_are_those_of_the_transcription():
    agree(ALE(epochs=2), Slow())


def test_a_step_follows_autograds_gradient_of_the_weighted_hinge():
    """The loss l_r max(0, 1 + F_j - F_y) of the class j that the second pass draws, its rank r a constant."""
    base = base_of()
    x, y, s = base.x[0], base.y[0], normalize(base.descriptors[0], dim=-1)
    n, z, rate = len(x), 6, 0.002
    before, after = (ALE(epochs=k, batch=n, learning_rate=rate).with_base(base).matrix for k in (1, 2))
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        order = torch.randperm(n, generator=generator)
        turns = torch.rand(n, z, generator=generator, dtype=torch.float64)
    w = before.clone().requires_grad_()
    loss, ranks = torch.zeros(()).double(), []
    for i, turn in zip(order.tolist(), turns, strict=True):
        f = x[i] @ w @ s.mT
        wrong = [j for j in turn.argsort().tolist() if j != y[i]]
        for draws, j in enumerate(wrong, 1):
            if 1 + f[j] - f[y[i]] > 0:
                ranks.append(len(wrong) // draws)
                loss = loss + sum(1 / k for k in range(1, ranks[-1] + 1)) * (1 + f[j] - f[y[i]])
                break
    assert len(set(ranks)) > 2
    assert_close(after - before, -rate * torch.autograd.grad(loss, w)[0], rtol=1e-9, atol=1e-12)


def test_keeps_the_contract():
    check_learner(ALE(epochs=20), **NONE)
    check_learner(ALE(epochs=20, batch=4), **NONE)


def test_a_linear_relation_tells_new_classes_apart():
    tells_new_classes_apart(ALE())


# Planted wrong formulas -----------------------------------------------------------------------------


class NoWeight(Slow):
    def weight(self, z, draws):
        return 1.0


class WeightOfDraws(Slow):
    """Takes the number of draws for the rank."""

    def weight(self, z, draws):
        return sum(1 / i for i in range(1, draws + 1))


class RankItself(Slow):
    def weight(self, z, draws):
        return (z - 1) // draws


class LastTermOnly(Slow):
    def weight(self, z, draws):
        return 1 / ((z - 1) // draws)


class AllClassesCounted(Slow):
    """z instead of z - 1."""

    def weight(self, z, draws):
        return super().weight(z + 1, draws)


class EveryViolation(Slow):
    def weights(self, hinges, own, turn):
        return np.full(len(hinges), self.weight(len(hinges), 1))


WRONG = [
    NoWeight,
    WeightOfDraws,
    RankItself,
    LastTermOnly,
    AllClassesCounted,
    EveryViolation,
    descriptors_as_they_are(Slow),
]


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    passes_the_battery_and_fails_the_oracle(wrong, Slow)


# Draws ----------------------------------------------------------------------------------------------


def test_every_violation_is_as_likely_and_draws_are_those_without_replacement():
    """Of five wrong classes two violate: the first is the k-th draw with probability (5 - k) / 10."""
    excess = torch.tensor([-1.0, 0.5, -torch.inf, -2.0, 3.0, -0.1]).repeat(40_000, 1)
    found, draws = first_violation(excess, torch.Generator().manual_seed(0))
    assert found.sum(1).eq(1).all()
    frequencies = found.double().mean(0)
    assert_close(frequencies, torch.tensor([0, 0.5, 0, 0, 0.5, 0]).double(), rtol=0, atol=0.01)
    assert_close(draws.bincount() / len(draws), torch.tensor([0, 0.4, 0.3, 0.2, 0.1]), rtol=0, atol=0.01)


def test_without_a_violation_nothing_moves():
    moves_nothing_without_a_violation(ALE())


# Edges ----------------------------------------------------------------------------------------------


def test_a_known_number():
    """By hand: three wrong classes violate at W = 0, so the first draw finds one, r = 3 and l = 1 + 1/2 + 1/3 = 11/6."""
    x, y = torch.zeros(1, 4, 2), torch.arange(4)[None]
    x[0, 0] = torch.tensor([6.0, 0.0])  # the others are zero and move nothing
    side = torch.eye(4)[None] * torch.tensor([2.0, 1.0, 5.0, 1.0])[:, None]
    matrix = ALE(epochs=1, learning_rate=1.0).with_base(SupportSet(x, y, 4, side)).matrix
    assert_close(matrix[0, 0], torch.tensor(11.0).double())
    assert sorted(matrix[0, 1:].round(decimals=9).tolist()) == [-11.0, 0.0, 0.0]
    assert matrix[1].tolist() == [0.0] * 4


def test_batches_types_and_support_items_that_play_no_part():
    batches_types_and_support_items_play_no_part(ALE())


def test_draws_come_from_the_seed_alone(no_shape_hook):
    draws_come_from_the_seed_alone(ALE)


def test_errors_say_what_must_hold(no_shape_hook):
    errors_say_what_must_hold(ALE)
