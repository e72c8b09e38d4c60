"""Deep CORAL against NumPy's covariances in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from term_steps import numbers, planted, two_domains

from fewshot.errors import FewShotError
from fewshot.training.terms.deep_coral import DeepCORAL

SLIPS = [{"ddof": 0}, {"quarter": 1}, {"power": 1}, {"rooted": True}]


def slow(a, b, *, ddof=1, quarter=4, power=2, rooted=False):
    a, b = numbers(a, b)
    d = a.shape[1]
    square = ((np.cov(a.T, ddof=ddof) - np.cov(b.T, ddof=ddof)) ** 2).sum()
    return (square**0.5 if rooted else square) / (quarter * d**power)


@pytest.mark.parametrize("layer", ["logits", "features"])
@pytest.mark.parametrize("slip", [{}, *planted(*SLIPS)], ids=str)
def test_the_loss_written_out(layer, slip):
    step = two_domains()
    of = (step.logits, step.pool_logits) if layer == "logits" else (step.features, step.pool_features)
    assert (abs(DeepCORAL(layer=layer)(step).item() - slow(*of, **slip)) < 1e-12) == (not slip)


def test_the_paper_compares_logits():
    assert DeepCORAL().layer == "logits"
    step = two_domains()
    moved = replace(step, pool_logits=step.pool_logits + 5)
    assert DeepCORAL()(moved).item() == pytest.approx(DeepCORAL()(step).item(), abs=1e-12), "means do not matter"
    assert DeepCORAL()(replace(step, pool_features=None, pool_logits=step.logits)).item() == 0


def test_both_domains_take_gradients():
    step = two_domains()
    DeepCORAL()(step).backward()
    a, b = numbers(step.logits, step.pool_logits)
    gap = np.cov(a.T) - np.cov(b.T)
    wanted = (a - a.mean(0)) @ gap / ((len(a) - 1) * a.shape[1] ** 2)
    np.testing.assert_allclose(step.logits.grad.numpy(), wanted, atol=1e-14)
    assert step.pool_logits.grad.abs().sum() > 0


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(FewShotError, match="layer must be 'logits' or 'features', got 'fc8'"):
        DeepCORAL(layer="fc8")
    with pytest.raises(FewShotError, match="a term that compares two domains needs a pool"):
        DeepCORAL()(replace(two_domains(), pool_logits=None))
    assert torch.isfinite(DeepCORAL()(two_domains()))
