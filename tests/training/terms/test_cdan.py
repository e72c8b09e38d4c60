"""CDAN against NumPy in float64."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from term_steps import numbers, planted, two_domains

from fewshot.errors import FewShotError
from fewshot.training.terms.cdan import CDAN

SLIPS = [{"halved": True}, {"added": True}, {"uniform": True}]
OF_ENTROPY = [{"without_one": True}, {"sign": 1}, {"normalised": True}, {"base": 2}]


def made_term(**options):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return CDAN(3, 4, **{"hidden": ()} | options).double()


def slow(term, step, *, entropy=False, halved=False, added=False, uniform=False,
         without_one=False, sign=-1, normalised=False, base=math.e):  # fmt: skip
    """One row at a time; the outer product in two loops."""
    (weight, bias), means = (p.detach().numpy() for p in term.discriminator[0].parameters()), []
    for is_pool, rows, logits in ((0, step.features, step.logits), (1, step.pool_features, step.pool_logits)):
        losses, importance = [], []
        for z, scores in zip(*numbers(rows, logits), strict=True):
            p = softmax(scores)
            used = np.full(4, 0.25) if uniform else p
            product = [used[c] + z[d] if added else used[c] * z[d] for c in range(4) for d in range(3)]
            sure = 1 / (1 + math.exp(-(sum(w * x for w, x in zip(weight[0], product, strict=True)) + bias[0])))
            losses.append(-math.log(sure if is_pool else 1 - sure))
            unsure = -sum(q * math.log(q, base) for q in p)
            importance.append((0 if without_one else 1) + math.exp(sign * unsure) if entropy else 1.0)
        total = sum(a * b for a, b in zip(losses, importance, strict=True))
        means.append(total / (sum(importance) if normalised else len(losses)))
    return sum(means) / (2 if halved else 1)


@pytest.mark.parametrize("slip", [{}, *planted(*SLIPS)], ids=str)
def test_the_loss_written_out(slip):
    term, step = made_term(), two_domains()
    assert (abs(term(step).item() - slow(term, step, **slip)) < 1e-12) == (not slip)


@pytest.mark.parametrize("slip", [{}, *planted(*OF_ENTROPY)], ids=str)
def test_sure_predictions_count_more(slip):
    term, step = made_term(entropy=True), two_domains()
    assert (abs(term(step).item() - slow(term, step, entropy=True, **slip)) < 1e-12) == (not slip)


def test_predictions_are_constants_and_features_are_reversed():
    plain, term, step = made_term(reversal=-1.0), made_term(reversal=0.5), two_domains()
    plain(step).backward()
    straight = step.features.grad.clone()
    step.features.grad = None
    term(step).backward()
    torch.testing.assert_close(step.features.grad, -0.5 * straight)
    assert step.logits.grad is None


def test_with_one_class_it_is_the_loss_of_dann():
    from fewshot.training.terms.dann import DANN

    step = two_domains(classes=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        conditional = CDAN(3, 1, hidden=()).double()
    plain = DANN(3, hidden=()).double()
    plain.load_state_dict(conditional.state_dict())
    torch.testing.assert_close(conditional(step), plain(step), rtol=0, atol=1e-14)


@pytest.mark.parametrize("slip", [None, *planted("width", "root")])
def test_a_large_product_is_taken_at_random_and_keeps_inner_products(slip):
    torch.manual_seed(0)
    term = CDAN(1025, 4, hidden=(), width=20_000)
    z, p = torch.randn(2, 1025) / 1025**0.5 + 0.03, torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.3, 0.3, 0.2, 0.2]])
    found = term.product(z, p).double()
    scale = {None: 1.0, "width": 20_000**0.5, "root": 20_000**-0.5}[slip]
    wanted = (z.double() @ z.double().T) * (p.double() @ p.double().T)
    assert torch.allclose(found @ found.T * scale, wanted, atol=0.1) == (slip is None)
    assert {"of_features", "of_predictions"} <= set(term.state_dict()) and not CDAN(3, 4).random


def test_a_pool_is_needed():
    with pytest.raises(FewShotError, match="a term that compares two domains needs a pool"):
        made_term()(replace(two_domains(), pool_logits=None))
