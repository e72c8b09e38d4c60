"""SJE: the most violating class of one item at a time; autograd's gradient of the structured loss."""

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
    moves_nothing_without_a_violation,
    passes_the_battery_and_fails_the_oracle,
    right_class_only,
    same_matrix,
    tells_new_classes_apart,
)
from hypothesis import given, settings
from torch.nn.functional import normalize
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.learners.described.sje import SJE
from fewshot.testing import check_learner


class Slow(SlowRanking):
    def weights(self, hinges, own, turn):
        return np.arange(len(hinges)) == hinges.index(max(hinges))


@settings(max_examples=15)
@given(SHOTS, DESCENT)
def test_the_matrix_is_that_of_the_transcription(shots, options):
    same_matrix(SJE(**options), Slow(**options), shots)


def test_scores_are_those_of_the_transcription():
    agree(SJE(epochs=2), Slow())


def test_a_step_follows_autograds_gradient_of_the_structured_loss():
    base = base_of()
    x, y, s = base.x[0], base.y[0], normalize(base.descriptors[0], dim=-1)
    n, rate = len(x), 0.02
    before, after = (SJE(epochs=k, batch=n, learning_rate=rate).with_base(base).matrix for k in (1, 2))
    w = before.clone().requires_grad_()
    f = x @ w @ s.mT
    delta = (torch.arange(6) != y[:, None]).double()
    losses = (delta + f).amax(1) - f[torch.arange(n), y]  # 0 where the right class itself is the greatest
    assert (losses > 0).any() and (losses == 0).any()
    assert_close(after - before, -rate * torch.autograd.grad(losses.sum(), w)[0], rtol=1e-9, atol=1e-12)


def test_keeps_the_contract():
    check_learner(SJE(epochs=20), **NONE)
    check_learner(SJE(epochs=20, batch=4), **NONE)


def test_a_linear_relation_tells_new_classes_apart():
    tells_new_classes_apart(SJE())


# Planted wrong formulas -----------------------------------------------------------------------------


class EveryViolation(Slow):
    def weights(self, hinges, own, turn):
        return np.ones(len(hinges))


class LeastViolating(Slow):
    def weights(self, hinges, own, turn):
        return np.arange(len(hinges)) == min((h, j) for j, h in enumerate(hinges) if h > 0 or not any(hinges))[1]


class SquaredHinge(Slow):
    def weights(self, hinges, own, turn):
        return 2 * max(hinges) * super().weights(hinges, own, turn)


class NoMargin(Slow):
    """The perceptron: only a class that ranks as high as the right one counts."""

    def hinge(self, right, wrong):
        return float(wrong >= right) * (1 + wrong - right)


WRONG = [EveryViolation, LeastViolating, SquaredHinge, NoMargin, descriptors_as_they_are(Slow), right_class_only(Slow)]


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    passes_the_battery_and_fails_the_oracle(wrong, Slow, learning_rate=0.001)


# Edges ----------------------------------------------------------------------------------------------


def test_without_a_violation_nothing_moves():
    moves_nothing_without_a_violation(SJE())


def test_a_known_number():
    """By hand: W = x_0 (s_0 - s_1)ᵀ after one item, in whichever order, for the other item is zero."""
    x = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]])
    base = SupportSet(x, torch.tensor([[0, 1]]), 2, torch.tensor([[[3.0, 4.0], [0.0, 7.0]]]))
    matrix = SJE(epochs=1, learning_rate=1.0).with_base(base).matrix
    assert_close(matrix, torch.tensor([[0.6, -0.2], [1.2, -0.4]]).double())
    # Next time F_0 - F_1 = (1, 2) W (0.6, -0.2)ᵀ = 2, which is above the margin of 1.
    assert_close(SJE(epochs=5, learning_rate=1.0).with_base(base).matrix, matrix)
    assert not torch.allclose(SJE(epochs=5, learning_rate=1.0, margin=2.5).with_base(base).matrix, matrix)


def test_batches_types_and_support_items_that_play_no_part():
    batches_types_and_support_items_play_no_part(SJE())


def test_draws_come_from_the_seed_alone(no_shape_hook):
    draws_come_from_the_seed_alone(SJE)


def test_errors_say_what_must_hold(no_shape_hook):
    errors_say_what_must_hold(SJE)
