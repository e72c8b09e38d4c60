"""DeViSE: the sum of eq. 1 and its truncation, one item and one class at a time; autograd's gradient of the loss."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from described import SlowRanking, base_of, first_drawn, new_classes, separated
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.learners.devise import DeViSE
from fewshot.testing import check_learner

NONE = {"shots": (0, 0, 0), "side_shape": (5,)}


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


def agree(learner, slow, base=None):
    base = base_of() if base is None else base
    support, query, _ = new_classes(length=base.descriptors.shape[-1])
    theirs = slow.with_base(base)
    assert_close(learner.with_base(base).adapt(support)(query), theirs.adapt(support)(query), rtol=1e-9, atol=1e-12)
    return theirs.matrix


@settings(max_examples=10)
@given(
    st.sampled_from([("all", Slow), ("first", SlowFirst)]),
    st.lists(st.integers(1, 5), min_size=2, max_size=7),
    st.integers(1, 7),
    st.floats(0.05, 2),
    st.integers(0, 2**31),
)
def test_the_matrix_is_that_of_the_transcription(pair, shots, batch, margin, seed):
    (violations, slow), options = pair, {"margin": margin, "epochs": 3, "batch": batch, "seed": seed}
    base = base_of(tuple(shots), seed=seed)
    theirs = slow(**options).with_base(base).matrix
    ours = DeViSE(violations, **options).with_base(base).matrix
    assert_close(ours, torch.from_numpy(theirs), rtol=1e-9, atol=1e-12)


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
    support, query, labels = separated()
    learner = DeViSE(violations).with_base(base_of((9, 5, 2, 7) * 6, length=5, dim=8))
    assert learner.adapt(support)(query).argmax(-1).tolist() == labels.tolist()


# Planted wrong formulas -----------------------------------------------------------------------------


class DescriptorsAsTheyAre(Slow):
    def unit(self, s):
        return s


class SquaredHinge(Slow):
    def weights(self, hinges, own, turn):
        return 2 * np.array(hinges)


class MeanOverClasses(Slow):
    def weights(self, hinges, own, turn):
        return np.full(len(hinges), 1 / (len(hinges) - 1))


class MostViolatingOnly(Slow):
    def weights(self, hinges, own, turn):
        return np.arange(len(hinges)) == np.argmax(hinges)


class RightClassOnly(Slow):
    """Draws M v to the right descriptor and forgets to push it from the wrong one."""

    def step(self, x, s_own, s_wrong):
        return np.outer(x, s_own)


class ItemsOfUnitLength(Slow):
    def step(self, x, s_own, s_wrong):
        return np.outer(x / np.linalg.norm(x), s_own - s_wrong)


@dataclass
class MarginOne(Slow):
    margin: float = 1.0


WRONG = [
    DescriptorsAsTheyAre,
    SquaredHinge,
    MeanOverClasses,
    MostViolatingOnly,
    RightClassOnly,
    ItemsOfUnitLength,
    MarginOne,
]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(wrong(epochs=5), **NONE)
    with pytest.raises(AssertionError):
        agree(wrong(), Slow())


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


@pytest.mark.parametrize("wrong", [FirstByNumber, LastViolation, FirstDrawnOrNone, Slow])
def test_wrong_truncations_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(wrong(epochs=5), **NONE)
    with pytest.raises(AssertionError):
        agree(wrong(), SlowFirst())


# Edges ----------------------------------------------------------------------------------------------


def test_without_a_violation_nothing_moves():
    """Margin 0 and the right class on top."""
    excess = torch.tensor([[-torch.inf, 0.0, -1.0], [-2.0, -torch.inf, -0.5]])
    for violations in ("all", "first"):
        assert DeViSE(violations).weigh(excess, torch.Generator()).tolist() == [[0.0] * 3] * 2


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
    learner = DeViSE().with_base(base_of())
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


def test_lengths_of_descriptors_do_not_matter():
    base, (support, query, _) = base_of(), new_classes()
    lengths = torch.rand(6, 1).double() + 0.5
    longer = replace(base, descriptors=base.descriptors * lengths)
    scores = DeViSE().with_base(base).adapt(support)(query)
    assert_close(DeViSE().with_base(longer).adapt(replace(support, descriptors=support.descriptors * 3))(query), scores)
    assert_close(DeViSE().with_base(base[0]).matrix, DeViSE().with_base(base).matrix)


@pytest.mark.parametrize("violations", ["all", "first"])
def test_draws_come_from_the_seed_alone(violations, no_shape_hook):
    def matrix(seed, state):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        fitted = DeViSE(violations, seed=seed).with_base(base_of()).matrix
        assert torch.equal(torch.get_rng_state(), before)
        return fitted

    assert torch.equal(matrix(0, 1), matrix(0, 2))
    assert not torch.allclose(matrix(0, 1), matrix(1, 1))


def test_errors_say_what_must_hold(no_shape_hook):
    with pytest.raises(FewShotError, match="violations must be 'all' or 'first', got 'one'"):
        DeViSE("one")
    for name, value in (("margin", 0.0), ("learning_rate", -1.0), ("learning_rate", math.nan)):
        with pytest.raises(FewShotError, match=f"{name} must be above 0, got {value}"):
            DeViSE(**{name: value})
    for name, value in (("epochs", 0), ("batch", 1.5)):
        with pytest.raises(FewShotError, match=f"{name} must be a whole number of at least 1, got {value}"):
            DeViSE(**{name: value})
    base, (support, _, _) = base_of(), new_classes()
    with pytest.raises(NotFittedError, match=r"DeViSE learns from base classes, got none; call learner\.with_base"):
        DeViSE().adapt(support)
    with pytest.raises(FewShotError, match=r"must stay finite, got nan or infinity with learning_rate 1e\+308; choose"):
        DeViSE(learning_rate=1e308).with_base(base)
    with pytest.raises(EpisodeError, match="a ranking needs at least two base classes, got 1"):
        DeViSE().with_base(base_of((3,)))
    with pytest.raises(EpisodeError, match="need a descriptor of each class, got none"):
        DeViSE().with_base(replace(base, descriptors=None))
    with pytest.raises(EpisodeError, match="must be described by 4 numbers, as the base classes were, got 3"):
        DeViSE().with_base(base).adapt(replace(support, descriptors=support.descriptors[..., :3]))
