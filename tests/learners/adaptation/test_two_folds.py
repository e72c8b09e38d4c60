"""C by two random folds: a loop over folds with scikit-learn's own cross validation, on rows and on tables of products."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from domain_cases import domains
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.svm import SVC

from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adaptation.coral import recolour
from fewshot.learners.adaptation.coral_published import PublishedCORAL
from fewshot.learners.adaptation.libsvm import LibSVM
from fewshot.learners.adaptation.two_folds import COSTS, cost_by_two_folds
from fewshot.testing import check_learner


def noisy(seed=0, n=60):
    """Classes that overlap, so that C matters."""
    support, query, _ = domains(shots=(n // 3,) * 3, queries=150, dim=5, seed=seed)
    noise = torch.randn(support.x.shape, dtype=support.x.dtype, generator=torch.Generator().manual_seed(seed))
    return replace(support, x=support.x + 4 * noise, seed=torch.tensor(7 + seed)), query


def best(support, slip="", **options):
    """The C with the most right answers by scikit-learn's cross validation."""
    x, y = support.x.numpy(), support.y.numpy()
    seed = 0 if slip == "seed forgotten" else int(support.seed)
    folds = StratifiedKFold(3 if slip == "three folds" else 2, shuffle=True, random_state=seed)
    right = [(cross_val_predict(SVC(C=c, **options), x, y, cv=folds) == y).sum() for c in COSTS]
    if slip == "last of equals":
        return COSTS[len(COSTS) - 1 - int(np.argmax(right[::-1]))]
    return COSTS[int(np.argmax(right))]


def test_the_cost_is_that_of_cross_validation():
    found = [cost_by_two_folds(noisy(s)[0].x.numpy(), noisy(s)[0], 10_000, kernel="rbf", gamma=0.2) for s in range(12)]
    wanted = [best(noisy(s)[0], kernel="rbf", gamma=0.2) for s in range(12)]
    assert found == wanted and len(set(found)) > 1


@pytest.mark.parametrize("slip", ["seed forgotten", "three folds", "last of equals"])
def test_wrong_rules_choose_otherwise(slip):
    found = [cost_by_two_folds(noisy(s)[0].x.numpy(), noisy(s)[0], 10_000, kernel="rbf", gamma=0.2) for s in range(12)]
    assert found != [best(noisy(s)[0], slip, kernel="rbf", gamma=0.2) for s in range(12)]


def test_tables_of_products_are_cut_on_both_sides():
    support, _ = noisy()
    products = (support.x @ support.x.mT).numpy()
    own = cost_by_two_folds(products, support, 10_000, kernel="precomputed")
    assert own == cost_by_two_folds(support.x.numpy(), support, 10_000, kernel="linear")


def test_learners_answer_with_that_cost():
    support, query = noisy()
    cost = best(support, kernel="rbf", gamma=1 / 5)
    assert torch.equal(LibSVM(None).adapt(support)(query), LibSVM(cost).adapt(support)(query))
    products = (recolour(support.x, support.unlabelled, 1.0, 0.0)(support.x) @ support.x.mT).numpy()
    own = cost_by_two_folds(products, support, 200_000, kernel="precomputed")
    assert torch.equal(PublishedCORAL(None).adapt(support)(query), PublishedCORAL(own).adapt(support)(query))


def test_errors_and_contract(no_shape_hook):
    check_learner(LibSVM(None), shots=(4, 3, 5), learns=False)
    support, _, _ = domains(shots=(1, 3, 3))
    with pytest.raises(EpisodeError, match="two folds need two rows or more of every class, got one; give C"):
        LibSVM(None).adapt(support)
    with pytest.raises(FewShotError, match="C must be a finite number above 0, got 0"):
        PublishedCORAL(0.0)
