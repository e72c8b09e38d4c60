"""DANN against NumPy and finite differences in float64; without reversal the network is bit-equal to one without the term."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier
from term_steps import numbers, planted, two_domains
from test_supervised import network, settings
from test_training import made, same, weights

from fewshot.datasets.collection import Collection
from fewshot.errors import FewShotError
from fewshot.training.supervised import ClassHead, SupervisedTraining, pretrain
from fewshot.training.terms.adversary import rising
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.dann import DANN


def made_term(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return DANN(3, **{"hidden": (6,)} | options).double()


def slow(term, source, pool, halved=False, swapped=False):
    """Mean binary cross-entropy of each domain, a row at a time; 1 is the pool."""
    (w1, b1), (w2, b2) = (
        [p.detach().numpy() for p in layer.parameters()] for layer in (term.discriminator[0], term.discriminator[2])
    )
    means = []
    for rows, is_pool in ((source, not swapped), (pool, swapped)):
        losses = []
        for z in rows:
            sure = 1 / (1 + math.exp(-float(w2[0] @ np.maximum(w1 @ z + b1, 0) + b2[0])))
            losses.append(-math.log(1 - sure if is_pool else sure))
        means.append(sum(losses) / len(losses))
    return sum(means) / (2 if halved else 1)


@pytest.mark.parametrize("slip", [{}, *planted({"halved": True}, {"swapped": True})], ids=str)
def test_the_loss_written_out(slip):
    term, step = made_term(), two_domains()
    wanted = slow(term, *numbers(step.features, step.pool_features), **slip)
    assert (abs(term(step).item() - wanted) < 1e-12) == (not slip)


def numeric(f, x, h=1e-6):
    """Central differences."""
    found = np.zeros_like(x)
    for k in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[k] += h
        down[k] -= h
        found[k] = (f(up) - f(down)) / (2 * h)
    return found


FACTOR = 2 / (1 + math.exp(-10 * 0.25)) - 1


@pytest.mark.parametrize("factor", [-FACTOR, *planted(FACTOR, -1.0, -FACTOR / 2)])
def test_features_get_the_gradient_times_minus_the_published_factor(factor):
    term, step = made_term(), two_domains(progress=0.25)
    term(step).backward()
    source, pool = numbers(step.features, step.pool_features)
    wanted = factor * numeric(lambda x: slow(term, x, pool), source)
    assert np.allclose(step.features.grad.numpy(), wanted, atol=1e-8) == (factor == -FACTOR)


@pytest.mark.parametrize("factor", [1.0, *planted(-1.0, FACTOR, -FACTOR)])
def test_the_domain_classifier_gets_the_gradient_as_it_is(factor):
    term, step = made_term(), two_domains(progress=0.25)
    term(step).backward()
    source, pool = numbers(step.features, step.pool_features)

    def loss(weight):
        other = copy.deepcopy(term)
        other.discriminator[0].weight.data = torch.from_numpy(weight)
        return slow(other, source, pool)

    layer = term.discriminator[0]
    wanted = factor * numeric(loss, layer.weight.detach().numpy())
    assert np.allclose(layer.weight.grad.numpy(), wanted, atol=1e-8) == (factor == 1.0)


def test_the_published_schedule():
    assert rising(0.0) == 0 and rising(1.0) == pytest.approx(0.99990920, abs=1e-8)
    assert rising(0.1) == pytest.approx(math.tanh(0.5), abs=1e-15)
    assert made_term().reversal is rising and made_term().weight == 1.0


@pytest.mark.parametrize("slip", [None, *planted("reversal", "rows of the pool")])
def test_without_reversal_the_network_is_bit_equal_to_a_plain_one(slip):
    plain, ours = network(), network()
    term = DANN(ours.head.in_features, hidden=(6,), reversal=0.1 if slip == "reversal" else 0.0).double()
    before = copy.deepcopy(term.state_dict())
    pretrain(plain, made(), settings())
    terms = [CrossEntropy(), term]
    pretrain(
        ours, made(), settings(seed=4) if slip == "rows of the pool" else settings(), terms=terms, pool=made(seed=1)
    )
    equal = all(torch.equal(a, b) for a, b in zip(plain.parameters(), ours.parameters(), strict=True))
    assert equal == (slip is None)
    assert not torch.equal(before["discriminator.0.weight"], term.discriminator[0].weight)


def told_apart(reversal):
    """Accuracy of a classifier of the domains on the features, fitted afterwards."""
    rng = np.random.default_rng(0)
    labels = np.arange(2).repeat(60)
    x = rng.normal(size=(120, 4))
    x[:, :2] += 3 * labels[:, None]
    far = x + np.array([0.0, 6.0, 0.0, 0.0])
    base, shifted = (Collection.from_arrays(rows.astype("f4"), labels) for rows in (x, far))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net, term = ClassHead(torch.nn.Linear(4, 2), 2, dim=2), DANN(2, hidden=(16,), reversal=reversal)
    chosen = SupervisedTraining(steps=400, learning_rate=0.01, batch_size=60)
    pretrain(net, base, chosen, terms=[CrossEntropy(), term], pool=shifted)
    with torch.no_grad():
        rows = np.concatenate([net.embed(torch.from_numpy(c.items)).numpy() for c in (base, shifted)])
    domain = np.arange(2).repeat(120)
    return KNeighborsClassifier(15).fit(rows, domain).score(rows, domain)


def test_the_domains_are_harder_to_tell_with_it():
    assert told_apart(0.0) > 0.7 and told_apart(1.0) < 0.6


def test_a_pool_is_needed():
    with pytest.raises(FewShotError, match="a term that compares two domains needs a pool, got none; pass pool="):
        made_term()(replace(two_domains(), pool_features=None))
    with pytest.raises(FewShotError, match="needs a pool"):
        pretrain(network(), made(), settings(), terms=[CrossEntropy(), DANN(network().head.in_features).double()])


def test_two_runs_end_with_the_same_bits():
    ends = []
    for _ in range(2):
        net = network()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            term = DANN(net.head.in_features, hidden=(6,)).double()
        pretrain(net, made(), settings(), terms=[CrossEntropy(), term], pool=made(seed=1))
        ends.append(weights(net) | weights(term))
    same(*ends)
