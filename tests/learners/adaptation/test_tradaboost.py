"""TrAdaBoost: a slow loop of algorithm 1, three steps by hand, scikit-learn's AdaBoost, and errors on mushrooms."""

import math

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import AdaBoostClassifier
from sklearn.svm import SVC
from torch.testing import assert_close
from two_domains import Marked, few_labels

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adaptation.tradaboost import TrAdaBoost, reweighted, source_factor, target_factor
from fewshot.testing import check_learner


def oracle(support, query, rounds=8, C=1.0, slip=None):
    """Algorithm 1 of Dai et al. (2007) row by row, with scikit-learn's linear machine: answers ``(q,)``."""
    x, y, of_target = support.x.numpy(), support.y.numpy(), support.domain.numpy() == 1
    n, m = (~of_target).sum(), of_target.sum()
    down = 1 / (1 + math.sqrt((1 if slip == "no factor of two" else 2) * math.log(n) / rounds))
    w, votes = np.ones(n + m), np.zeros((rounds, len(query), support.n_way))
    for t in range(rounds):
        model = SVC(kernel="linear", C=C, tol=1e-6).fit(x, y, w / w.mean())
        wrong = model.decision_function(x).argmax(1) != y
        counted = np.ones_like(of_target) if slip == "error on both domains" else of_target
        error = sum(w[i] for i in range(n + m) if counted[i] and wrong[i]) / sum(
            w[i] for i in range(n + m) if counted[i]
        )
        error = min(max(error, 1 / (2 * m)), 0.499)
        beta = error / (1 - error)
        for i in range(n + m):
            if wrong[i] and of_target[i]:
                w[i] *= beta if slip == "target down" else 1 / beta
            elif wrong[i]:
                w[i] *= 1 / down if slip == "source up" else down
        for q, answer in enumerate(model.decision_function(query.numpy()).argmax(1)):
            votes[t, q, answer] = -math.log(beta)
    kept = votes if slip == "all rounds vote" else votes[math.ceil(rounds / 2) - 1 :]
    return kept.sum(0) / kept.sum((0, 2))[:, None]


def hard(seed=0, queries=60):
    """Classes that overlap, so that machines err on both domains."""
    rng = np.random.default_rng(seed)
    y, few, shift = rng.integers(3, size=60), np.tile(np.arange(3), 6), np.array([1.0, -0.5])
    centre = np.array([[0, 0], [1.5, 0], [0, 1.5]])
    x = np.concatenate([centre[y] + rng.normal(size=(60, 2)), centre[few] + rng.normal(size=(18, 2)) + shift])
    domain = torch.cat([torch.zeros(60), torch.ones(18)]).long()
    support = SupportSet(torch.from_numpy(x), torch.from_numpy(np.concatenate([y, few])), 3, domain=domain)
    return support, torch.from_numpy(centre[rng.integers(3, size=queries)] + rng.normal(size=(queries, 2)) + shift)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rounds", [1, 2, 7, 8])
def test_scores_are_those_of_the_slow_loop(seed, rounds):
    support, query = hard(seed)
    wanted = torch.from_numpy(oracle(support, query, rounds))
    assert_close(TrAdaBoost(rounds).adapt(support)(query), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.slip
@pytest.mark.parametrize(
    "slip", ["no factor of two", "error on both domains", "target down", "source up", "all rounds vote"]
)
def test_wrong_formulas_fail_the_oracle(slip):
    support, query = hard(1)
    wanted = torch.from_numpy(oracle(support, query, slip=slip))
    with pytest.raises(AssertionError):
        assert_close(TrAdaBoost(8).adapt(support)(query), wanted, rtol=1e-6, atol=1e-6)


def test_three_steps_by_hand():
    """Two rows of the source and four of the target, each of weight 1; N = 3.

    Round 1 misses the first row of each: ε = 1/4, β_t = 1/3, so 1 becomes 3. Round 2 misses the first of the source and
    the second of the target: ε = 1/6, β_t = 1/5. Round 3 misses nothing of the source and the first of the target: its
    weight is 3 of 3 + 5 + 1 + 1, ε = 3/10, β_t = 3/7.
    """
    down = 1 / (1 + math.sqrt(2 * math.log(2) / 3))
    assert source_factor(2, 3) == pytest.approx(down)
    w = torch.full((6,), 1 / 6, dtype=torch.float64)
    for wrong, beta, wanted in [
        ([1, 0, 1, 0, 0, 0], 1 / 3, [down, 1, 3, 1, 1, 1]),
        ([1, 0, 0, 1, 0, 0], 1 / 5, [down**2, 1, 3, 5, 1, 1]),
        ([0, 0, 1, 0, 0, 0], 3 / 7, [down**2, 1, 7, 5, 1, 1]),
    ]:
        missed = torch.tensor(wrong).bool()
        assert target_factor(w[2:], missed[2:]) == pytest.approx(beta)
        w = reweighted(w, missed, 2, down, target_factor(w[2:], missed[2:]))
        after = torch.tensor(wanted, dtype=torch.float64)
        assert_close(w, after / after.sum())


def test_factors_at_their_ends():
    w = torch.ones(4, dtype=torch.float64)
    none, all_ = torch.zeros(4).bool(), torch.ones(4).bool()
    assert target_factor(w, none) == pytest.approx((1 / 8) / (7 / 8))
    assert target_factor(w, all_) == pytest.approx(0.499 / 0.501)
    assert source_factor(0, 5) == source_factor(1, 5) == 1


class Machine(ClassifierMixin, BaseEstimator):
    """The linear machine with weights of mean 1, as scikit-learn's boosting can use it."""

    def fit(self, x, y, sample_weight):
        self.model_ = SVC(kernel="linear", tol=1e-6).fit(x, y, sample_weight / sample_weight.mean())
        self.classes_ = self.model_.classes_
        return self

    def predict(self, x):
        return self.model_.predict(x)


def test_without_rows_of_the_source_it_is_adaboost():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 40)
    x = rng.normal(size=(80, 2)) + y[:, None]
    support = SupportSet(torch.from_numpy(x), torch.from_numpy(y), 2, domain=torch.ones(80).long())
    theirs = AdaBoostClassifier(Machine(), n_estimators=3).fit(x, y)
    assert len(theirs.estimators_) == 3
    query = rng.normal(size=(50, 2)) + 0.5
    weights = theirs.estimator_weights_[1:]  # rounds 2 and 3 vote
    votes = sum(w * np.eye(2)[m.predict(query)] for w, m in zip(weights, theirs.estimators_[1:], strict=True))
    ours = TrAdaBoost(3).adapt(support)(torch.from_numpy(query))
    assert_close(ours, torch.from_numpy(votes / weights.sum()), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("head", ["logistic", "ridge"])
def test_keeps_the_contract(head):
    check_learner(Marked(TrAdaBoost(2, head)), shots=(20, 16, 18))


def test_keeps_the_contract_with_a_machine():
    check_learner(Marked(TrAdaBoost(5)), shots=(20, 16, 18), numbers=False)


def mushrooms(path):
    """One-hot columns, whether each is poisonous, and whether its stalk tapers: the target."""
    lines = (path / "agaricus-lepiota.data").read_text().splitlines()
    table = np.array([line.split(",") for line in lines if len(line) == 45])
    table = table[-8124:]
    letters = np.delete(table, [0, 10], 1)
    columns = [(letters[:, k] == value) for k in range(letters.shape[1]) for value in np.unique(letters[:, k])]
    return np.stack(columns, 1).astype(float), (table[:, 0] == "p").astype(int), table[:, 10]


def test_errors_on_mushrooms(data_root):
    """Reference: a machine of the source errs on 26.3 %, TrAdaBoost with 1 % of the target's labels on 6.0 ± 2.2 %."""
    x, y, stalk = mushrooms(data_root("transfer") / "mushroom")
    target, source = np.flatnonzero(stalk == "e"), np.flatnonzero(stalk == "t")
    errors, alone = [], []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(target)
        few, rest = order[: len(target) // 100], order[len(target) // 100 :]
        domain = torch.from_numpy(np.repeat([0, 1], [len(source), len(few)]))
        both = np.concatenate([source, few])
        support = SupportSet(torch.from_numpy(x[both]), torch.from_numpy(y[both]), 2, domain=domain)
        answers = TrAdaBoost().adapt(support)(torch.from_numpy(x[rest])).argmax(-1).numpy()
        errors.append((answers != y[rest]).mean())
        alone.append((SVC(kernel="linear").fit(x[source], y[source]).predict(x[rest]) != y[rest]).mean())
    assert np.mean(alone) == pytest.approx(0.263, abs=0.006)
    assert 0.03 < np.mean(errors) < 0.1


def test_errors_say_what_must_hold():
    support, query = few_labels()
    with pytest.raises(EpisodeError, match="needs labelled examples of the target, got none; mark them by 1"):
        TrAdaBoost().adapt(SupportSet(support.x, support.y, 3))
    with pytest.raises(EpisodeError, match="needs labelled examples of the target, got none"):
        TrAdaBoost().adapt(SupportSet(support.x, support.y, 3, domain=torch.zeros_like(support.y)))
    with pytest.raises(EpisodeError, match="a domain must be 0, the source, or 1, the target, got 2"):
        TrAdaBoost().adapt(SupportSet(support.x, support.y, 3, domain=2 * support.domain))
    with pytest.raises(EpisodeError, match="features must be finite"):
        TrAdaBoost().adapt(SupportSet(support.x * torch.nan, support.y, 3, domain=support.domain))
    with pytest.raises(EpisodeError, match="at least two classes, got 1"):
        TrAdaBoost().adapt(SupportSet(support.x, 0 * support.y, 1, domain=support.domain))
    with pytest.raises(FewShotError, match="queries must have the columns of the support, got 2 and 4"):
        TrAdaBoost(2).adapt(support)(query[:, :2])
    with pytest.raises(FewShotError, match="rounds must be a whole number of at least 1, got 0"):
        TrAdaBoost(0)
    with pytest.raises(FewShotError, match="head must take weights: one of logistic, ridge, svm, got 'stump'"):
        TrAdaBoost(head="stump")
