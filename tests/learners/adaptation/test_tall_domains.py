"""Many rows: sums of products in blocks give the maps that all rows at once give."""

import pytest
import torch
from domain_cases import DistancesHead, domains
from torch.testing import assert_close

from fewshot.learners.adaptation import coral, discrepancy, subspaces
from fewshot.learners.adaptation.coral import CORAL
from fewshot.learners.adaptation.gfk import GFK
from fewshot.learners.adaptation.jda import JDA
from fewshot.learners.adaptation.pca import JointPCA
from fewshot.learners.adaptation.subspace_alignment import SubspaceAlignment
from fewshot.learners.adaptation.tca import TCA

LEARNERS = [
    TCA(3, head=DistancesHead()),
    TCA(3, form="primal", eigenvectors="constraint", head=DistancesHead()),
    JDA(3, head=DistancesHead()),
    CORAL(head=DistancesHead()),
    CORAL(ridge=0.0, shrinkage=0.2, head=DistancesHead()),
    GFK(2, head=DistancesHead()),
    SubspaceAlignment(3, head=DistancesHead()),
    JointPCA(3, head=DistancesHead()),
]


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda one: type(one).__name__)
def test_blocks_give_the_same_maps(monkeypatch, learner):
    support, query, _ = domains(shots=(12, 9, 14), target=30)
    whole = learner.adapt(support)(query)
    for module in (subspaces, discrepancy, coral):
        monkeypatch.setattr(module, "TALL", 8)
    assert_close(learner.adapt(support)(query), whole, rtol=1e-7, atol=1e-8)


def test_products_are_those_of_all_rows_less_their_mean(monkeypatch):
    monkeypatch.setattr(subspaces, "TALL", 8)
    parts = [torch.randn(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (5, 14)]
    rows = torch.cat(parts)
    assert_close(subspaces.mean_of(parts), rows.mean(0))
    assert_close(subspaces.products(parts, rows.mean(0)), 18 * torch.cov(rows.mT))
    values, axes = subspaces.row_space(parts, rows.mean(0))
    assert_close(values, torch.linalg.svdvals(rows - rows.mean(0)))
    assert_close(axes.mT @ axes, torch.eye(3).double())
