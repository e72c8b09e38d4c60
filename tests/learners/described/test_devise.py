"""DeViSE: the sum of eq. 1 and its truncation, one item and one class at a time; autograd's gradient of the loss."""

from dataclasses import dataclass, replace
from functools import partial

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
    new_classes,
    passes_the_battery_and_fails_the_oracle,
    right_class_only,
    same_matrix,
    tells_new_classes_apart,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import FewShotError
from fewshot.learners.described.devise import DeViSE
from fewshot.testing import check_learner


@dataclass
class Slow(SlowRanking):
    margin: float = 0.1

    def weights(self, hinges, own, turn):
        return np.ones(len(hinges))


@dataclass
class SlowFirst(Slow):
    draws = True

    def weights(self, hinges, own, turn):
        found = first_drawn(hinges, own, turn)
        return np.zeros(len(hinges)) if found is None else np.arange(len(hinges)) == found[0]


@settings(max_examples=15)
@given(st.sampled_from([("all", Slow), ("first", SlowFirst)]), SHOTS, DESCENT)
def test_the_matrix_is_that_of_the_transcription(pair, shots, options):
    same_matrix(DeViSE(pair[0], **options), pair[1](**options), shots)


@pytest.mark.parametrize("violations", ["all", "first"])
def test_scores_are_those_of_the_transcription(violations):
    agree(DeViSE(violations, epochs=2), Slow() if violations == "all" else SlowFirst())


def test_a_step_follows_autograds_gradient_of_equation_1():
    base = base_of()
    x, y, t = base.x[0], base.y[0], normalize(base.descriptors[0], dim=-1)
    options = {"batch": len(x), "learning_rate": 0.005}
    before, after = (DeViSE(epochs=n, **options).with_base(base).matrix for n in (1, 2))
    m = before.mT.clone().requires_grad_()
    similarity = t @ m @ x.mT  # (z, n)
    hinges = (0.1 - similarity[y, torch.arange(len(x))] + similarity).relu()
    loss = hinges.sum() - 0.1 * len(x)  # without the terms of the right classes
    gradient = torch.autograd.grad(loss, m)[0]
    assert ((hinges > 0).sum(0) > 1).any() and (hinges == 0).any()
    assert_close(after - before, -0.005 * gradient.mT, rtol=1e-9, atol=1e-12)


def test_keeps_the_contract():
    check_learner(DeViSE(epochs=20), **NONE)
    check_learner(DeViSE("first", epochs=20, batch=4), **NONE)


@pytest.mark.parametrize("violations", ["all", "first"])
def test_a_linear_relation_tells_new_classes_apart(violations):
    tells_new_classes_apart(DeViSE(violations))


# Planted wrong formulas -----------------------------------------------------------------------------


class SquaredHinge(Slow):
    def weights(self, hinges, own, turn):
        return 2 * np.array(hinges)


class MeanOverClasses(Slow):
    def weights(self, hinges, own, turn):
        return np.full(len(hinges), 1 / (len(hinges) - 1))


class MostViolatingOnly(Slow):
    def weights(self, hinges, own, turn):
        return np.arange(len(hinges)) == np.argmax(hinges)


class ItemsOfUnitLength(Slow):
    def step(self, x, s_own, s_wrong):
        return np.outer(x / np.linalg.norm(x), s_own - s_wrong)


@dataclass
class MarginOne(Slow):
    margin: float = 1.0


WRONG = [
    descriptors_as_they_are(Slow),
    SquaredHinge,
    MeanOverClasses,
    MostViolatingOnly,
    right_class_only(Slow),
    ItemsOfUnitLength,
    MarginOne,
]


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    passes_the_battery_and_fails_the_oracle(wrong, Slow)


class FirstByNumber(SlowFirst):
    def weights(self, hinges, own, turn):
        return super().weights(hinges, own, np.arange(len(hinges)))


class LastViolation(SlowFirst):
    def weights(self, hinges, own, turn):
        return super().weights(hinges, own, -turn)


class FirstDrawnOrNone(SlowFirst):
    """One draw only, whether it violates the margin or not."""

    def weights(self, hinges, own, turn):
        first = min((j for j in range(len(hinges)) if j != own), key=lambda j: turn[j])
        return np.arange(len(hinges)) == first


@pytest.mark.slip
@pytest.mark.parametrize("wrong", [FirstByNumber, LastViolation, FirstDrawnOrNone, Slow])
def test_wrong_truncations_pass_the_battery_and_fail_the_oracle(wrong):
    passes_the_battery_and_fails_the_oracle(wrong, SlowFirst)


# Edges ----------------------------------------------------------------------------------------------


def test_without_a_violation_nothing_moves():
    for violations in ("all", "first"):
        moves_nothing_without_a_violation(DeViSE(violations))


def test_a_known_number():
    """By hand: at M = 0 the wrong class violates the margin, and the step is x (s_0 - s_1)ᵀ / 100."""
    base = SupportSet(
        torch.tensor([[[1.0, 2.0], [0.0, 0.0]]]), torch.tensor([[0, 1]]), 2, torch.tensor([[[5.0, 0.0], [0.0, 0.1]]])
    )
    learner = DeViSE(epochs=1).with_base(base)
    assert_close(learner.matrix, torch.tensor([[0.01, -0.01], [0.02, -0.02]]).double())
    empty = SupportSet(base.x[0, :0], base.y[0, :0], 2, torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    assert_close(learner.adapt(empty)(torch.tensor([[1.0, 1.0]])), torch.tensor([[0.6 * 0.03 - 0.8 * 0.03, -0.03]]))


def test_batches_types_and_support_items_that_play_no_part():
    batches_types_and_support_items_play_no_part(DeViSE())


def test_lengths_of_descriptors_do_not_matter():
    base, (support, query, _) = base_of(), new_classes()
    lengths = torch.rand(6, 1).double() + 0.5
    longer = replace(base, descriptors=base.descriptors * lengths)
    scores = DeViSE().with_base(base).adapt(support)(query)
    assert_close(DeViSE().with_base(longer).adapt(replace(support, descriptors=support.descriptors * 3))(query), scores)
    assert_close(DeViSE().with_base(base[0]).matrix, DeViSE().with_base(base).matrix)


@pytest.mark.parametrize("violations", ["all", "first"])
def test_draws_come_from_the_seed_alone(violations, no_shape_hook):
    draws_come_from_the_seed_alone(partial(DeViSE, violations))


def test_errors_say_what_must_hold(no_shape_hook):
    with pytest.raises(FewShotError, match="violations must be 'all' or 'first', got 'one'"):
        DeViSE("one")
    errors_say_what_must_hold(DeViSE)
