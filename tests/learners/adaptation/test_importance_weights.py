"""KMM by scipy's SLSQP, KLIEP by scipy under its constraint, uLSIF by refitting without each pair of rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC
from torch.testing import assert_close
from two_domains import shifted

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, ShapeError
from fewshot.learners.adaptation import kliep, kmm, ulsif
from fewshot.learners.adaptation.gaussians import in_order, mean_kernel, median_distance, spread_rows
from fewshot.learners.adaptation.importance import effective_size, fit_weighted
from fewshot.learners.adaptation.kliep import KLIEP, kliep_weights, likeliest_width
from fewshot.learners.adaptation.kmm import KMM, kmm_weights
from fewshot.learners.adaptation.ulsif import ULSIF, chosen, ulsif_weights
from fewshot.learners.linear.logistic_regression import LogisticRegression as Plain
from fewshot.testing import check_learner


def rows(seed=0, n=12, m=9, dim=2, shift=1.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)), rng.normal(size=(m, dim)) + shift


def kernel(a, b, width):
    return np.array(
        [[np.exp(-sum((p - q) ** 2 for p, q in zip(i, j, strict=True)) / (2 * width**2)) for j in b] for i in a]
    )


def tensors(*arrays):
    return tuple(torch.from_numpy(a) for a in arrays)


# Kernel mean matching -------------------------------------------------------------------------------


def kmm_oracle(x, t, width, bound=1000.0, slack=None, slip=None):
    n = len(x)
    k = kernel(x, x, width * 2**0.5 if slip == "no factor of two" else width)
    kappa = kernel(x, t, width).sum(1) * (1 / len(t) if slip == "no n" else 1.0 if slip == "sums" else n / len(t))
    eps = (n**0.5 - 1) / n**0.5 if slack is None else slack
    band = 0.02 if slip == "a narrow band" else eps
    return minimize(
        lambda b: b @ k @ b / 2 - kappa @ b,
        np.full(n, 1.0),
        jac=lambda b: k @ b - kappa,
        bounds=[(0, 1.5 if slip == "another bound" else bound)] * n,
        constraints=[
            {"type": "ineq", "fun": lambda b: b.sum() - n * (1 - band), "jac": lambda b: np.ones(n)},
            {"type": "ineq", "fun": lambda b: n * (1 + band) - b.sum(), "jac": lambda b: -np.ones(n)},
        ],
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    ).x


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limits", [{}, {"bound": 1.5}, {"slack": 0.05}, {"bound": 1.2, "slack": 0.1}], ids=str)
def test_kmm_weights_are_those_of_slsqp(seed, limits):
    x, t = rows(seed)
    ours = kmm_weights(*tensors(x, t), 0.8, **limits)
    assert_close(ours, torch.from_numpy(kmm_oracle(x, t, 0.8, **limits)), rtol=1e-4, atol=1e-4)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["no factor of two", "no n", "sums", "a narrow band", "another bound"])
def test_wrong_kmm_formulas_fail_the_oracle(slip):
    x, t = rows(1)
    with pytest.raises(AssertionError):
        assert_close(
            kmm_weights(*tensors(x, t), 0.8), torch.from_numpy(kmm_oracle(x, t, 0.8, slip=slip)), rtol=1e-4, atol=1e-4
        )


def test_kmm_meets_the_conditions_of_optimality_on_300_rows():
    x, t = rows(3, 300, 200)
    beta = kmm_weights(*tensors(x, t), 1.0).numpy()
    slope = kernel(x, x, 1.0) @ beta - 300 * kernel(x, t, 1.0).mean(1)
    assert abs(beta.sum() / 300 - 1) < (300**0.5 - 1) / 300**0.5 - 1e-3  # the band is not reached, so has no price
    assert abs(slope[beta > 1e-4]).max() < 1e-5
    assert slope.min() > -1e-5


def test_many_rows_take_a_kernel_of_few_and_the_same_weights(monkeypatch):
    x, t = tensors(*rows(4, 400, 300))
    full = kmm_weights(x, t, 1.5)
    monkeypatch.setattr(kmm, "MOST", 100)
    monkeypatch.setattr(kmm, "RANK", 200)
    few = kmm_weights(x, t, 1.5)
    assert np.corrcoef(full, few)[0, 1] > 0.98
    gap = [
        float(w @ torch.from_numpy(kernel(x.numpy(), x.numpy(), 1.5)) @ w / 2 - 400 * mean_kernel(x, t, 1.5) @ w)
        for w in (full, few)
    ]
    assert abs(gap[1] / gap[0] - 1) < 1e-6


# KLIEP ----------------------------------------------------------------------------------------------


def kliep_oracle(x, t, width, slip=None):
    """Eq. 9 of Sugiyama et al. (2008) with all rows of the target as centres."""
    of_x, of_t = kernel(x, t, width), kernel(t, t, width)
    mean = (of_t if slip == "constraint on the target" else of_x).mean(0)
    log = (lambda v: v) if slip == "no logarithm" else np.log
    slope = (lambda v: np.ones_like(v)) if slip == "no logarithm" else (lambda v: 1 / v)
    rows = of_x if slip == "likelihood of the source" else of_t
    alpha = minimize(
        lambda a: -log(rows @ a).mean(),
        np.full(len(t), 1 / mean.sum()),
        jac=lambda a: -(slope(rows @ a)[:, None] * rows).mean(0),
        bounds=[(0, None)] * len(t),
        constraints=[{"type": "eq", "fun": lambda a: mean @ a - 1, "jac": lambda a: mean}],
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    ).x
    return of_x @ alpha


@pytest.mark.parametrize("seed", range(5))
def test_kliep_weights_are_those_of_scipy(seed):
    x, t = rows(seed, 20, 8)
    ours = kliep_weights(*tensors(x, t), 0.9)
    assert_close(ours, torch.from_numpy(kliep_oracle(x, t, 0.9)), rtol=1e-3, atol=1e-3)
    assert_close(ours.mean(), torch.tensor(1.0, dtype=torch.float64))


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["constraint on the target", "no logarithm", "likelihood of the source"])
def test_wrong_kliep_formulas_fail_the_oracle(slip):
    x, t = rows(1, 20, 8)
    with pytest.raises(AssertionError):
        assert_close(
            kliep_weights(*tensors(x, t), 0.9), torch.from_numpy(kliep_oracle(x, t, 0.9, slip)), rtol=1e-3, atol=1e-3
        )


def test_the_width_of_kliep_is_the_likeliest_of_rows_held_out():
    x, t = rows(2, 40, 25)
    t = t[np.lexsort(t.T[::-1])]
    median = np.median(
        [np.linalg.norm(a - b) for i, a in enumerate(np.concatenate([x, t])) for b in np.concatenate([x, t])[:i]]
    )
    scores = []
    for width in median * np.array(kliep.WIDTHS):
        total = 0.0
        for k in range(5):
            kept, out = t[np.arange(25) % 5 != k], t[np.arange(25) % 5 == k]
            both = np.concatenate([x, out])
            w = np.linalg.lstsq(kernel(x, kept, width), kliep_oracle(x, kept, width), rcond=None)[0]
            total += np.log(np.maximum(kernel(both, kept, width)[len(x) :] @ w, 1e-300)).sum()
        scores.append(total)
    assert likeliest_width(*tensors(x, t)) == pytest.approx(median * kliep.WIDTHS[int(np.argmax(scores))], rel=1e-2)


# uLSIF ----------------------------------------------------------------------------------------------


def ulsif_oracle(x, t, width, penalty, slip=None):
    of_x, of_t = kernel(x, t, width), kernel(t, t, width)
    h = of_x.T @ of_x / (1 if slip == "a sum" else len(x))
    eye = np.ones_like(h) if slip == "a penalty on the sum" else np.eye(len(h))
    alpha = np.linalg.solve(h + penalty * eye, of_x.mean(0) if slip == "mean of the source" else of_t.mean(0))
    return of_x @ (alpha if slip == "negative coefficients" else np.maximum(alpha, 0))


@pytest.mark.parametrize("seed", range(5))
def test_ulsif_weights_are_the_closed_form(seed):
    x, t = rows(seed, 20, 8)
    ours = ulsif_weights(*tensors(x, t), 0.9, 0.02)
    assert_close(ours, torch.from_numpy(ulsif_oracle(x, t, 0.9, 0.02)), rtol=1e-9, atol=1e-9)


@pytest.mark.slip
@pytest.mark.parametrize("slip", ["a sum", "a penalty on the sum", "mean of the source", "negative coefficients"])
def test_wrong_ulsif_formulas_fail_the_oracle(slip):
    x, t = rows(1, 20, 8)
    with pytest.raises(AssertionError):
        assert_close(ulsif_weights(*tensors(x, t), 0.9, 0.02), torch.from_numpy(ulsif_oracle(x, t, 0.9, 0.02, slip)))


def refitted_error(x, t, width, penalty):
    """Section 3.1: each pair of rows left out, and all solved anew; centres stay."""
    x, t, centres = x[np.lexsort(x.T[::-1])], t[np.lexsort(t.T[::-1])], t[np.lexsort(t.T[::-1])]
    pairs = min(len(x), len(t))
    out_x, out_t = (np.arange(pairs) * len(x)) // pairs, (np.arange(pairs) * len(t)) // pairs
    errors = []
    for i, j in zip(out_x, out_t, strict=True):
        of_x = kernel(np.delete(x, i, 0), centres, width)
        of_t = kernel(np.delete(t, j, 0), centres, width)
        alpha = np.maximum(np.linalg.solve(of_x.T @ of_x / len(of_x) + penalty * np.eye(len(t)), of_t.mean(0)), 0)
        here, there = (kernel(row[None], centres, width)[0] @ alpha for row in (x[i], t[j]))
        errors.append(here**2 / 2 - there)
    return np.mean(errors)


@pytest.mark.parametrize("sizes", [(14, 9), (9, 14), (10, 10)])
def test_leaving_out_in_closed_form_is_leaving_out(sizes):
    x, t = rows(5, *sizes)
    a, b = tensors(x, t)
    centres = in_order(b)
    tables = (
        ulsif.gaussian(part, centres, 0.7) for part in (a, b, spread_rows(a, min(sizes)), spread_rows(b, min(sizes)))
    )
    assert ulsif.left_out_error(*tables, 0.05) == pytest.approx(refitted_error(x, t, 0.7, 0.05), rel=1e-9)


def test_width_and_penalty_have_the_least_error():
    x, t = rows(6, 15, 12)
    width, penalty = chosen(*tensors(x, t))
    median = median_distance(*tensors(x, t))
    table = {(f * median, p): refitted_error(x, t, f * median, p) for f in ulsif.WIDTHS for p in ulsif.PENALTIES}
    best = min(table, key=table.get)
    assert (width, penalty) == pytest.approx(best)
    assert chosen(*tensors(x, t), width=0.3)[0] == 0.3


# A known ratio --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("find", "least"),
    [
        (lambda x, t: kmm_weights(x, t, median_distance(x, t)), 0.9),
        (lambda x, t: kliep_weights(x, t, likeliest_width(x, t)), 0.9),
        (lambda x, t: ulsif_weights(x, t, *chosen(x, t)), 0.95),
    ],
    ids=["kmm", "kliep", "ulsif"],
)
def test_weights_follow_a_ratio_of_gaussians_that_is_known(find, least):
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(600, 1)), 0.5 + 0.7 * rng.normal(size=(600, 1))
    truth = norm.pdf(x[:, 0], 0.5, 0.7) / norm.pdf(x[:, 0])
    found = find(*tensors(x, t)).numpy()
    assert np.corrcoef(found, truth)[0, 1] > least
    assert found.mean() == pytest.approx(1, abs=0.05)


# The head -------------------------------------------------------------------------------------------


def test_heads_are_scikit_learns_with_sample_weights():
    support, query = shifted()
    w = torch.rand(len(support.x), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x, y, q, mean_1 = support.x.numpy(), support.y.numpy(), query.numpy(), (w / w.mean()).numpy()
    theirs = LogisticRegression(C=0.7, tol=1e-10, max_iter=10_000).fit(x, y, mean_1).predict_log_proba(q)
    assert_close(
        fit_weighted("logistic", support.x, support.y, 3, w, 0.7)(query), torch.from_numpy(theirs), rtol=1e-5, atol=1e-5
    )
    theirs = Ridge(1 / 0.7).fit(x, np.eye(3)[y], mean_1).predict(q)
    assert_close(
        fit_weighted("ridge", support.x, support.y, 3, w, 0.7)(query), torch.from_numpy(theirs), rtol=1e-8, atol=1e-8
    )
    theirs = SVC(kernel="linear", C=0.7).fit(x, y, mean_1).predict(q)
    assert (fit_weighted("svm", support.x, support.y, 3, w, 0.7)(query).argmax(-1).numpy() == theirs).all()


def test_only_ratios_of_weights_count_and_rows_without_weight_may_be_anything():
    support, query = shifted()
    w = torch.linspace(0.1, 1, len(support.x), dtype=torch.float64)
    for head in ("logistic", "ridge", "svm"):
        plain = fit_weighted(head, support.x, support.y, 3, w, 1.0)(query)
        assert_close(fit_weighted(head, support.x, support.y, 3, 1000 * w, 1.0)(query), plain)
        x, y = torch.cat([support.x, 50 + support.x[:1]]), torch.cat([support.y, support.y[:1]])
        scale = len(x) / len(support.x)  # of the mean weight, which C is relative to
        more = fit_weighted(head, x, y, 3, torch.cat([w, w.new_zeros(1)]), 1.0 / scale)(query)
        assert_close(more, plain, rtol=1e-4, atol=1e-4)


def test_the_effective_size_of_equal_weights_is_their_number():
    assert effective_size(torch.full((7,), 0.3)) == pytest.approx(7)
    assert effective_size(torch.tensor([1.0, 0.0, 0.0])) == pytest.approx(1)
    assert effective_size(torch.tensor([3.0, 1.0])) == pytest.approx(1.6)
    assert effective_size(torch.zeros(3)) == 0


# Learners -------------------------------------------------------------------------------------------

LEARNERS = [ULSIF(), ULSIF(width=5.0, penalty=0.1, adapt_to="queries", head="ridge"), KLIEP(width=5.0)]


@pytest.mark.parametrize("learner", LEARNERS, ids=str)
def test_keeps_the_contract(learner):
    check_learner(learner, shots=(10, 8, 9), unlabelled=14)


def test_kernel_mean_matching_keeps_the_contract():
    check_learner(KMM(), shots=(20, 16, 18), unlabelled=30)


def test_keeps_the_contract_with_a_machine():
    check_learner(KMM(head="svm"), shots=(20, 16, 18), unlabelled=30, numbers=False)


@pytest.mark.parametrize("learner", [KMM(), KLIEP(), ULSIF()], ids=str)
def test_the_pool_may_come_in_any_order_and_as_queries(learner):
    support, query = shifted(pool=40, shift=0.4)
    scores = learner.adapt(support)(query)
    back = type(support)(support.x, support.y, 3, unlabelled=support.unlabelled.flip(0))
    assert_close(learner.adapt(back)(query), scores, rtol=1e-6, atol=1e-6)
    asked = type(learner)(adapt_to="queries").adapt(type(support)(support.x, support.y, 3))
    pool = type(support)(support.x, support.y, 3, unlabelled=query)
    try:
        wanted = learner.adapt(pool)(query)
    except EpisodeError as refused:
        with pytest.raises(EpisodeError, match=str(refused)[:40]):
            asked(query)
    else:
        assert_close(asked(query), wanted)


def test_a_shift_of_covariates_is_answered_better():
    """The class hangs on the column in a way that no line holds; weights make the line right where the target is."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(500, 1)), 1.5 + 0.4 * rng.normal(size=(500, 1))
    label = lambda z: ((z > 1.5) | ((z > -1) & (z < 0.0))).astype(int)[:, 0]  # noqa: E731
    support = SupportSet(torch.from_numpy(x), torch.from_numpy(label(x)), 2, unlabelled=torch.from_numpy(t))
    truth = torch.from_numpy(label(t))
    plain = (Plain().adapt(support)(torch.from_numpy(t)).argmax(-1) == truth).double().mean()
    for learner in (KMM(C=100.0), KLIEP(C=100.0), ULSIF(C=100.0)):
        weighted = (learner.adapt(support)(torch.from_numpy(t)).argmax(-1) == truth).double().mean()
        assert weighted > plain + 0.1


# Errors ---------------------------------------------------------------------------------------------


def test_errors_say_what_must_hold():
    support, query = shifted(shift=4.0, pool=30)
    near = type(support)(support.x, support.y, 3, unlabelled=support.x[:3] + 0.01)
    with pytest.raises(
        EpisodeError, match=r"at least 10 rows of the source, got an effective size of \d\.\d of 34 rows; choose"
    ):
        KLIEP(width=0.7).adapt(near)(query)
    with pytest.raises(
        EpisodeError, match=r"a row of the source must be near the target, got none within reach of the width 0\.01"
    ):
        KLIEP(width=0.01).adapt(support)(query)
    with pytest.raises(EpisodeError, match=r"every class must keep weight, got none for classes \[1\]"):
        fit_weighted("logistic", support.x, support.y, 3, (support.y != 1).double(), 1.0)
    one = type(support)(support.x, support.y, 3, unlabelled=support.unlabelled[:1])
    with pytest.raises(EpisodeError, match="a width is chosen on two rows of the target or more, got 1; give a width"):
        KLIEP().adapt(one)(query)
    with pytest.raises(EpisodeError, match="two rows of each domain or more, got 34 and 1; give both"):
        ULSIF().adapt(one)(query)
    with pytest.raises(EpisodeError, match="rows of the target without labels, got none"):
        KMM().adapt(type(support)(support.x, support.y, 3))
    for make, sentence in [
        (
            lambda: KMM(head="k-nearest-neighbours"),
            "head must take weights: one of logistic, ridge, svm, got 'k-nearest",
        ),
        (lambda: KMM(bound=1.0), "bound must be a finite number above 1, got 1.0"),
        (lambda: KMM(slack=0.0), "slack must be a finite number above 0, got 0.0"),
        (lambda: KLIEP(centres=0), "centres must be a whole number of at least 1, got 0"),
        (lambda: ULSIF(penalty=-1.0), "penalty must be a finite number above 0, got -1.0"),
        (lambda: ULSIF(adapt_to="all"), "adapt_to must be 'pool' or 'queries', got 'all'"),
        (lambda: KLIEP(C=0.0), "C must be a finite number above 0, got 0.0"),
    ]:
        with pytest.raises(FewShotError, match=sentence):
            make()


@pytest.mark.parametrize("learner", [KMM(), KLIEP(), ULSIF()], ids=str)
def test_two_domains_must_have_the_same_columns_and_numbers(learner, no_shape_hook):
    support, _ = shifted()
    with pytest.raises(ShapeError, match="source and target must have the same columns"):
        learner.adapt(replace(support, unlabelled=support.unlabelled[:, :2]))
    with pytest.raises(EpisodeError, match="numbers of the target must be finite"):
        learner.adapt(replace(support, unlabelled=support.unlabelled * torch.nan))
    with pytest.raises(EpisodeError, match="at least two classes, got 1"):
        learner.adapt(replace(support, y=torch.zeros_like(support.y), n_way=1))
