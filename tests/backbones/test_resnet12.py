"""ResNet-12 against one that is written out here in the order of Lee et al.'s figure, float64, contiguous."""

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, leaky_relu, max_pool2d, relu

from fewshot.backbones.resnet12 import NARROW, WIDE, ResNet12, resnet12_wide
from fewshot.errors import FewShotError, ShapeError

SMALL = (4, 6, 8, 10)


def images(n=3, size=84, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network(widths=SMALL, **options):
    torch.manual_seed(0)
    made = ResNet12(widths, **options).double()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return made.eval()


def plain(state, x, slope=0.1, shortcut="projected", last_pool=True, activate=leaky_relu, sum_first=True):
    """Activation before pooling, as in the paper; planted errors by argument."""
    state = {name: value.contiguous() for name, value in state.items()}

    def norm(x, key):
        return batch_norm(x, *(state[f"{key}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))

    def act(x):
        return activate(x, slope) if activate is leaky_relu else activate(x)

    for i in range(1, 5):
        b = f"layer{i}.0."
        y = act(norm(conv2d(x, state[b + "conv1.weight"], padding=1), b + "bn1"))
        y = act(norm(conv2d(y, state[b + "conv2.weight"], padding=1), b + "bn2"))
        y = norm(conv2d(y, state[b + "conv3.weight"], padding=1), b + "bn3")
        side = conv2d(x, state[b + "downsample.0.weight"])
        side = norm(side, b + "downsample.1") if shortcut == "projected" else side
        x = act(y + side) if sum_first else act(y) + side
        x = max_pool2d(x, 2) if i < 4 or last_pool else x
    return x


def check(**wrong):
    net = network()
    found, wanted = (images().requires_grad_() for _ in range(2))
    z = net(found)
    plain_z = plain(net.state_dict(), wanted, **wrong).mean((2, 3))
    torch.testing.assert_close(z, plain_z, rtol=1e-9, atol=1e-11)
    z.square().sum().backward()
    plain_z.square().sum().backward()
    torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-9, atol=1e-11)


class TestAgainstThePlainNetwork:
    def test_same_features_and_input_gradients(self):
        check()

    @pytest.mark.slip
    @pytest.mark.parametrize(
        "wrong",
        [
            {"slope": 0.01},  # the default of LeakyReLU
            {"activate": relu},
            {"shortcut": "without batch norm"},
            {"sum_first": False},
            {"last_pool": False},
        ],
    )
    def test_planted_errors_are_found(self, wrong):
        with pytest.raises(AssertionError, match="not close"):
            check(**wrong)

    def test_flat_features(self):
        net = network(flatten=True)
        torch.testing.assert_close(net(images()), plain(net.state_dict(), images()).flatten(1))
        assert net.dim == 10 * 25


@pytest.mark.parametrize(("widths", "parameters"), [(NARROW, 7_996_800), (WIDE, 12_424_320)])
def test_known_number_of_parameters(widths, parameters):
    """12.4 million as FEAT's and MetaOptNet's network, 8.0 million as Meta-Baseline's; and counted out by hand."""
    counted = sum((9 * a * b + 2 * 9 * b * b + a * b) + 4 * 2 * b for a, b in zip((3, *widths), widths, strict=False))
    assert sum(p.numel() for p in ResNet12(widths).parameters()) == counted == parameters


def test_widths_by_name():
    assert resnet12_wide().dim == 640
    assert ResNet12().dim == 512
    assert resnet12_wide(flatten=True).dim == 16_000  # what MetaOptNet's heads see
    with pytest.raises(FewShotError, match=r"needs four widths, got \(64, 128\)"):
        ResNet12((64, 128))


@pytest.mark.parametrize("size", [16, 32, 84])
def test_sizes(size):
    assert network()(images(2, size)).shape == (2, 10)


def test_names_are_those_of_published_weights():
    names = set(ResNet12(SMALL).state_dict())
    layers = ["conv1.weight", "bn1.running_var", "conv3.weight", "downsample.0.weight", "downsample.1.bias"]
    assert {f"layer{i}.0.{layer}" for i in range(1, 5) for layer in layers} <= names
    assert len(names) == 4 * (4 + 4 * 5)


def test_every_map_is_channels_last():
    net, seen = network(), []
    for block in net.children():
        block.register_forward_hook(lambda m, i, out: seen.append(out.is_contiguous(memory_format=torch.channels_last)))
    net(images())
    assert seen == [True] * 4


class TestDropping:
    def test_dropout_in_the_first_two_blocks_and_squares_in_the_last_two(self):
        kinds = [type(block[0].drop).__name__ for block in ResNet12(SMALL, drop_rate=0.1).children()]
        assert kinds == ["Dropout", "Dropout", "DropBlock", "DropBlock"]

    def test_it_changes_training_and_not_evaluation(self):
        plain_net, dropping = network(), network(drop_rate=0.2, ramp=0)
        with torch.no_grad():
            assert plain_net(images()).equal(dropping(images()))
            dropping.train()
            torch.manual_seed(1)
            first, second = dropping(images()), dropping(images())
            torch.manual_seed(1)
            assert not first.equal(second)
            assert first.equal(dropping(images()))

    def test_squares_must_fit(self):
        net = network(drop_rate=0.1).train()
        with pytest.raises(ShapeError, match="block_size must fit into the feature map, got 5 for a map of 4 × 4"):
            net(images(2, 32))
        assert network(drop_rate=0.1, block_size=2).train()(images(2, 32)).shape == (2, 10)

    def test_settings_out_of_range(self):
        with pytest.raises(FewShotError, match=r"a rate in \[0, 1\)"):
            ResNet12(SMALL, drop_rate=1.5)


def test_the_fingerprint_names_weights_and_form():
    first, flat = network(), network(flatten=True)
    before = first.fingerprint()
    first.layer4[0].conv3.weight.data[0, 0, 0, 0] += 1e-6
    assert len({before, first.fingerprint(), flat.fingerprint()}) == 3
