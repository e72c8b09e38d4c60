"""SJE: the most violating class of one item at a time; autograd's gradient of the structured loss."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from described import SlowRanking, base_of, new_classes, separated
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.learners.sje import SJE
from fewshot.testing import check_learner

NONE = {"shots": (0, 0, 0), "side_shape": (5,)}


class Slow(SlowRanking):
    def weights(self, hinges, own, turn):
        return np.arange(len(hinges)) == hinges.index(max(hinges))


def agree(learner, slow):
    base, (support, query, _) = base_of(), new_classes()
    theirs = slow.with_base(base).adapt(support)(query)
    assert_close(learner.with_base(base).adapt(support)(query), theirs, rtol=1e-9, atol=1e-12)


@settings(max_examples=15)
@given(
    st.lists(st.integers(1, 5), min_size=2, max_size=9),
    st.integers(1, 7),
    st.floats(0.05, 2),
    st.floats(0.001, 1),
    st.integers(0, 2**31),
)
def test_the_matrix_is_that_of_the_transcription(shots, batch, margin, learning_rate, seed):
    options = {"margin": margin, "epochs": 3, "batch": batch, "seed": seed, "learning_rate": learning_rate}
    base = base_of(tuple(shots), seed=seed)
    theirs = Slow(**options).with_base(base).matrix
    assert_close(SJE(**options).with_base(base).matrix, torch.from_numpy(theirs), rtol=1e-9, atol=1e-12)


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
    support, query, labels = separated()
    learner = SJE().with_base(base_of((9, 5, 2, 7) * 6, length=5, dim=8))
    assert learner.adapt(support)(query).argmax(-1).tolist() == labels.tolist()


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


class DescriptorsAsTheyAre(Slow):
    def unit(self, s):
        return s


class RightClassOnly(Slow):
    def step(self, x, s_own, s_wrong):
        return np.outer(x, s_own)


WRONG = [EveryViolation, LeastViolating, SquaredHinge, NoMargin, DescriptorsAsTheyAre, RightClassOnly]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(wrong(epochs=5, learning_rate=0.001), **NONE)
    with pytest.raises(AssertionError):
        agree(wrong(epochs=5), Slow(epochs=5))


# Edges ----------------------------------------------------------------------------------------------


def test_without_a_violation_nothing_moves():
    """Margin 0 and the right class on top."""
    excess = torch.tensor([[-torch.inf, 0.0, -1.0], [-2.0, -torch.inf, -0.5]])
    assert SJE().weigh(excess, torch.Generator()).tolist() == [[0.0] * 3] * 2


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
    learner = SJE().with_base(base_of())
    a, b = new_classes(seed=1), new_classes(seed=2)
    both = SupportSet(*(torch.cat([getattr(s, k) for s in (a[0], b[0])]) for k in ("x", "y")), 4)
    both = replace(both, descriptors=torch.cat([a[0].descriptors, b[0].descriptors]))
    scores = learner.adapt(both)(torch.cat([a[1], b[1]]))
    for k, (support, query, _) in enumerate((a, b)):
        assert_close(learner.adapt(support[0])(query[0]), scores[k])
    given = replace(a[0], x=a[1][:, :3], y=a[2][:, :3])
    assert_close(learner.adapt(given)(a[1])[0], scores[0])
    single = learner.adapt(a[0].map(lambda x: x.float()))(a[1].float())
    assert single.dtype == torch.float32
    assert_close(single[0], scores[0].float(), rtol=1e-4, atol=1e-5)


def test_draws_come_from_the_seed_alone(no_shape_hook):
    def matrix(seed, state):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        fitted = SJE(seed=seed).with_base(base_of()).matrix
        assert torch.equal(torch.get_rng_state(), before)
        return fitted

    assert torch.equal(matrix(0, 1), matrix(0, 2))
    assert not torch.allclose(matrix(0, 1), matrix(1, 1))


def test_errors_say_what_must_hold(no_shape_hook):
    for name, value in (("margin", 0), ("learning_rate", -0.1), ("learning_rate", math.nan)):
        with pytest.raises(FewShotError, match=f"{name} must be above 0, got {value}"):
            SJE(**{name: value})
    for name, value in (("epochs", 0), ("batch", -1)):
        with pytest.raises(FewShotError, match=f"{name} must be a whole number of at least 1, got {value}"):
            SJE(**{name: value})
    base, (support, _, _) = base_of(), new_classes()
    with pytest.raises(NotFittedError, match=r"SJE learns from base classes, got none; call learner\.with_base"):
        SJE().adapt(support)
    with pytest.raises(FewShotError, match=r"must stay finite, got nan or infinity with learning_rate 1e\+308; choose"):
        SJE(learning_rate=1e308).with_base(base)
    with pytest.raises(EpisodeError, match="a ranking needs at least two base classes, got 1"):
        SJE().with_base(base_of((3,)))
    with pytest.raises(EpisodeError, match="descriptors must be finite, got nan or infinity"):
        SJE().with_base(replace(base, descriptors=base.descriptors / 0))
    with pytest.raises(EpisodeError, match="must be described by 4 numbers, as the base classes were, got 3"):
        SJE().with_base(base).adapt(replace(support, descriptors=support.descriptors[..., :3]))
