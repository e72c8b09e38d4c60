"""Descriptor mix: one class after the other in NumPy; with no weight on a side, the other side's classifier."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hybrid_cases import BATTERY, EXAMPLES, cosines, differ, paired, unit, without_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.described.descriptor_mix import DescriptorMix
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.testing import check_learner


def slow(support, query, m=1.0, weight=None, temperature=0.01, slip=None):
    """Scores of one episode."""
    x, t, y = support.x.numpy(), support.descriptors.numpy(), support.y.tolist()
    scores = np.zeros((len(query), len(t)))
    for k in range(len(t)):
        own = [item for item, label in zip(x, y, strict=True) if label == k]
        if slip == "mean of unit items":
            own = list(unit(own)) if own else own
        share = len(own) / (len(own) + m) if weight is None else weight * bool(own)
        if slip == "weights swapped":
            share = 1 - share
        if slip == "shots of the whole support":
            share = len(y) / (len(y) + m)
        mean = sum(own) / len(own) if own else np.zeros(t.shape[1])
        if slip != "mean as it is" and own:
            mean = unit(mean)
        p = share * mean + (1 - share) * (t[k] if slip == "descriptor as it is" else unit(t[k]))
        for i, q in enumerate(unit(query)):
            scores[i, k] = float(q @ (p if slip == "prototype as it is" else unit(p))) / temperature
    return torch.from_numpy(scores)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.floats(0.01, 50), st.integers(0, 2**31))
@settings(max_examples=20)
def test_scores_are_those_of_the_slow_loop(shots, m, seed):
    support, query, _ = paired(tuple(shots), 2, seed=seed, episodes=2)
    scores = DescriptorMix(m, temperature=0.3).adapt(support)(query)
    fixed = DescriptorMix(weight=0.3).adapt(support)(query)
    for k in range(2):
        assert_close(scores[k], slow(support[k], query[k], m, temperature=0.3), rtol=1e-9, atol=1e-9)
        assert_close(fixed[k], slow(support[k], query[k], weight=0.3), rtol=1e-9, atol=1e-9)


SLIPS = [
    "mean of unit items", "weights swapped", "shots of the whole support", "mean as it is", "descriptor as it is",
    "prototype as it is",
]  # fmt: skip


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS)
def test_another_mix_would_be_noticed(slip):
    support, query, _ = paired((3, 1, 2, 4))
    right = DescriptorMix(2.0, temperature=1.0).adapt(support)(query)[0]
    assert differ(right, slow(support[0], query[0], 2.0, temperature=1.0)) < 1e-10
    assert differ(right, slow(support[0], query[0], 2.0, temperature=1.0, slip=slip)) > 1e-2


def test_the_limits_are_nearest_mean_and_the_descriptor():
    support, query, _ = paired((3, 1, 2, 4), episodes=2)
    mean = NearestMean("cosine", 0.01).adapt(support)(query)
    descriptor = torch.stack([torch.from_numpy(100 * cosines(query[k], support.descriptors[k])) for k in range(2)])
    for learner in (DescriptorMix(0.0), DescriptorMix(weight=1.0)):
        assert_close(learner.adapt(support)(query), mean)
    assert_close(DescriptorMix(1e-9).adapt(support)(query), mean, rtol=1e-6, atol=1e-6)
    assert_close(DescriptorMix(weight=0.0).adapt(support)(query), descriptor)
    assert_close(DescriptorMix(1e12).adapt(support)(query), descriptor, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("learner", [DescriptorMix(), DescriptorMix(0.0), DescriptorMix(weight=0.7)], ids=str)
def test_classes_without_an_example_are_their_descriptors(learner):
    support, query, _ = paired()
    expected = torch.from_numpy(100 * cosines(query[0], support.descriptors[0]))
    assert_close(learner.adapt(support)(query)[0, :, 2], expected[:, 2])
    assert_close(learner.adapt(without_examples(support))(query)[0], expected)


def test_the_description_counts_for_so_many_examples():
    """One class of two examples and m = 2: mean and descriptor weigh equally, by hand at 45 degrees."""
    support, _, _ = paired((2,), dim=2)
    at = replace(support, x=torch.eye(2)[[0, 0]][None].double(), descriptors=torch.eye(2)[[1]][None].double())
    scores = DescriptorMix(2.0, temperature=1.0).adapt(at)(torch.tensor([[[1.0, 1.0], [1.0, 0.0]]]).double())
    assert_close(scores, torch.tensor([[[1.0], [math.sqrt(0.5)]]]).double())


@pytest.mark.parametrize("shots", EXAMPLES)
@pytest.mark.parametrize("learner", [DescriptorMix(), DescriptorMix(0.0), DescriptorMix(weight=0.4)], ids=str)
def test_the_contract_is_kept(learner, shots):
    check_learner(learner, shots=shots, **BATTERY)


def test_gradients_reach_examples_and_descriptors():
    support, query, _ = paired()
    support = replace(
        support.map(lambda x: x.clone().requires_grad_()), descriptors=support.descriptors.clone().requires_grad_()
    )
    DescriptorMix(temperature=1.0).adapt(support)(query).square().sum().backward()
    assert float(support.x.grad.abs().min()) > 0 and float(support.descriptors.grad.abs().min()) > 0


def test_what_is_missing_is_named(no_shape_hook):
    support, _, _ = paired()
    with pytest.raises(EpisodeError, match="need a descriptor of each class, got none; give the collection"):
        DescriptorMix().adapt(replace(support, descriptors=None))
    with pytest.raises(EpisodeError, match=r"must lie in the space of the features, of 6 numbers, got 5; embed both"):
        DescriptorMix().adapt(replace(support, descriptors=support.descriptors[..., :5]))
    with pytest.raises(EpisodeError, match="features must be finite, got NaN or infinity in the support"):
        DescriptorMix().adapt(support.map(lambda x: x * math.inf))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": -1.0}, r"strength must be finite and 0 or more, got -1.0"),
        ({"strength": math.inf}, r"strength must be finite and 0 or more, got inf"),
        ({"weight": 1.5}, r"weight must lie in 0\.\.1, or be None, got 1.5"),
        ({"temperature": 0.0}, r"temperature must be above 0, got 0.0"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(FewShotError, match=message):
        DescriptorMix(**options)
