"""Steps of training with known features, in float64, for tests of terms."""

from typing import Any

import pytest
import torch

from fewshot.training.terms.step import Step


def two_domains(n: int = 7, m: int = 5, dim: int = 3, classes: int = 4, progress: float = 0.25, seed: int = 0) -> Step:
    """A step with features of both domains that take gradients, and logits of both."""
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    labels = torch.randint(0, classes, (n,), generator=generator)
    of_items, of_pool = drawn(n, dim), drawn(m, dim)
    logits, pool_logits = drawn(n, classes), drawn(m, classes)
    return Step(None, labels, of_items, logits, progress, generator, None, of_pool + 0.5, pool_logits)


def planted(*slips: Any) -> list[Any]:
    """Wrong formulas as parameters of a test that must notice each."""
    return [pytest.param(slip, marks=pytest.mark.slip, id=str(slip)) for slip in slips]


def numbers(*tensors: Any) -> list[Any]:
    """As NumPy arrays."""
    return [t.detach().numpy() for t in tensors]
