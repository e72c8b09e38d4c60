"""The kernel average of base classes' probabilities: slow loops, limits, and slips that would be seen."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from described import base_of, new_classes
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.learners.described.descriptor_kernel import DescriptorKernel
from fewshot.testing import check_learner

NONE = {"shots": (0, 0, 0), "side_shape": (5,), "absent_class": "handled"}


def cosine(a, b):
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def slow(base, support, query, temperature=0.4, slip=None):
    x, y, side = (part[0].numpy() for part in (base.x, base.y, base.descriptors))
    new = support.descriptors[0].numpy()
    probabilities = LogisticRegression(C=1.0, max_iter=1000).fit(x, y).predict_proba(query[0].numpy())
    near = {"product for cosine": lambda a, b: float(a @ b), "distance": lambda a, b: -float((a - b) @ (a - b))}
    alike = near.get(slip, cosine)
    scores = np.zeros((len(probabilities), len(new)))
    for i, c in np.ndindex(*scores.shape):
        weights = [math.exp(alike(new[c], s) / (1.0 if slip == "no temperature" else temperature)) for s in side]
        total = sum(weights)
        if slip == "over new classes":
            total = sum(math.exp(alike(other, s) / temperature) for other in new for s in side) / len(new)
        if slip == "mean of logarithms":
            scores[i, c] = sum(w / total * math.log(p) for w, p in zip(weights, probabilities[i], strict=True))
        else:
            scores[i, c] = math.log(sum(w * p for w, p in zip(weights, probabilities[i], strict=True)) / total)
    return torch.from_numpy(scores)[None]


@pytest.mark.parametrize("temperature", [0.1, 0.4, 3.0])
def test_scores_are_those_of_the_slow_loop(temperature):
    base, (support, query, _) = base_of(), new_classes()
    ours = DescriptorKernel(temperature).with_base(base).adapt(support)(query)
    assert_close(ours, slow(base, support, query, temperature), rtol=1e-6, atol=1e-7)


@pytest.mark.slip
@pytest.mark.parametrize(
    "slip", ["product for cosine", "distance", "no temperature", "over new classes", "mean of logarithms"]
)
def test_another_average_would_be_noticed(slip):
    base, (support, query, _) = base_of(), new_classes()
    gap = DescriptorKernel(0.4).with_base(base).adapt(support)(query) - slow(base, support, query, slip=slip)
    assert float((gap - gap.mean(-1, keepdim=True)).abs().max()) > 0.01


def test_as_the_temperature_falls_the_class_described_most_alike_answers():
    base, (support, query, _) = base_of(), new_classes()
    learner = DescriptorKernel(1e-4).with_base(base)
    p = LogisticRegression(max_iter=1000).fit(base.x[0].numpy(), base.y[0].numpy()).predict_log_proba(query[0].numpy())
    nearest = [int(np.argmax([cosine(new, s) for s in base.descriptors[0]])) for new in support.descriptors[0]]
    assert_close(learner.adapt(support)(query)[0], torch.from_numpy(p[:, nearest]), rtol=1e-6, atol=1e-7)


def test_as_the_temperature_rises_all_new_classes_are_alike():
    base, (support, query, _) = base_of(), new_classes()
    scores = DescriptorKernel(1e9).with_base(base).adapt(support)(query)
    assert_close(scores, torch.full_like(scores, math.log(1 / 6)))


def test_base_classes_are_found_again():
    base = base_of((9, 5, 2, 7, 3))
    known = replace(base, x=base.x[:, :0], y=base.y[:, :0])
    scores = DescriptorKernel(0.01, 100.0).with_base(base).adapt(known)(base.x)
    assert torch.equal(scores.argmax(-1), base.y)


def test_keeps_the_contract():
    check_learner(DescriptorKernel(), **NONE)


def test_two_base_classes_and_far_items():
    base, (support, query, _) = base_of((3, 5)), new_classes()
    learner = DescriptorKernel(0.4).with_base(base)
    assert_close(learner.adapt(support)(query), slow(base, support, query), rtol=1e-6, atol=1e-7)
    assert bool(learner.adapt(support)(1e6 * query).isfinite().all())


def test_errors_say_what_must_hold(no_shape_hook):
    for options in ({"temperature": 0.0}, {"C": -1.0}):
        with pytest.raises(FewShotError, match="temperature and C must be above 0, got"):
            DescriptorKernel(**options)
    base, (support, _, _) = base_of(), new_classes()
    with pytest.raises(FewShotError, match="DescriptorKernel needs two base classes or more, got 1"):
        DescriptorKernel().with_base(base_of((3,)))
    with pytest.raises(NotFittedError, match="DescriptorKernel learns from base classes, got none; call learner"):
        DescriptorKernel().adapt(support)
    short = SupportSet(support.x, support.y, 4, support.descriptors[..., :3])
    with pytest.raises(EpisodeError, match="must be described by 4 numbers, as the base classes were, got 3"):
        DescriptorKernel().with_base(base).adapt(short)
