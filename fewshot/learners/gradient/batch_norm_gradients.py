"""Batch normalisation by the statistics of a batch, with first and second derivatives in a few passes over the data.

Paper: Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1. The second derivatives are those of its gradient;
written out, they are sums of the tensors at hand, scaled by channel, while those that torch puts together took as long as
the convolutions of an inner step.

With ``z = (x - mean) · s`` and ``s = (variance + eps)^-1/2`` over ``m`` values of a channel, ``y = γ z + β`` and, for a
gradient ``g`` of y, ``gβ = Σ g``, ``gγ = Σ g z``, ``gx = γ s (g - (gβ + z gγ) / m)``.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def batch_normalise(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """``γ (x - mean) / sqrt(variance + eps) + β`` with mean and variance of each channel, axis 1, over the batch.

    It can be differentiated twice, and refuses a third time.
    """
    y: Tensor = _Normalise.apply(x, weight, bias, eps)
    return y


class _Normalise(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        y, mean, scale = torch.native_batch_norm(x, weight, bias, None, None, True, 0.0, eps)
        ctx.eps = eps
        ctx.save_for_backward(x, weight, mean, scale)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, scale = ctx.saved_tensors
        return *_Gradient.apply(g, x, weight, mean, scale, ctx.eps), None


class _Gradient(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor, mean: Tensor, scale: Tensor, eps: float) -> Any:
        gradients = torch.ops.aten.native_batch_norm_backward(
            g, x, weight, None, None, mean, scale, True, eps, [True, True, True]
        )
        ctx.save_for_backward(g, x, weight, mean, scale, *gradients[1:])
        return gradients

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_x: Tensor, to_weight: Tensor, to_bias: Tensor) -> tuple[Tensor | None, ...]:
        """Of ``<to_x, gx> + <to_weight, gγ> + <to_bias, gβ>``, by g, x and γ; mean and s are functions of x."""
        g, x, weight, mean, s, g_weight, g_bias = ctx.saved_tensors
        axes, m, x = [0, *range(2, x.ndim)], x.numel() // x.shape[1], x - _by_channel(mean, x)
        a, b = to_x.sum(axes), (to_x * x).sum(axes) * s  # Σ to_x and Σ to_x z
        c = (to_x * g).sum(axes) - (a * g_bias + b * g_weight) / m
        on_z, on_g = -weight * s * g_weight / m, to_weight - weight * s * b / m  # z gets on_z · to_x + on_g · g
        sum_z, dot_z = on_z * a + on_g * g_bias, on_z * b + on_g * g_weight
        by_g = _add(to_bias - weight * s * a / m, (on_g * s, x), (weight * s, to_x))
        by_x = _add(-s * sum_z / m, (-(s**2) * (dot_z + weight * c * s) / m, x), (s * on_z, to_x), (s * on_g, g))
        return by_g, by_x.to(x.dtype), s * c, None, None, None


def _by_channel(vector: Tensor, x: Tensor) -> Tensor:
    return vector.reshape(-1, *[1] * (x.ndim - 2))


def _add(constant: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
    """A constant for each channel, and tensors, each times a factor for each channel."""
    (factor, x), *others = terms
    total = torch.addcmul(_by_channel(constant, x), x, _by_channel(factor, x))
    for factor, tensor in others:
        total.addcmul_(tensor, _by_channel(factor, tensor))
    return total
