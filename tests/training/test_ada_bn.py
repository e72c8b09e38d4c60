"""AdaBN against a network of two layers in NumPy, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from term_steps import planted
from torch import nn

from fewshot.backbones.conv4 import Conv4
from fewshot.datasets.collection import Collection
from fewshot.errors import FewShotError
from fewshot.training.ada_bn import adapt_batch_norm

SLIPS = ["one pass", "biased", "momentum"]


def network():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2), nn.BatchNorm1d(2)).double()
    net[1].running_mean.normal_()
    net[1].weight.data.uniform_(0.5, 2)
    return net.eval()


def target(n=37):
    rng = np.random.default_rng(0)
    items = torch.from_numpy(2 + 3 * rng.normal(size=(n, 3)))
    return Collection(items, rng.integers(0, 2, n), ("a", "b"))


def slow(net, x, slip=None):
    """Statistics of both layers, and what the network then answers."""
    (w1, b1), (w2, b2) = ([p.detach().numpy() for p in net[k].parameters()] for k in (0, 3))
    found = []
    for layer, w, b in ((net[1], w1, b1), (net[4], w2, b2)):
        x = np.maximum(x, 0) @ w.T + b if found else x @ w.T + b
        old = [t.numpy().copy() for t in (layer.running_mean, layer.running_var)]
        new = [x.mean(0), x.var(0, ddof=0 if slip == "biased" else 1)]
        if slip == "momentum":
            new = [0.9 * a + 0.1 * b for a, b in zip(old, new, strict=True)]
        found.append(new)
        mean, variance = old if slip == "one pass" else new
        x = (x - mean) / np.sqrt(variance + layer.eps) * layer.weight.detach().numpy() + layer.bias.detach().numpy()
    return found, x


@pytest.mark.parametrize("slip", [None, *planted(*SLIPS)])
def test_statistics_are_those_of_the_whole_target(slip):
    net, pool = network(), target()
    found, answers = slow(net, pool.items.numpy(), slip)
    adapt_batch_norm(net, pool, batch=10)
    ours = [t.numpy() for layer in (net[1], net[4]) for t in (layer.running_mean, layer.running_var)]
    close = all(np.allclose(a, b, atol=1e-10) for a, b in zip(ours, [t for pair in found for t in pair], strict=True))
    assert close == (slip is None)
    assert np.allclose(net(pool.items).detach().numpy(), answers, atol=1e-10) == (slip is None)


def test_neither_batches_nor_labels_nor_modes_matter():
    pool, ends = target(), []
    for batch, labels in ((1, pool.labels), (37, pool.labels[::-1].copy()), (1000, pool.labels)):
        net = network().train()
        weights = [p.clone() for p in net.parameters()]
        adapt_batch_norm(net, replace(pool, labels=labels), batch)
        assert net.training and all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))
        ends.append(net[4].running_var)
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], rtol=1e-12, atol=1e-12)


def test_images_are_prepared_and_the_answers_are_normal():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pool = Collection.from_arrays(rng.integers(0, 256, (20, 1, 16, 16), dtype=np.uint8), np.arange(20) % 2)
    net = Conv4(width=4, size=16)
    adapt_batch_norm(net, pool)
    last = net.blocks[3][1]
    seen = []
    hook = last.register_forward_hook(lambda m, i, o: seen.append(o))
    net.eval()(net.preprocess(pool.take(np.arange(20))))
    hook.remove()
    means = seen[0].mean((0, 2, 3))
    torch.testing.assert_close(means, torch.zeros(4), atol=1e-5, rtol=0)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(FewShotError, match="AdaBN needs batch norm with running statistics, got none in Linear"):
        adapt_batch_norm(nn.Linear(3, 2), target())
    with pytest.raises(FewShotError, match="AdaBN needs two numbers a channel or more, got 1; give a larger pool"):
        adapt_batch_norm(network(), target(1))
