"""Closed-form zero-shot learners: gradients of their stated objectives, scikit-learn and SciPy, slow loops; slips would be seen."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression, Ridge
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.learners.described.conse import ConSE
from fewshot.learners.described.dap import DAP
from fewshot.learners.described.descriptor_kernel import DescriptorKernel
from fewshot.learners.described.descriptor_regression import DescriptorRegression
from fewshot.learners.described.eszsl import ESZSL
from fewshot.learners.described.iap import IAP
from fewshot.learners.described.sae import SAE
from fewshot.testing import check_learner

DIM, SIDE = 6, 4
LEARNERS = [
    ESZSL(), ESZSL(0.3, 2.0, "zero-one"), SAE(0.5), SAE(2.0, "to-features"),
    DescriptorRegression(), DescriptorRegression(0.1, "squared-euclidean"), ConSE(), ConSE(1), DAP(threshold="attribute-mean"), IAP(),
    DescriptorKernel(),
]  # fmt: skip


def world(shots=(5, 2, 7, 3, 4), noise=0.3, seed=0, new=3, law=None):
    """Base classes of unequal size, shuffled, and items of new classes; items are a linear function of descriptors."""
    rng = np.random.default_rng(seed)
    side = rng.normal(size=(len(shots) + new, SIDE))
    law = rng.normal(size=(SIDE, DIM)) if law is None else law
    y = rng.permutation(np.repeat(np.arange(len(shots)), shots))
    x = side[y] @ law + noise * rng.normal(size=(len(y), DIM))
    asked = rng.permutation(np.arange(new).repeat(6))
    query = side[len(shots) + asked] @ law + noise * rng.normal(size=(len(asked), DIM))
    base = SupportSet(*map(torch.from_numpy, (x, y)), len(shots), descriptors=torch.from_numpy(side[: len(shots)]))
    none = torch.zeros(0, DIM).double(), torch.zeros(0, dtype=torch.long)
    support = SupportSet(*none, new, descriptors=torch.from_numpy(side[len(shots) :]))
    return base, support, torch.from_numpy(query), asked


def arrays(base):
    return base.x.numpy(), base.y.numpy(), base.descriptors.numpy()


# ESZSL ------------------------------------------------------------------------------------------------


def slope_of_eszsl(v, base, gamma, lam, slip=None):
    """Gradient of the paper's objective at V, by autograd, items and classes as columns; largest entry."""
    v = v.clone().requires_grad_()
    x, s = base.x.T, base.descriptors.T
    y = torch.where(
        torch.nn.functional.one_hot(base.y, base.n_way) > 0, 1.0, 0.0 if slip == "zero-one" else -1.0
    ).double()
    gamma, lam = (lam, gamma) if slip == "swapped" else (gamma, lam)
    last = 0 if slip == "no last term" else gamma * lam
    loss = (
        ((x.T @ v @ s - y) ** 2).sum()
        + gamma * ((v @ s) ** 2).sum()
        + lam * ((x.T @ v) ** 2).sum()
        + last * (v**2).sum()
    )
    return float(torch.autograd.grad(loss, v)[0].abs().max())


def test_eszsl_is_the_minimum_of_its_objective():
    base, support, query, _ = world()
    learner = ESZSL(0.7, 0.2).with_base(base)
    assert slope_of_eszsl(learner.compatibility, base, 0.7, 0.2) < 1e-10
    assert slope_of_eszsl(ESZSL(0.7, 0.2, "zero-one").with_base(base).compatibility, base, 0.7, 0.2, "zero-one") < 1e-10
    expected = query.numpy() @ learner.compatibility.numpy() @ support.descriptors.numpy().T
    assert_close(learner.adapt(support)(query), torch.from_numpy(expected))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["zero-one", "swapped", "no last term"])
def test_an_eszsl_with_a_slip_is_no_minimum(slip):
    base = world()[0]
    assert slope_of_eszsl(ESZSL(0.7, 0.2).with_base(base).compatibility, base, 0.7, 0.2, slip) > 1e-3


# SAE --------------------------------------------------------------------------------------------------


def slope_of_sae(w, base, lam, slip=None):
    w = w.clone().requires_grad_()
    x, s = base.x.T, base.descriptors[base.y].T
    s = (
        base.descriptors.T @ torch.nn.functional.one_hot(base.y.sort().values, base.n_way).T.double()
        if slip == "order"
        else s
    )
    first, second = (lam, 1) if slip == "weight on the other term" else (1, lam)
    back = s.T @ w if slip != "encoder for decoder" else torch.linalg.pinv(w).mT.T @ s
    loss = (
        first * ((x - (w.T @ s if slip != "encoder for decoder" else back)) ** 2).sum()
        + second * ((w @ x - s) ** 2).sum()
    )
    return float(torch.autograd.grad(loss, w)[0].abs().max())


def test_sae_is_the_minimum_of_its_objective_and_solves_sylvesters_equation():
    base, support, query, _ = world()
    w = SAE(0.4).with_base(base).encoder
    assert slope_of_sae(w, base, 0.4) < 1e-9
    x, s = base.x.T, base.descriptors[base.y].T
    assert_close(s @ s.T @ w + 0.4 * w @ x @ x.T, 1.4 * s @ x.T)
    side = support.descriptors.numpy()
    for direction, pair in (("to-descriptors", (query @ w.T, side)), ("to-features", (query, side @ w.numpy()))):
        expected = 1 - cdist(*map(np.asarray, pair), "cosine")
        assert_close(SAE(0.4, direction).with_base(base).adapt(support)(query), torch.from_numpy(expected))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["weight on the other term", "order", "encoder for decoder"])
def test_an_sae_with_a_slip_is_no_minimum(slip):
    base = world()[0]
    assert slope_of_sae(SAE(0.4).with_base(base).encoder, base, 0.4, slip) > 1e-3


# Regression -------------------------------------------------------------------------------------------


def test_regression_is_scikit_learns():
    base, support, query, _ = world()
    x, y, side = arrays(base)
    predicted = Ridge(alpha=0.6).fit(x + 3, side[y]).predict(query.numpy() + 3)
    moved = SupportSet(base.x + 3, base.y, base.n_way, descriptors=base.descriptors)
    cosine = DescriptorRegression(0.6).with_base(moved).adapt(support)(query + 3)
    assert_close(cosine, torch.from_numpy(1 - cdist(predicted, support.descriptors.numpy(), "cosine")))
    nearest = DescriptorRegression(0.6, "squared-euclidean").with_base(moved).adapt(support)(query + 3)
    assert_close(nearest, torch.from_numpy(-cdist(predicted, support.descriptors.numpy(), "sqeuclidean")))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["no intercept", "classes weigh equally", "twice the penalty"])
def test_another_regression_would_be_noticed(slip):
    base, support, query, _ = world()
    x, y, side = arrays(base)
    weight = 1 / np.bincount(y)[y] if slip == "classes weigh equally" else None
    model = Ridge(alpha=1.2 if slip == "twice the penalty" else 0.6, fit_intercept=slip != "no intercept")
    predicted = model.fit(x, side[y], weight).predict(query.numpy())
    wrong = torch.from_numpy(1 - cdist(predicted, support.descriptors.numpy(), "cosine"))
    right = DescriptorRegression(0.6).with_base(base).adapt(support)(query)
    assert float((right - wrong).abs().max()) > 1e-3


# ConSE ------------------------------------------------------------------------------------------------


def slow_conse(base, support, query, top, slip=None):
    x, y, side = arrays(base)
    probabilities = LogisticRegression(C=1.0, max_iter=1000).fit(x, y).predict_proba(query.numpy())
    scores = []
    for p in probabilities:
        best = sorted(range(len(p)), key=lambda k: -p[k])[: len(p) if slip == "all classes" else top]
        share = [1.0 if slip == "even shares" else p[k] for k in best]
        e = sum(w * side[k] for w, k in zip(share, best, strict=True)) / sum(share)
        scores.append([
            float(e @ s) if slip == "product for cosine" else float(e @ s / np.linalg.norm(e) / np.linalg.norm(s))
            for s in support.descriptors.numpy()
        ])  # fmt: skip
    return torch.tensor(scores, dtype=torch.float64)


@pytest.mark.parametrize("top", [1, 2, 10])
def test_conse_is_the_slow_loop(top):
    base, support, query, _ = world()
    assert_close(
        ConSE(top).with_base(base).adapt(support)(query), slow_conse(base, support, query, top), rtol=1e-6, atol=1e-7
    )


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["all classes", "even shares", "product for cosine"])
def test_another_conse_would_be_noticed(slip):
    base, support, query, _ = world()
    right = ConSE(2).with_base(base).adapt(support)(query)
    assert float((right - slow_conse(base, support, query, 2, slip)).abs().max()) > 1e-3


def test_conse_of_one_takes_the_class_nearest_to_the_most_probable_one():
    base, support, query, _ = world()
    x, y, side = arrays(base)
    top = LogisticRegression(max_iter=1000).fit(x, y).predict(query.numpy())
    nearest = cdist(side[top], support.descriptors.numpy(), "cosine").argmin(1)
    assert ConSE(1).with_base(base).adapt(support)(query).argmax(-1).tolist() == nearest.tolist()


def test_conse_with_two_base_classes():
    base, support, query, _ = world(shots=(4, 6))
    assert_close(
        ConSE(2).with_base(base).adapt(support)(query), slow_conse(base, support, query, 2), rtol=1e-6, atol=1e-7
    )


# All of them ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_the_contract_is_kept(learner):
    # ConSE mixes few base descriptors, and products of ESZSL favour long descriptors; five bits coincide: no learner for eight base classes
    learns = not isinstance(learner, (ConSE, ESZSL, DAP, IAP))
    check_learner(learner, shots=(0, 0, 0), side_shape=(5,), absent_class="handled", learns=learns)


@pytest.mark.parametrize("learner", [SAE(1.0), SAE(1.0, "to-features"), DescriptorRegression(1e-9)], ids=str)
def test_perfect_descriptors_classify_perfectly(learner):
    base, support, query, asked = world(shots=(8,) * 8, noise=0.0)
    assert learner.with_base(base).adapt(support)(query).argmax(-1).tolist() == asked.tolist()


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_batches_examples_and_precision(learner):
    cases = [world(seed=k) for k in range(2)]
    base, fitted = cases[0][0], learner.with_base(cases[0][0])
    stacked = torch.stack([case[1].descriptors for case in cases])
    support = SupportSet(torch.zeros(2, 0, DIM).double(), torch.zeros(2, 0, dtype=torch.long), 3, descriptors=stacked)
    query = torch.stack([case[2] for case in cases])
    together = fitted.adapt(support)(query)
    assert_close(together, torch.stack([fitted.adapt(case[1])(case[2]) for case in cases]))
    with_examples = SupportSet(query[0, :3], torch.tensor([0, 1, 2]), 3, descriptors=stacked[0])
    assert_close(fitted.adapt(with_examples)(query[0]), together[0])
    assert fitted.adapt(cases[0][1])(query[0].float()).dtype == torch.float32
    assert base.x.dtype == torch.float64 and learner == type(learner)(
        *[getattr(learner, f) for f in list(learner.__dataclass_fields__)]
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_base_items_that_are_not_finite_are_refused(learner, value):
    base = world()[0]
    x = base.x.clone()
    x[2, 1] = x[2, 3] = x[5, 0] = value
    with pytest.raises(
        EpisodeError, match=r"items of base classes must be finite, got nan or infinity in 2 of 21; replace"
    ):
        learner.with_base(replace(base, x=x))


@pytest.mark.parametrize(
    "learner", [ESZSL(), SAE(), DescriptorRegression(), ConSE(), DAP(), IAP(), DescriptorKernel()], ids=str
)
def test_what_is_missing_is_named(learner):
    base, support, _, _ = world()
    with pytest.raises(
        NotFittedError, match=rf"{type(learner).__name__} learns from base classes, got none; call learner"
    ):
        learner.adapt(support)
    fitted = learner.with_base(base)
    longer = SupportSet(support.x, support.y, 3, descriptors=torch.ones(3, SIDE + 1))
    with pytest.raises(EpisodeError, match=r"classes must be described by 4 numbers, as the base classes were, got 5"):
        fitted.adapt(longer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ESZSL(gamma=0.0), r"gamma and lam must be above 0, got 0.0 and 1.0"),
        (lambda: ESZSL(targets="ones"), r"targets must be one of signs, zero-one, got 'ones'"),
        (lambda: SAE(lam=-1.0), r"lam must be above 0, got -1.0"),
        (lambda: SAE(direction="back"), r"direction must be one of to-descriptors, to-features, got 'back'"),
        (lambda: DescriptorRegression(alpha=-1.0), r"alpha must not be negative, got -1.0"),
        (lambda: DescriptorRegression(metric="l1"), r"metric must be one of cosine, squared-euclidean, got 'l1'"),
        (lambda: ConSE(top=0), r"top must be a whole number of at least 1, got 0"),
        (lambda: ConSE().with_base(world(shots=(4,))[0]), r"ConSE needs two base classes or more, got 1"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(make, message):
    with pytest.raises(FewShotError, match=message):
        make()


def test_learners_are_told_apart():
    base, support, query, _ = world()
    scores = [learner.with_base(base).adapt(support)(query) for learner in LEARNERS]
    for a, b in itertools.combinations(scores, 2):
        assert not torch.allclose(a, b)
