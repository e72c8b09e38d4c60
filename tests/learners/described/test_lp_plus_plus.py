"""LP++: block coordinate steps in NumPy along finite differences of the stated objective; it never rises."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hybrid_cases import BATTERY, EXAMPLES, cosines, differ, paired, unit, without_examples
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.described.lp_plus_plus import LPPlusPlus
from fewshot.testing import check_learner


def objective(f, t, y, w, alpha):
    """Mean of -log p of each item's own class, one item after the other."""
    total = 0.0
    for item, label in zip(f, y, strict=True):
        logits = [float(item @ (w[k] + alpha[k] * t[k])) for k in range(len(t))]
        total += math.log(sum(math.exp(v - max(logits)) for v in logits)) + max(logits) - logits[label]
    return total / len(f)


def finite_differences(function, at, h=1e-5):
    slope = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[place] += h
        down[place] -= h
        slope[place] = (function(up) - function(down)) / (2 * h)
    return slope


def slow(support, query, steps, every=10, strength=250.0, slip=None):
    """Scores of one episode after all steps."""
    f, t, y = unit(support.x), unit(support.descriptors), support.y.tolist()
    seen = sorted(set(y))
    w, alpha = np.zeros_like(t), np.zeros(len(t))
    for k in seen:
        own = [item for item, label in zip(f, y, strict=True) if label == k]
        w[k] = sum(own) / (1 if slip == "sums for means" else len(own))
    rates = [np.mean([item @ t[k] for item, label in zip(f, y, strict=True) if label == k]) for k in seen]
    if slip == "items weigh equally":
        rates = [item @ t[label] for item, label in zip(f, y, strict=True)]
    alpha[:] = strength * np.mean(rates)
    largest = max(np.linalg.eigvalsh(f.T @ f))
    half = 0.25 if slip == "a quarter for a half" else 0.5
    step_w = len(f) / (half * (np.trace(f.T @ f) if slip == "trace" else largest))
    squares = [(f @ v) @ (f @ v) for v in t]
    step_alpha = len(f) / (0.5 * (sum(squares) if slip == "sum over classes" else max(squares)))
    moves = range(len(t)) if slip == "absent classes move" else seen
    for step in range(1, steps + 1):
        slope = finite_differences(lambda v, alpha=alpha: objective(f, t, y, v, alpha), w)
        w[moves] -= step_w * slope[moves]
        if step % every == 0:
            slope = finite_differences(lambda v: objective(f, t, y, w, v), alpha)
            one = slope.mean() if slip == "one multiplier" else slope
            alpha[moves] -= step_alpha * (one + 0 * slope)[moves]
    return torch.from_numpy(unit(query) @ (w + alpha[:, None] * t).T)


@pytest.mark.parametrize(("steps", "every"), [(0, 1), (1, 1), (6, 2), (12, 5)])
def test_scores_are_those_of_steps_along_finite_differences(steps, every):
    support, query, _ = paired(episodes=2, noise=1.5)
    scores = LPPlusPlus(steps, every, strength=20.0).adapt(support)(query)
    for k in range(2):
        theirs = slow(support[k], query[k], steps, every, strength=20.0)
        assert_close(scores[k], theirs, rtol=1e-6, atol=1e-6)


SLIPS = [
    "sums for means", "items weigh equally", "a quarter for a half", "trace", "sum over classes", "absent classes move",
    "one multiplier",
]  # fmt: skip


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS)
def test_another_probe_would_be_noticed(slip):
    support, query, _ = paired(noise=1.5)
    right = LPPlusPlus(6, 2, strength=20.0).adapt(support)(query)[0]
    assert differ(right, slow(support[0], query[0], 6, 2, 20.0)) < 1e-6
    assert differ(right, slow(support[0], query[0], 6, 2, 20.0, slip)) > 1e-3


@pytest.mark.parametrize("strength", [1.0, 20.0, 250.0])
@pytest.mark.parametrize("shots", [(3, 1, 0, 4), (1, 1), (9, 2, 1, 1, 1)])
def test_no_step_raises_the_objective(shots, strength):
    support, _, _ = paired(shots, noise=2.0, seed=4)
    losses = [
        float(cross_entropy(LPPlusPlus(steps, 1, strength).adapt(support)(support.x)[0], support.y[0]))
        for steps in range(40)
    ]
    assert all(after <= before + 1e-12 for before, after in itertools.pairwise(losses))
    assert losses[-1] < losses[0] - 1e-3


def test_a_quarter_of_the_curvature_is_no_bound():
    """What the constants rest on: two classes of equal score have a Hessian of 1/2 along their difference."""
    p = torch.tensor([0.5, 0.5, 0.0]).double()
    largest = torch.linalg.eigvalsh(p.diag() - p.outer(p)).max()
    assert_close(largest, torch.tensor(0.5).double())


@pytest.mark.parametrize("shots", EXAMPLES)
def test_the_contract_is_kept(shots):
    check_learner(LPPlusPlus(), shots=shots, **BATTERY)


def test_without_examples_the_descriptors_answer_alone():
    support, query, _ = paired()
    scores = LPPlusPlus(scale=30.0).adapt(without_examples(support))(query)
    assert_close(scores[0], torch.from_numpy(30 * cosines(query[0], support.descriptors[0])))


def test_a_class_without_an_example_has_its_descriptor_times_the_first_multiplier():
    support, query, _ = paired()
    f, t, y = unit(support.x[0]), unit(support.descriptors[0]), support.y[0].numpy()
    first = 250 * np.mean([np.mean(f[y == k] @ t[k]) for k in (0, 1, 3)])
    assert_close(LPPlusPlus().adapt(support)(query)[0, :, 2], torch.from_numpy(first * unit(query[0]) @ t[2]))


def test_lengths_play_no_part():
    support, query, _ = paired()
    longer = replace(support.map(lambda x: 7 * x), descriptors=0.1 * support.descriptors)
    assert_close(LPPlusPlus().adapt(longer)(3 * query), LPPlusPlus().adapt(support)(query))


def test_descriptors_and_items_of_zeros_give_finite_scores():
    support, query, _ = paired()
    nothing = replace(support.map(torch.zeros_like), descriptors=0 * support.descriptors)
    assert LPPlusPlus().adapt(nothing)(query).eq(0).all()


def test_what_is_missing_is_named(no_shape_hook):
    support, query, _ = paired()
    with pytest.raises(EpisodeError, match="need a descriptor of each class, got none; give the collection"):
        LPPlusPlus().adapt(replace(support, descriptors=None))
    with pytest.raises(EpisodeError, match=r"must lie in the space of the features, of 6 numbers, got 5; embed both"):
        LPPlusPlus().adapt(replace(support, descriptors=support.descriptors[..., :5]))
    with pytest.raises(EpisodeError, match="features must be finite, got NaN or infinity in the support"):
        LPPlusPlus().adapt(support.map(lambda x: x * math.inf))
    moving = support.map(lambda x: x.clone().requires_grad_())
    with pytest.raises(FewShotError, match=r"LP\+\+ cannot train a backbone through its support; adapt under no_grad"):
        LPPlusPlus().adapt(moving)
    with torch.no_grad():
        assert not LPPlusPlus().adapt(moving)(query).requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, r"steps must be a whole number of at least 0, got -1"),
        ({"every": 0}, r"every must be a whole number of at least 1, got 0"),
        ({"strength": 0.0}, r"strength and scale must be finite and above 0, got 0.0 and 100.0"),
        ({"scale": math.inf}, r"strength and scale must be finite and above 0, got 250.0 and inf"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(FewShotError, match=message):
        LPPlusPlus(**options)
