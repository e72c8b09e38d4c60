"""Derivatives of batch normalisation against finite differences and torch's own, and against wrong formulas."""

import pytest
import torch
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.nn.functional import batch_norm

from fewshot.learners.gradient.batch_norm_gradients import batch_normalise

EPS = 1e-5
SHAPES = {"images": (3, 2, 2, 4), "vectors": (6, 3)}


def example(shape, dtype=torch.float64):
    """Values far from 0 with unequal spreads, and a negative scale."""
    rng = torch.Generator().manual_seed(0)
    spread = torch.arange(1, shape[1] + 1).reshape(-1, *[1] * (len(shape) - 2))
    x = 3 + spread * torch.randn(shape, generator=rng, dtype=torch.float64)
    weight, bias = torch.linspace(-1.5, 0.5, shape[1]), torch.linspace(0, 1, shape[1])
    return [v.to(dtype).requires_grad_() for v in (x, weight, bias)]


def second_derivatives(normalise, inputs):
    """Of a loss that is curved in the output, by all inputs, through a step along its gradient."""
    loss = normalise(*inputs).sin().pow(2).mean()
    first = grad(loss, inputs, create_graph=True)
    return grad(sum(g.exp().sum() for g in first), inputs)


def torchs(x, weight, bias):
    return batch_norm(x, None, None, weight, bias, True, 0.0, EPS)


def plain(x, weight, bias, slip=""):
    """Plain operations, which autograd differentiates; planted errors by name."""
    axes = [0, *range(2, x.ndim)]
    mean, variance = x.mean(axes, keepdim=True), x.var(axes, correction=int(slip == "unbiased"), keepdim=True)
    mean, variance = (mean.detach() if "mean" in slip else mean), (variance.detach() if "spread" in slip else variance)
    weight, bias = (v.reshape(-1, *[1] * (x.ndim - 2)) for v in (weight, bias))
    return (x - mean) * torch.rsqrt(variance + EPS) * weight + bias


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_both_derivatives_are_those_of_finite_differences(shape):
    inputs = example(shape)
    assert gradcheck(lambda *v: batch_normalise(*v, EPS), inputs)
    assert gradgradcheck(lambda *v: batch_normalise(*v, EPS), inputs)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("oracle", [torchs, plain])
def test_agrees_with_torch_and_with_plain_operations(layout, oracle):
    x, weight, bias = example((5, 4, 6, 6))
    x = x.detach().contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(batch_normalise(x, weight, bias, EPS), oracle(x, weight, bias))
    got = second_derivatives(lambda *v: batch_normalise(*v, EPS), (x, weight, bias))
    torch.testing.assert_close(got, second_derivatives(oracle, (x, weight, bias)), rtol=1e-8, atol=1e-10)


def test_single_precision_is_as_exact_as_torchs():
    exact = second_derivatives(plain, example((64, 4, 6, 6)))
    single = example((64, 4, 6, 6), torch.float32)
    gaps = [
        max(
            float((a - b).abs().max() / b.abs().max())
            for a, b in zip(second_derivatives(f, single), exact, strict=True)
        )
        for f in (lambda *v: batch_normalise(*v, EPS), torchs)
    ]
    assert gaps[0] < max(2 * gaps[1], 1e-5)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["unbiased", "constant mean", "constant spread", "constant mean and spread"])
def test_wrong_formulas_have_other_derivatives(slip):
    inputs = example((5, 4, 6, 6))
    got = second_derivatives(lambda *v: batch_normalise(*v, EPS), inputs)
    wrong = second_derivatives(lambda *v: plain(*v, slip=slip), inputs)
    with pytest.raises(AssertionError, match="not close"):
        torch.testing.assert_close(got, wrong, rtol=1e-3, atol=1e-6)


def test_refuses_a_third_derivative():
    inputs = example((6, 3))
    first = grad(batch_normalise(*inputs, EPS).sin().sum(), inputs, create_graph=True)
    second = grad(first[0].sin().sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        second[0].sum().backward()


def test_half_precision_keeps_its_type():
    x, weight, bias = example((5, 4, 6, 6), torch.float32)
    half = x.detach().bfloat16().requires_grad_()
    first = grad(batch_normalise(half, weight, bias, EPS).float().sin().sum(), (half, weight), create_graph=True)
    second = grad(first[0].float().sin().sum(), (half, weight))
    assert [g.dtype for g in second] == [torch.bfloat16, torch.float32]
