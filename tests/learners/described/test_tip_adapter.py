"""Tip-Adapter: one vote after the other; with trained keys: AdamW in NumPy, with the gradient worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hybrid_cases import BATTERY, EXAMPLES, cosines, differ, paired, unit, without_examples
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch.nn.functional import cross_entropy
from torch.testing import assert_close

from fewshot.embedded import Embedded
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.described.tip_adapter import TipAdapter
from fewshot.learners.described.tip_adapter_f import TipAdapterF
from fewshot.testing import check_learner

LEARNERS = [TipAdapter(), TipAdapterF()]


def slow(support, query, alpha=1.0, beta=5.5, scale=100.0, keys=None, slip=None):
    """Scores of one episode: for each query, first the descriptors, then the votes."""
    keys = unit(support.x) if keys is None else keys
    if slip == "keys as they are":
        keys = support.x.numpy()
    if slip == "alpha and beta swapped":
        alpha, beta = beta, alpha
    scores = scale * cosines(query, support.descriptors)
    for row, q in zip(scores, unit(query), strict=True):
        for key, label in zip(keys, support.y.tolist(), strict=True):
            affinity = float(q @ key)
            vote = affinity if slip == "no exponential" else math.exp(-beta * (1 - affinity))
            if slip == "squared distance":
                vote = math.exp(-beta * float(((q - key) ** 2).sum()))
            if slip == "mean over the examples":
                vote /= support.y.tolist().count(label)
            row[label] += alpha * vote
    return torch.from_numpy(scores)


SLIPS = ["keys as they are", "alpha and beta swapped", "no exponential", "squared distance", "mean over the examples"]


@given(st.lists(st.integers(0, 4), min_size=1, max_size=5), st.floats(0, 5), st.floats(0, 20), st.integers(0, 2**31))
@settings(max_examples=20)
def test_scores_are_those_of_the_slow_loop(shots, alpha, beta, seed):
    support, query, _ = paired(tuple(shots), 2, seed=seed, episodes=2)
    scores = TipAdapter(alpha, beta, 30.0).adapt(support)(query)
    for k in range(2):
        assert_close(scores[k], slow(support[k], query[k], alpha, beta, 30.0), rtol=1e-10, atol=1e-10)


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS)
def test_another_cache_would_be_noticed(slip):
    support, query, _ = paired()
    right = TipAdapter(2.0).adapt(support)(query)[0]
    assert differ(right, slow(support[0], query[0], 2.0)) < 1e-10
    assert differ(right, slow(support[0], query[0], 2.0, slip=slip)) > 1e-2


def test_with_a_sharp_cache_alone_the_nearest_example_decides():
    support, query, _ = paired((3, 2, 1, 4), 20, noise=1.0)
    scores = TipAdapter(beta=300.0, scale=0.0).adapt(support)(query)[0]
    nearest = cdist(query[0], support.x[0], "cosine").argmin(1)
    assert scores.argmax(-1).tolist() == support.y[0][nearest].tolist()


# Keys that are trained ------------------------------------------------------------------------------


def train(support, alpha, beta, scale, steps, lr=1e-3, decay=0.01, slip=None):
    """Keys after AdamW, for one episode; the derivative of a vote by its key is α β vote times the item."""
    f, y, n = unit(support.x), support.y.tolist(), support.n_way
    keys, text = f.copy(), scale * cosines(support.x, support.descriptors)
    first, second = np.zeros_like(keys), np.zeros_like(keys)
    eps = 1e-8 if slip == "epsilon of torch" else 1e-4
    for step in range(1, steps + 1):
        gradient = np.zeros_like(keys)
        for i in range(len(f)):
            votes = [math.exp(-beta * (1 - float(f[i] @ keys[j]))) for j in range(len(keys))]
            cache = np.array([sum(v for v, of in zip(votes, y, strict=True) if of == k) for k in range(n)])
            logits = text[i] + alpha * cache
            p = np.exp(logits - logits.max())
            p /= p.sum()
            for j in range(len(keys)):
                wrong = p[y[j]] - (y[i] == y[j])
                gradient[j] += wrong * alpha * (1 if slip == "no beta" else beta) * votes[j] * f[i]
        gradient /= 1 if slip == "sum of the losses" else len(f)
        if slip == "decay in the gradient":
            gradient += decay * keys
        elif slip != "no decay":
            keys = keys * (1 - rate(step, steps, lr, slip) * decay)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        moved = np.sqrt(second / (1 - 0.999**step)) + eps
        keys = keys - rate(step, steps, lr, slip) * first / (1 - 0.9**step) / moved
        if slip == "length 1 after a step":
            keys = unit(keys)
    return keys


def rate(step, steps, lr, slip):
    return lr if slip == "a constant rate" else lr * (1 + math.cos(math.pi * (step - 1) / steps)) / 2


def trained(support, query, slip=None, alpha=3.0, beta=2.0, scale=5.0, **options):
    return slow(support, query, alpha, beta, scale, train(support, alpha, beta, scale, slip=slip, **options))


@pytest.mark.parametrize("options", [{"steps": 1}, {"steps": 7, "lr": 0.05}, {"steps": 20, "decay": 0.0}])
def test_keys_are_those_of_the_transcription(options):
    support, query, _ = paired(episodes=2)
    ours = {("weight_decay" if k == "decay" else k): v for k, v in options.items()}
    scores = TipAdapterF(3.0, 2.0, 5.0, **ours).adapt(support)(query)
    for k in range(2):
        assert_close(scores[k], trained(support[k], query[k], **options), rtol=1e-9, atol=1e-9)


TRAINING_SLIPS = [
    "epsilon of torch", "no beta", "sum of the losses", "decay in the gradient", "no decay", "a constant rate",
    "length 1 after a step",
]  # fmt: skip


@pytest.mark.slip
@pytest.mark.parametrize("slip", TRAINING_SLIPS)
def test_another_training_would_be_noticed(slip):
    support, query, _ = paired()
    right = TipAdapterF(3.0, 2.0, 5.0, steps=10, lr=0.02).adapt(support)(query)[0]
    assert differ(right, trained(support[0], query[0], steps=10, lr=0.02)) < 1e-9
    assert differ(right, trained(support[0], query[0], slip, steps=10, lr=0.02)) > 1e-4


def test_the_loss_of_the_support_falls():
    support, _, _ = paired((3, 2, 5), noise=1.5)
    losses = [
        float(cross_entropy(TipAdapterF(2.0, 1.0, 1.0, steps=steps).adapt(support)(support.x)[0], support.y[0]))
        for steps in (0, 10, 40, 160)
    ]
    assert losses == sorted(losses, reverse=True) and losses[-1] < losses[0] - 0.05


def test_without_a_step_nothing_is_trained():
    support, query, _ = paired()
    assert_close(TipAdapterF(steps=0).adapt(support)(query), TipAdapter().adapt(support)(query))


# Both ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shots", EXAMPLES)
@pytest.mark.parametrize("learner", [*LEARNERS, TipAdapterF(10.0, scale=5.0, lr=0.01)], ids=str)
def test_the_contract_is_kept(learner, shots):
    check_learner(learner, shots=shots, **BATTERY)


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_without_examples_the_descriptors_answer_alone(learner):
    support, query, _ = paired()
    scores = learner.adapt(without_examples(support))(query)
    assert_close(scores[0], torch.from_numpy(100 * cosines(query[0], support.descriptors[0])))


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_a_class_without_an_example_has_its_descriptor_alone(learner):
    support, query, _ = paired()
    scores = learner.adapt(support)(query)[0]
    assert_close(scores[:, 2], torch.from_numpy(100 * cosines(query[0], support.descriptors[0])[:, 2]))


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_lengths_play_no_part(learner):
    support, query, _ = paired()
    longer = replace(support.map(lambda x: 7 * x), descriptors=0.1 * support.descriptors)
    assert_close(learner.adapt(longer)(3 * query), learner.adapt(support)(query), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_a_side_embeds_the_descriptors(learner):
    support, query, _ = paired()
    raw = replace(support, descriptors=support.descriptors.flip(-1))
    turned = Embedded(lambda x: x, learner, side=lambda d: d.flip(-1))
    assert_close(turned.adapt(raw)(query), learner.adapt(support)(query))


def test_gradients_reach_the_support_of_the_plain_one_alone(no_shape_hook):
    support, query, _ = paired()
    support = support.map(lambda x: x.clone().requires_grad_())
    TipAdapter(scale=1.0).adapt(support)(query).square().sum().backward()
    assert float(support.x.grad.abs().min()) > 0
    with pytest.raises(FewShotError, match="Tip-Adapter-F cannot train a backbone through its support; adapt under"):
        TipAdapterF().adapt(support)
    with torch.no_grad():
        assert not TipAdapterF().adapt(support)(query).requires_grad


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_what_is_missing_is_named(learner, no_shape_hook):
    support, _, _ = paired()
    with pytest.raises(EpisodeError, match="need a descriptor of each class, got none; give the collection"):
        learner.adapt(replace(support, descriptors=None))
    with pytest.raises(EpisodeError, match=r"must lie in the space of the features, of 6 numbers, got 5; embed both"):
        learner.adapt(replace(support, descriptors=support.descriptors[..., :5]))
    with pytest.raises(EpisodeError, match="descriptors must be finite, got nan or infinity"):
        learner.adapt(replace(support, descriptors=support.descriptors * math.nan))
    with pytest.raises(EpisodeError, match="features must be finite, got NaN or infinity in the support"):
        learner.adapt(support.map(lambda x: x * math.inf))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TipAdapter(alpha=-1.0), r"alpha must be finite and 0 or more, got -1.0"),
        (lambda: TipAdapter(beta=math.nan), r"beta must be finite and 0 or more, got nan"),
        (lambda: TipAdapterF(scale=math.inf), r"scale must be finite and 0 or more, got inf"),
        (lambda: TipAdapterF(steps=-1), r"steps must be a whole number of at least 0, got -1"),
        (lambda: TipAdapterF(steps=1.5), r"steps must be a whole number of at least 0, got 1.5"),
        (lambda: TipAdapterF(lr=0.0), r"lr must be above 0 and weight_decay 0 or more, got 0.0 and 0.01"),
        (lambda: TipAdapterF(weight_decay=-0.1), r"lr must be above 0 and weight_decay 0 or more, got 0.001 and -0.1"),
    ],
)
def test_wrong_options_are_named(make, message, no_shape_hook):
    with pytest.raises(FewShotError, match=message):
        make()
