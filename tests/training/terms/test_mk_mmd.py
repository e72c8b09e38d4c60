"""MK-MMD against a loop over pairs in float64."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from term_steps import numbers, planted, two_domains

from fewshot.errors import FewShotError
from fewshot.training.terms.mk_mmd import MKMMD
from fewshot.training.terms.step import Step

SLIPS = [{"median": True}, {"with_itself": True}, {"unbiased": True}, {"once": True}, {"rooted": True}, {"mean": True}]


def slow(step, kernels=5, factor=2.0, *, median=False, with_itself=False, unbiased=False, once=False, rooted=False,
         mean=False):  # fmt: skip
    source, pool = numbers(step.features, step.pool_features)
    rows = [*source, *pool]
    squares = [((a - b) ** 2).sum() for i, a in enumerate(rows) for j, b in enumerate(rows) if with_itself or i != j]
    middle = np.median(squares) if median else np.mean(squares)
    widths = [middle * factor ** (k - kernels // 2) for k in range(kernels)]

    def kernel(a, b):
        square = ((a - b) ** 2).sum()
        return sum(math.exp(-(math.sqrt(square) if rooted else square) / w) for w in widths) / (kernels if mean else 1)

    def average(x, y):
        same = x is y and unbiased
        found = [kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(y) if not (same and i == j)]
        return sum(found) / len(found)

    return average(source, source) + average(pool, pool) - (1 if once else 2) * average(source, pool)


@pytest.mark.parametrize("slip", [{}, *planted(*SLIPS)], ids=str)
def test_the_loss_written_out(slip):
    step = two_domains()
    assert (abs(MKMMD()(step).item() - slow(step, **slip)) < 1e-12) == (not slip)


@pytest.mark.parametrize("options", [{"kernels": 1}, {"kernels": 4, "factor": 3.0}])
def test_other_kernels(options):
    step = two_domains(seed=1)
    assert MKMMD(**options)(step).item() == pytest.approx(slow(step, **options), abs=1e-12)


def test_equal_samples_have_no_distance_and_gradients_stay_finite():
    step = two_domains()
    equal = replace(step, pool_features=step.features, pool_logits=None)
    value = MKMMD()(equal)
    value.backward()
    assert abs(value.item()) < 1e-15 and step.features.grad.isfinite().all()
    still = torch.ones(3, 2, dtype=torch.float64, requires_grad=True)
    constant = MKMMD()(Step(None, torch.zeros(3, dtype=torch.int64), still, still, 0.0, torch.Generator(), None, still))
    assert constant.item() == 0


def test_the_gradient_is_that_of_finite_differences_with_fixed_bandwidths():
    step = two_domains()
    MKMMD(kernels=1)(step).backward()
    source, pool = numbers(step.features, step.pool_features)
    rows = np.concatenate([source, pool])
    width = sum(((a - b) ** 2).sum() for a in rows for b in rows) / (len(rows) * (len(rows) - 1))

    def loss(x):
        def k(a, b):
            return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / width).mean()

        return k(x, x) + k(pool, pool) - 2 * k(x, pool)

    found = np.zeros_like(source)
    for index in np.ndindex(*source.shape):
        up, down = source.copy(), source.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        found[index] = (loss(up) - loss(down)) / 2e-6
    np.testing.assert_allclose(step.features.grad.numpy(), found, atol=1e-9)


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(FewShotError, match="kernels must be a whole number of at least 1, got 0"):
        MKMMD(kernels=0)
    with pytest.raises(FewShotError, match=r"factor must be a finite number above 0, got -1\.0"):
        MKMMD(factor=-1.0)
    with pytest.raises(FewShotError, match="a term that compares two domains needs a pool"):
        MKMMD()(replace(two_domains(), pool_features=None))
