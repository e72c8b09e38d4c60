"""Conv-4 against a plain one that is written out here: bias before batch norm, ReLU before pooling, float64."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, max_pool2d, relu

from fewshot.backbones.conv4 import Conv4


def images(n=5, channels=1, size=28, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random((n, channels, size, size)))


def trained(**options):
    """A Conv-4 in float64 whose batch norms are not the identity, in eval mode."""
    torch.manual_seed(0)
    network = Conv4(**options).double()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value, low in ((module.weight, 0.5), (module.bias, -0.5), (module.running_mean, -0.5)):
                nn.init.uniform_(value, low, low + 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()


def plain(network, x, training, stride=1, bias=True, epsilon=1e-5, unbiased=False, relu_first=True, pool_kind="max"):
    """The papers' order with a convolution bias; planted errors by argument."""
    generator = torch.Generator().manual_seed(1)
    for convolution, norm, *_ in network.blocks:
        b = torch.randn(len(norm.bias), generator=generator, dtype=x.dtype) if bias else None
        x = conv2d(x, convolution.weight.detach().contiguous(), b, stride=stride, padding=1)
        if training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=unbiased)
        else:  # a bias moves the running mean along
            mean, variance = norm.running_mean + (0 if b is None else b), norm.running_var
        at = (None, slice(None), None, None)
        x = (x - mean[at]) / (variance[at] + epsilon).sqrt() * norm.weight.detach()[at] + norm.bias.detach()[at]
        x = relu(x) if relu_first else x
        if stride == 1:
            x = max_pool2d(x, 2) if pool_kind == "max" else nn.functional.avg_pool2d(x, 2)
    return x


def both(training, channels=1, size=28, **wrong):
    """Features and input gradients of the network and of the plain one."""
    network = trained(in_channels=channels, width=6).train(training)
    found, wanted = (images(channels=channels, size=size).requires_grad_() for _ in range(2))
    z, plain_z = network(found), plain(network, wanted, training, **wrong).flatten(1)
    direction = images(seed=2, size=100)[0, 0].flatten()[: z.numel()].reshape(z.shape)
    (z * direction).sum().backward()
    (plain_z * direction).sum().backward()
    return (z, found.grad), (plain_z, wanted.grad)


def check(training, **options):
    for found, wanted in zip(*both(training, **options), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)


class TestAgainstThePlainNetwork:
    @pytest.mark.parametrize("training", [False, True])
    @pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 35)])
    def test_same_features_and_input_gradients(self, training, channels, size):
        check(training, channels=channels, size=size)

    @pytest.mark.slip
    @pytest.mark.parametrize(
        "wrong", [{"epsilon": 1e-3}, {"unbiased": True}, {"relu_first": False}, {"pool_kind": "average"}]
    )
    def test_planted_errors_are_found(self, wrong):
        with pytest.raises(AssertionError, match="not close"):
            check(True, **wrong)

    def test_stride_instead_of_pooling(self):
        network = trained(width=6, stride=True)
        torch.testing.assert_close(network(images()), plain(network, images(), False, stride=2).flatten(1))

    def test_average_instead_of_positions(self):
        network = trained(width=6, stride=True, flatten=False)
        wanted = plain(network, images(), False, stride=2)
        assert wanted.shape[2:] == (2, 2)
        torch.testing.assert_close(network(images()), wanted.mean((2, 3)))


@pytest.mark.parametrize(
    ("options", "dim"),
    [
        ({}, 64),
        ({"size": 84}, 1600),  # 64 × 5 × 5, as the papers say for miniImageNet
        ({"size": 84, "width": 32}, 800),  # Finn et al. (2017)
        ({"stride": True}, 256),
        ({"stride": True, "flatten": False}, 64),
        ({"size": 84, "flatten": False}, 64),
        ({"size": 84, "stride": True}, 64 * 6 * 6),
    ],
)
def test_number_of_features(options, dim):
    network = Conv4(**options)
    assert network.dim == dim
    assert network(images(2, size=options.get("size", 28)).float()).shape == (2, dim)


def test_known_number_of_parameters():
    """Snell et al.'s network has 111,936, of which 4 × 64 biases before batch norm do nothing."""
    assert sum(p.numel() for p in Conv4().parameters()) == 111_936 - 4 * 64


def test_every_map_is_channels_last():
    network, seen = Conv4(in_channels=3), []
    for block in network.blocks:
        block.register_forward_hook(lambda m, i, out: seen.append(out.is_contiguous(memory_format=torch.channels_last)))
    network(images(2, 3, 84).float())
    assert seen == [True] * 4
    assert network.blocks[1][0].weight.is_contiguous(memory_format=torch.channels_last)


def test_preprocessing_scales_bytes_only():
    network = Conv4()
    pixels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(1, 1, 1, 3)
    torch.testing.assert_close(network.preprocess(pixels).flatten(), torch.tensor([0.0, 0.2, 1.0]))
    assert network.preprocess(images().float()).max() <= 1


def test_the_fingerprint_names_weights_and_form():
    torch.manual_seed(0)
    first = Conv4()
    forms = [Conv4(stride=True), Conv4(flatten=False), Conv4(stride=True, flatten=False)]
    for other in forms:
        other.load_state_dict(first.state_dict())
    before = first.fingerprint()
    with torch.no_grad():
        first.blocks[2][1].running_mean[3] += 1e-6
    assert len({before, first.fingerprint(), *(other.fingerprint() for other in forms)}) == 5
