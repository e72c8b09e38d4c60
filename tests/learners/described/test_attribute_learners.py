"""DAP and IAP: products over attributes and classes, one at a time; a class is what its attributes say."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from described import base_of, new_classes
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.learners.described.attributes import attribute_prior, binary_attributes, signature_scores
from fewshot.learners.described.dap import DAP
from fewshot.learners.described.iap import IAP
from fewshot.testing import check_learner

NONE = {"shots": (0, 0, 0), "side_shape": (12,), "absent_class": "handled"}
SHOTS = (7, 2, 9, 1, 12, 3, 4)  # far from balanced: a prior over items is another one
OPTIONS = [("table-mean", "base"), ("attribute-mean", "base"), ("table-mean", "uniform"), (0.3, "base")]


def world(seed=0):
    """Base classes and new ones; attributes have means of their own, so that thresholds matter."""
    base, (support, query, asked) = base_of(SHOTS, seed=seed, length=5), new_classes(length=5, seed=seed + 1)
    shift = torch.tensor([0.4, -0.3, 0.2, 0.0, -0.2])
    return (
        replace(base, descriptors=base.descriptors + shift),
        replace(support, descriptors=support.descriptors + shift),
        query,
        asked,
    )


def arrays(base):
    return base.x[0].numpy(), base.y[0].numpy(), base.descriptors[0].numpy()


def slow_threshold(table, threshold):
    if threshold == "table-mean":
        return [sum(table.flatten()) / table.size] * table.shape[1]
    if threshold == "attribute-mean":
        return [sum(column) / len(column) for column in table.T]
    return [threshold] * table.shape[1]


def slow_scores(posterior, base, support, threshold, prior, slip):
    """The paper's product, whose logarithm is taken last; ``posterior[i][m]`` is p(a_m = 1 | x_i)."""
    _, y, table = arrays(base)
    new = support.descriptors[0].numpy()
    other = {"table-mean": "attribute-mean", "attribute-mean": "table-mean"}.get(threshold, 0.0)
    level = slow_threshold(table, other if slip == "another threshold" else threshold)
    new_level = slow_threshold(new, threshold) if slip == "thresholds of the new classes" else level
    counted = table[y] if slip == "prior over items" else table
    scores = np.zeros((len(posterior), len(new)))
    for i, c in np.ndindex(*scores.shape):
        product = 1.0
        for m in range(table.shape[1]):
            has = new[c, m] > new_level[m]
            p = np.mean([row[m] > level[m] for row in counted]) if prior == "base" else 0.5
            p = 0.5 if slip == "no prior" else p
            if has or slip != "present only":
                product *= (posterior[i][m] if has else 1 - posterior[i][m]) / (p if has else 1 - p)
        scores[i, c] = math.log(product)
    return torch.from_numpy(scores)[None]


def slow_dap(base, support, query, threshold, prior, slip=None, C=0.7):
    x, y, table = arrays(base)
    level, posterior = slow_threshold(table, threshold), []
    for m in range(table.shape[1]):
        wanted = [int(table[k, m] > level[m]) for k in y]
        even = "balanced" if slip == "balanced attributes" else None
        model = LogisticRegression(C=C, tol=1e-12, max_iter=10000, class_weight=even).fit(x, wanted)
        posterior.append(model.predict_proba(query[0].numpy())[:, 1])
    return slow_scores(np.transpose(posterior), base, support, threshold, prior, slip)


def slow_iap(base, support, query, threshold, prior, slip=None, C=0.7):
    x, y, table = arrays(base)
    level, posterior = slow_threshold(table, threshold), []
    for p in LogisticRegression(C=C, max_iter=1000).fit(x, y).predict_proba(query[0].numpy()):
        p = p**2 / sum(p**2) if slip == "squared probabilities" else p
        row = []
        for m in range(table.shape[1]):
            having = [p[k] for k in range(len(table)) if table[k, m] > level[m]]
            lacking = [p[k] for k in range(len(table)) if not table[k, m] > level[m]]
            if slip == "mean over classes":
                having, lacking = [np.mean(having)], [np.mean(lacking)]
            if slip == "likeliest class of each kind":
                having, lacking = [max(having)], [max(lacking)]
            row.append(sum(having) / (sum(having) + sum(lacking)))
        posterior.append(row)
    return slow_scores(posterior, base, support, threshold, prior, slip)


SLOW = {DAP: slow_dap, IAP: slow_iap}


@pytest.mark.parametrize(("threshold", "prior"), OPTIONS)
@pytest.mark.parametrize("make", SLOW)
def test_scores_are_the_products_of_the_paper(make, threshold, prior):
    base, support, query, _ = world()
    ours = make(0.7, threshold, prior).with_base(base).adapt(support)(query)
    assert_close(ours, SLOW[make](base, support, query, threshold, prior), rtol=1e-4, atol=1e-4)


SHARED = ["no prior", "present only", "prior over items", "thresholds of the new classes", "another threshold"]
SLIPS = [(make, slip) for make in SLOW for slip in SHARED]
SLIPS += [
    (DAP, "balanced attributes"),
    (IAP, "mean over classes"),
    (IAP, "likeliest class of each kind"),
    (IAP, "squared probabilities"),
]


@pytest.mark.slip
@pytest.mark.parametrize(("make", "slip"), SLIPS)
def test_another_formula_would_be_noticed(make, slip):
    base, support, query, _ = world()
    ours = make(0.7, "attribute-mean").with_base(base).adapt(support)(query)
    wrong = SLOW[make](base, support, query, "attribute-mean", "base", slip)
    gap = ours - wrong
    assert float((gap - gap.mean(-1, keepdim=True)).abs().max()) > 0.05  # more than a constant per query


def test_a_known_number():
    """By hand: 0.9 · 0.8 · 0.5 / (0.5 · 0.75 · 0.5) = 1.92 for the class that has the first and the third attribute."""
    p, prior = torch.tensor([0.9, 0.2, 0.5]).double(), torch.tensor([0.5, 0.25, 0.5]).double()
    weight = torch.stack([torch.zeros(3).double(), torch.logit(p)], 1)
    learner = DAP(weight=weight, level=torch.zeros(3).double(), frequency=prior)
    none = torch.zeros(0, 1).double(), torch.zeros(0, dtype=torch.long)
    support = SupportSet(*none, 2, descriptors=torch.tensor([[1.0, -1.0, 3.0], [-1.0, 2.0, 2.0]]))
    scores = learner.adapt(support)(torch.ones(1, 1).double())
    assert_close(scores.exp(), torch.tensor([[1.92, (0.1 * 0.2 * 0.5) / (0.5 * 0.25 * 0.5)]]).double())


@pytest.mark.parametrize("prior", ["base", "uniform"])
def test_perfect_posteriors_tell_distinct_signatures_apart(prior):
    has = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double()
    sure = (
        torch.where(has > 0, math.log1p(-1e-9), math.log(1e-9)),
        torch.where(has > 0, math.log(1e-9), math.log1p(-1e-9)),
    )
    share = has[[0, 3, 5, 14, 15]]  # attributes of unequal frequency
    assert signature_scores(*sure, has, attribute_prior(share, prior)).argmax(-1).tolist() == list(range(16))


def bits(law_seed=5):
    """Items that are signatures seen through a matrix: five of eight are known, three are not."""
    table = np.array(list(itertools.product([0.0, 1.0], repeat=3)))
    law = np.random.default_rng(law_seed).normal(size=(3, 6))
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(5), (4, 1, 6, 2, 3)))
    order = np.array([0, 3, 5, 6, 1, 2, 4, 7])
    items = 4 * (2 * table[order] - 1) @ law
    base = SupportSet(torch.from_numpy(items[y]), torch.from_numpy(y), 5, torch.from_numpy(table[order[:5]]))
    none = torch.zeros(0, 6).double(), torch.zeros(0, dtype=torch.long)
    new = SupportSet(*none, 3, descriptors=torch.from_numpy(table[order[5:]]))
    return base, new, torch.from_numpy(items[5:])


def test_dap_recognises_new_combinations_of_attributes_that_are_seen_without_noise():
    base, new, query = bits()
    assert DAP(1e4, 0.5).with_base(base).adapt(new)(query).argmax(-1).tolist() == [0, 1, 2]


def test_iap_recognises_base_classes_of_distinct_signatures():
    base, _, _ = bits()
    known = SupportSet(base.x[:0], base.y[:0], 5, descriptors=base.descriptors)
    assert IAP(1e4, 0.5).with_base(base).adapt(known)(base.x).argmax(-1).tolist() == base.y.tolist()


@pytest.mark.parametrize("prior", ["base", "uniform"])
@pytest.mark.parametrize("make", SLOW)
def test_what_no_base_classes_differ_in_does_not_count(make, prior):
    base, support, query, _ = world()
    wider = [torch.cat([s.descriptors, torch.full((1, s.n_way, 1), 3.0)], -1) for s in (base, support)]
    wider[1][0, 0, -1] = -3.0  # a new class lacks what every base class has
    learner = make(1.0, 0.1, prior)
    narrow = learner.with_base(base).adapt(support)(query)
    fitted = learner.with_base(replace(base, descriptors=wider[0]))
    assert_close(fitted.adapt(replace(support, descriptors=wider[1]))(query), narrow)


@pytest.mark.parametrize("make", SLOW)
def test_far_items_have_finite_scores(make):
    base, support, query, _ = world()
    for far in (1e6 * query, 1e6 * query.float()):
        assert bool(make().with_base(base).adapt(support)(far).isfinite().all())


@pytest.mark.parametrize("make", SLOW)
def test_binary_tables_are_taken_as_they_are(make):
    base, support, query, _ = world()
    zero_one = [replace(s, descriptors=(s.descriptors > 0.1).double()) for s in (base, support)]
    for threshold in ("table-mean", "attribute-mean", 0.5):
        ours = make(threshold=threshold).with_base(zero_one[0]).adapt(zero_one[1])(query)
        assert_close(ours, make(threshold=0.1).with_base(base).adapt(support)(query))


def test_published_thresholds_are_the_mean_of_the_table(data_root):
    """The binary table of 2009 is the continuous one above the mean of all its numbers, not of each column."""
    folder = data_root("awa1")
    continuous, binary = (
        torch.from_numpy(np.loadtxt(folder / f"predicate-matrix-{k}.txt")) for k in ("continuous", "binary")
    )
    assert torch.equal(binary_attributes(continuous, "table-mean")[1], binary)
    assert not torch.equal(binary_attributes(continuous, "attribute-mean")[1], binary)


@pytest.mark.parametrize("make", SLOW)
def test_keeps_the_contract(make):
    learns = make is IAP  # eight base classes cannot teach twelve attributes one by one
    check_learner(make(100.0, "attribute-mean"), **NONE, learns=learns)


@pytest.mark.parametrize("make", SLOW)
def test_errors_say_what_must_hold(make, no_shape_hook):
    sentence = "threshold must be one of table-mean, attribute-mean, or a finite number, got "
    for wrong in ("median", math.nan):
        with pytest.raises(FewShotError, match=sentence + repr(wrong)):
            make(threshold=wrong)
    with pytest.raises(FewShotError, match="prior must be one of base, uniform, got 'items'"):
        make(prior="items")
    with pytest.raises(FewShotError, match="C must be above 0, got 0"):
        make(C=0)
    base, support, _, _ = world()
    with pytest.raises(
        EpisodeError, match=r"in some base classes and not in others, got none with threshold 100\.0 among 7"
    ):
        make(threshold=100.0).with_base(base)
    with pytest.raises(NotFittedError, match=f"{make.__name__} learns from base classes, got none; call learner"):
        make().adapt(support)
    with pytest.raises(EpisodeError, match="must be described by 5 numbers, as the base classes were, got 4"):
        make().with_base(base).adapt(replace(support, descriptors=support.descriptors[..., :4]))


def test_a_single_base_class_is_refused():
    with pytest.raises(EpisodeError, match="got none with threshold 'attribute-mean' among 1 classes"):
        DAP(threshold="attribute-mean").with_base(base_of((3,)))
    with pytest.raises(FewShotError, match="IAP needs two base classes or more, got 1"):
        IAP().with_base(base_of((3,)))
