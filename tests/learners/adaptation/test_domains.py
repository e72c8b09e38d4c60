"""What learners between domains share: scaling, the target to adapt to, heads, and what they refuse."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from domain_cases import DistancesHead, domains, nearest
from sklearn.svm import SVC
from torch.testing import assert_close

from fewshot.claims import claims_of
from fewshot.errors import EpisodeError, FewShotError, ShapeError
from fewshot.learners.adaptation import heads, libsvm
from fewshot.learners.adaptation.coral import CORAL
from fewshot.learners.adaptation.coral_published import PublishedCORAL
from fewshot.learners.adaptation.gfk import GFK
from fewshot.learners.adaptation.jda import JDA
from fewshot.learners.adaptation.libsvm import LibSVM
from fewshot.learners.adaptation.pca import JointPCA
from fewshot.learners.adaptation.scaling import fit_scaling, scaling_steps
from fewshot.learners.adaptation.source_only import SourceOnly
from fewshot.learners.adaptation.subspace_alignment import SubspaceAlignment
from fewshot.learners.adaptation.tca import TCA
from fewshot.learners.metric.k_nearest_neighbours import KNearestNeighbours
from fewshot.testing import check_learner

SMALL = {
    SourceOnly: {},
    JointPCA: {"dim": 2},
    SubspaceAlignment: {"dim": 2},
    GFK: {"dim": 2},
    TCA: {"dim": 2},
    JDA: {"dim": 2, "rounds": 2},
    CORAL: {},
    PublishedCORAL: {},
}
every_learner = pytest.mark.parametrize("make", SMALL)


# Scaling --------------------------------------------------------------------------------------------


def scaled(x, steps):
    for step in steps:
        if step == "sum":
            x = np.stack([row / row.sum() for row in x])
        elif step == "unit":
            x = np.stack([row / math.sqrt(row @ row) for row in x])
        else:
            x = np.stack([(column - np.mean(column)) / (np.std(column) or 1) for column in x.T], 1)
    return x


@pytest.mark.parametrize("steps", ["", "sum", "unit", "z-score", "sum, z-score", "z-score,unit", "sum,z-score,unit"])
def test_steps_are_those_of_a_slow_loop(steps):
    x = np.random.default_rng(0).uniform(1, 2, size=(6, 4))
    x[:, 2] = 3 * x.sum(1) if "sum" in steps else 3  # a column that does not vary when its turn comes
    names = scaling_steps(steps)
    assert_close(fit_scaling(names, torch.from_numpy(x))(torch.from_numpy(x)), torch.from_numpy(scaled(x, names)))


@pytest.mark.parametrize("adapt_to", ["pool", "queries"])
def test_each_domain_is_scaled_by_itself(adapt_to):
    support, query, _ = domains(queries=12)
    support, query = support.map(lambda x: x + 50), query + 50
    by = support.unlabelled if adapt_to == "pool" else query
    target = (query - by.mean(0)) / by.std(0, correction=0)
    wanted = nearest(scaled(support.x.numpy(), ["z-score"]), support.y.numpy(), target.numpy(), 3)
    scores = SourceOnly("z-score", adapt_to).adapt(support)(query)
    assert (scores.argmax(-1).numpy() == wanted.argmax(1)).all()


def test_wrong_steps_are_refused():
    with pytest.raises(FewShotError, match="steps of scaling must be among sum, unit, z-score, got 'zscore'; separate"):
        SourceOnly("sum, zscore")
    support, query, _ = domains()
    flat = replace(support, x=torch.cat([support.x[:1] * 0, support.x[1:]]))
    with pytest.raises(EpisodeError, match="rows must have a sum other than 0 to be divided by it, got 0 in row 0"):
        SourceOnly("sum").adapt(flat)(query)
    assert SourceOnly("unit").adapt(flat)(query).isfinite().all()


# Pool and queries -----------------------------------------------------------------------------------


@every_learner
def test_the_pool_is_what_is_adapted_to(make):
    """With the queries as a pool both ways answer alike; another pool changes them."""
    support, query, _ = domains()
    by_pool = make(**SMALL[make]).adapt(replace(support, unlabelled=query))(query)
    by_queries = make(**SMALL[make], adapt_to="queries").adapt(replace(support, unlabelled=None))(query)
    assert_close(by_pool, by_queries, rtol=1e-12, atol=1e-12)
    assert claims_of(make(**SMALL[make], adapt_to="queries")).transductive
    assert not claims_of(make(**SMALL[make])).transductive


@every_learner
def test_no_label_of_the_target_is_there_to_be_seen(make):
    """Answers are a function of the support and the queries: labels of the target can be permuted, or be no numbers."""
    support, query, labels = domains()
    answers = []
    for theirs in (labels, labels.flip(0), torch.full_like(labels, -1)):
        learner = make(**SMALL[make], adapt_to="queries")
        answers.append((learner.adapt(support)(query), theirs))
    assert all(torch.equal(answers[0][0], scores) for scores, _ in answers)
    assert support.y.shape == (len(support.x),)  # labels are of the source alone


@every_learner
def test_what_cannot_be_adapted_to_is_refused(make):
    support, query, _ = domains()
    learner = make(**SMALL[make])
    for pool in (None, support.unlabelled[:0]):
        with pytest.raises(
            EpisodeError, match=r"adapts to a pool needs rows .*, got none; give them as unlabelled, or set"
        ):
            learner.adapt(replace(support, unlabelled=pool))
    with pytest.raises(ShapeError, match=r"must have the same columns, got \(6,\) and \(5,\) an item; take the same"):
        learner.adapt(replace(support, unlabelled=support.unlabelled[:, :5]))
    with pytest.raises(ShapeError, match="must have the same columns"):
        learner.adapt(support)(query[:, :5])
    one = replace(support, y=support.y * 0, n_way=1)
    with pytest.raises(EpisodeError, match="a source needs at least two classes, got 1; give examples of another"):
        learner.adapt(one)
    spoilt = support.unlabelled.clone()
    spoilt[3, 1] = math.nan
    with pytest.raises(
        EpisodeError, match=r"numbers of the target must be finite and at most 1e.100, got NaN or larger"
    ):
        learner.adapt(replace(support, unlabelled=spoilt))
    with pytest.raises(EpisodeError, match="numbers of the source must be finite"):
        learner.adapt(replace(support, x=support.x * math.inf))


def test_images_and_unknown_words_are_refused(no_shape_hook):
    support, _, _ = domains()
    with pytest.raises(ShapeError, match=r"items must be rows of numbers, got shape \(3, 2\) an item; put a backbone"):
        SourceOnly().adapt(support.map(lambda x: x.reshape(-1, 3, 2)))
    with pytest.raises(FewShotError, match="adapt_to must be 'pool' or 'queries', got 'target'"):
        TCA(adapt_to="target")


@pytest.mark.parametrize("scaling", ["", "z-score", "z-score, unit"])
@pytest.mark.parametrize("adapt_to", ["pool", "queries"])
def test_source_only_keeps_the_contract(scaling, adapt_to):
    check_learner(SourceOnly(scaling, adapt_to), unlabelled=20)


# Heads ----------------------------------------------------------------------------------------------


def test_a_head_is_a_learner_a_name_or_a_name_with_options():
    assert SourceOnly().head == KNearestNeighbours()
    assert TCA(head={"k-nearest-neighbours": {"k": 3}}).head == KNearestNeighbours(3)
    assert claims_of(GFK(head="nearest-mean")).scores == "log-probability"
    assert claims_of(GFK()).scores == "rank"
    assert claims_of(JDA(head="bd-cspn")).transductive
    for head, sentence in [
        (KNearestNeighbours, "a head must be a learner, or the name of one"),
        (7, "got 7; take 'k-nearest-neighbours'"),
        ("conse", "a head must answer without base classes, got ConSE; take another"),
        ({"svm": {}, "ridge": {}}, r"a head with options must be one name with them, got \['svm', 'ridge'\]"),
    ]:
        with pytest.raises(FewShotError, match=sentence):
            SourceOnly(head=head)


def test_blocks_of_queries_answer_as_one(monkeypatch):
    support, query, _ = domains(queries=20)
    whole = TCA(2, head=DistancesHead()).adapt(support)(query)
    monkeypatch.setattr(heads, "MOST", 3 * len(support.x))
    assert torch.equal(TCA(2, head=DistancesHead()).adapt(support)(query), whole)


# libsvm ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shots", [(6, 6), (5, 7, 6), (4, 4, 4, 4)])
@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_votes_answer_as_libsvm_predicts(shots, kernel):
    support, query, _ = domains(shots=shots, queries=200, dim=4)
    answers = LibSVM(2.0, kernel).adapt(support)(query).argmax(-1).numpy()
    machine = SVC(C=2.0, kernel=kernel, gamma=1 / 4).fit(support.x.numpy(), support.y.numpy())
    assert (machine.predict(query.numpy()) == answers).all()


def test_gamma_matters_and_wrong_numbers_are_refused():
    support, query, _ = domains(queries=100)
    own = LibSVM(gamma=5.0).adapt(support)(query)
    assert not torch.equal(own, LibSVM().adapt(support)(query))
    with pytest.raises(FewShotError, match="C must be a finite number above 0, got 0"):
        LibSVM(0.0)
    with pytest.raises(FewShotError, match="gamma must be a finite number above 0, got -1"):
        LibSVM(gamma=-1.0)
    with pytest.raises(FewShotError, match="kernel must be 'rbf' or 'linear', got 'poly'"):
        LibSVM(kernel="poly")


def of_mean_distance(support, slip=""):
    """1 / mean squared distance, pair by pair."""
    rows = support.x if slip == "source alone" else torch.cat([support.x, support.unlabelled])
    pairs = [
        float((a - b).square().sum())
        for i, a in enumerate(rows)
        for j, b in enumerate(rows)
        if slip != "others" or i != j
    ]
    found = [p**0.5 for p in pairs] if slip == "not squared" else pairs
    return len(found) / sum(found)


def test_gamma_of_the_mean_distance_over_both_domains():
    support, query, _ = domains(queries=60)
    support = support.map(lambda rows: rows * torch.linspace(0.2, 3, rows.shape[-1], dtype=rows.dtype))
    machine = SVC(C=10.0, gamma=of_mean_distance(support)).fit(support.x.numpy(), support.y.numpy())
    ours = LibSVM(10.0, gamma="mean").adapt(support)(query)
    assert (machine.predict(query.numpy()) == ours.argmax(-1).numpy()).all()
    assert libsvm._inverse_distance(support) == pytest.approx(of_mean_distance(support), rel=1e-12)
    for slip in ("source alone", "others", "not squared"):
        assert libsvm._inverse_distance(support) != pytest.approx(of_mean_distance(support, slip), rel=1e-4)
    same = replace(support, x=torch.ones_like(support.x), unlabelled=None)
    with pytest.raises(EpisodeError, match="gamma='mean' needs rows that differ"):
        LibSVM(gamma="mean").adapt(same)


def test_libsvm_keeps_the_contract():
    check_learner(LibSVM(10.0), shots=(4, 3, 5))
    check_learner(LibSVM(10.0, gamma="mean"), shots=(4, 3, 5), unlabelled=20)


def test_a_machine_that_is_not_found_is_refused(monkeypatch):
    support, query, _ = domains()
    monkeypatch.setattr(libsvm, "STEPS", 1)
    for learner in (LibSVM(100.0), PublishedCORAL()):
        with pytest.raises(
            EpisodeError, match="a support vector machine must be found in 1 steps; scale the features or"
        ):
            learner.adapt(support)(query)
