"""Distribution calibration: NumPy's covariances and normal samples, scikit-learn's logistic regression on them."""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from sklearn.linear_model import LogisticRegression
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.functional import require_every_class
from fewshot.learners.linear.distribution_calibration import DistributionCalibration
from fewshot.testing import check_learner


def positive(support):
    """Features as behind a ReLU, some at exactly 0."""
    return support.map(lambda x: (x + 1).relu())


def base_of(dim, shots=(9, 2, 4, 12, 3), seed=1, spread=1.0):
    return positive(episode(shots, dim, seed=seed, episodes=1, spread=spread)[0])


def check(learner, **options):
    """The battery; samples of renamed or reordered items are other samples."""
    check_learner(learner, class_symmetric=False, order_invariant=False, render=torch.abs, **options)


# The transcription ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slow:
    """The authors' script, one support item at a time; subclasses have one slip each."""

    samples: int = 30
    alpha: float = 0.21
    k: int = 2
    statistics: tuple | None = None

    def with_base(self, base):
        x, y = self.base_features(base), base.y[0].numpy()
        groups = [x[y == b] for b in range(base.n_way)]
        return replace(self, statistics=([g.mean(0) for g in groups], [np.cov(g.T) for g in groups]))

    def base_features(self, base):
        return base.x[0].double().numpy()

    def calibrate(self, z):
        means, covariances = map(np.stack, self.statistics)
        near = np.argsort(np.linalg.norm(z - means, axis=1))[: self.k]
        return self.mean(z, means[near]), self.covariance(covariances[near])

    def mean(self, z, means):
        return np.concatenate([means, z[None]]).mean(0)

    def covariance(self, covariances):
        return covariances.mean(0) + self.alpha

    def transform(self, x):
        return np.sqrt(x)

    def count(self, shots):
        return self.samples // shots

    def adapt(self, support):
        require_every_class(support.y, support.n_way)
        if self.statistics is None:
            raise NotFittedError("base classes first")
        fitted = [self.fit(support[e]) for e in range(len(support))]

        def classify(query):
            rows = zip(fitted, query.double().numpy(), strict=True)
            return torch.from_numpy(np.stack([m.predict_log_proba(np.sqrt(q)) for m, q in rows])).to(query.dtype)

        return classify

    def fit(self, support):
        rng = np.random.default_rng(int(support.seed))
        x, y = self.transform(support.x.double().numpy()), support.y.numpy()
        items, labels = [x], [y]
        for z, k in zip(x, y, strict=True):
            mean, covariance = self.calibrate(z)
            count = self.count(int((y == k).sum()))
            items.append(rng.multivariate_normal(mean, covariance, count, method="eigh"))
            labels.append(np.full(count, k))
        return LogisticRegression(max_iter=1000).fit(np.concatenate(items), np.concatenate(labels))


@cache
def clear_case():
    """Few features, and base classes that point in other directions than the all-ones vector."""
    support, query, _ = episode((3, 1, 2), 3, queries=40, seed=4, episodes=1)
    return positive(support), (query + 1).relu(), base_of(3, (40, 30, 50, 20), seed=2)


@cache
def exact():
    support, query, base = clear_case()
    return Slow(samples=60_000).with_base(base).adapt(support)(query).exp()


def agree(learner):
    """Probabilities up to the noise of some ten thousand samples of a class."""
    support, query, base = clear_case()
    assert_close(learner.with_base(base).adapt(support)(query).exp(), exact(), rtol=0, atol=0.02)


def test_with_many_samples_probabilities_are_those_of_the_script():
    agree(DistributionCalibration(samples=60_000))


@settings(max_examples=15)
@given(episodes(), st.integers(1, 4), st.floats(0, 2))
def test_means_and_covariances_are_those_of_the_script(case, k, alpha):
    x = positive(case[0]).x.sqrt()
    base = base_of(x.shape[-1])
    mean, roots = DistributionCalibration(neighbours=k, spread=alpha).with_base(base)._calibrated(x)
    covariance = torch.stack([torch.cat(of).mT @ torch.cat(of) for of in roots])
    slow = [Slow(alpha=alpha, k=k).with_base(base).calibrate(z) for z in x.numpy()]
    assert_close(mean, torch.from_numpy(np.stack([m for m, _ in slow])))
    assert_close(covariance, torch.from_numpy(np.stack([c for _, c in slow])))


def test_samples_have_the_calibrated_means_and_covariances():
    support, _, base = clear_case()
    learner = DistributionCalibration(samples=60_000).with_base(base)
    x = support.x[0].sqrt()
    items, labels = learner._with_samples(x, support[0])
    assert_close(items[:6], x)
    assert labels[:6].tolist() == support.y[0].tolist()
    assert labels[6:].bincount().tolist() == [60_000] * 3
    alone = int((support.y[0] == 1).nonzero())  # the class with one example
    drawn = items[6:][labels[6:] == 1].numpy()
    mean, covariance = Slow().with_base(base).calibrate(x[alone].numpy())
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.05)


@pytest.mark.parametrize("shots", [(3, 1, 2), (2, 1)])
def test_scores_are_scikit_learns_on_the_samples(shots):
    support, query, _ = episode(shots, 5, queries=9)
    support, query, base = positive(support), query.abs(), base_of(5)
    learner = DistributionCalibration(C=0.5).with_base(base)
    items, labels = learner._with_samples(support.x.sqrt(), support)
    model = LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-10, max_iter=1000)
    theirs = model.fit(items.numpy(), labels.numpy()).predict_log_proba(query.sqrt().numpy())
    assert_close(learner.adapt(support)(query), torch.from_numpy(theirs), rtol=1e-5, atol=1e-5)


def test_keeps_the_contract():
    check(DistributionCalibration(samples=100))
    check_learner(DistributionCalibration(power=1.0, samples=60), class_symmetric=False, order_invariant=False)


# Planted wrong formulas -----------------------------------------------------------------------------


class SpreadOnTheDiagonal(Slow):
    def covariance(self, covariances):
        return covariances.mean(0) + self.alpha * np.eye(covariances.shape[-1])


class CovariancesAdded(Slow):
    def covariance(self, covariances):
        return covariances.sum(0) + self.alpha


class ItemLeftOut(Slow):
    """The mean of base classes alone, half-way."""

    def mean(self, z, means):
        return (means.mean(0) + z) / 2


class BaseTransformedToo(Slow):
    def base_features(self, base):
        return np.sqrt(super().base_features(base))


@dataclass(frozen=True)
class OneNeighbour(Slow):
    k: int = 1


class SupportNotTransformed(Slow):
    def transform(self, x):
        return x


WRONG = [SpreadOnTheDiagonal, CovariancesAdded, ItemLeftOut, BaseTransformedToo, OneNeighbour, SupportNotTransformed]


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    check(wrong(), numbers=False)  # scikit-learn does not converge on large features
    with pytest.raises(AssertionError):
        agree(wrong(samples=60_000))


# Edges ----------------------------------------------------------------------------------------------


def test_batches_seeds_and_types():
    support, query, base = *episode((3, 1), 5, episodes=3)[:2], base_of(5)
    support, query, learner = positive(support), query.abs(), DistributionCalibration().with_base(base)
    scores = learner.adapt(support)(query)
    assert_close(learner.adapt(support[1])(query[1]), scores[1])
    other = learner.adapt(replace(support, seed=support.seed + 1))(query)
    assert not torch.allclose(other, scores)
    assert_close(other.exp(), scores.exp(), rtol=0, atol=0.3)
    single = learner.adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, scores.float(), rtol=1e-3, atol=1e-3)


def test_covariances_of_few_items_are_exact_though_singular():
    base = base_of(12, (3, 1, 5))
    learner = DistributionCalibration().with_base(base)
    assert [len(root) for root in learner.roots] == [3, 1, 5]
    rows = base.x[0][base.y[0] == 0]
    assert_close(learner.roots[0].mT @ learner.roots[0], torch.from_numpy(np.cov(rows.numpy().T)))
    assert learner.roots[1].abs().max() == 0


def test_items_of_a_class_share_its_samples():
    support, base = positive(episode((4, 1), 3)[0]), base_of(3)
    learner = DistributionCalibration(samples=10).with_base(base)
    _, labels = learner._with_samples(support.x, support)
    assert labels[5:].bincount().tolist() == [8, 10]
    assert DistributionCalibration(samples=1).with_base(base)._with_samples(support.x, support)[0].shape == (5 + 5, 3)


def test_one_way_is_certain():
    support, query, _ = episode((2,), 3, queries=2)
    scores = DistributionCalibration().with_base(base_of(3)).adapt(positive(support))(query.abs())
    assert scores.tolist() == [[0.0], [0.0]]


def test_a_known_number():
    """By hand: √4 = 2 is nearest to the base means 1 and 3, of variances 2 and 8; (2 + 1 + 3) / 3 and (2 + 8) / 2 + 1."""
    base = SupportSet(torch.tensor([[[0.0], [2.0], [1.0], [5.0], [90.0]]]), torch.tensor([[0, 0, 1, 1, 2]]), 3)
    mean, roots = DistributionCalibration(spread=1.0).with_base(base)._calibrated(torch.tensor([[4.0]]).sqrt())
    covariance = torch.stack([torch.cat(of).mT @ torch.cat(of) for of in roots])
    assert_close(mean, torch.tensor([[2.0]]))
    assert_close(covariance, torch.tensor([[[6.0]]]))


def test_errors_say_what_must_hold(no_shape_hook):
    for name, value in (("neighbours", 0), ("samples", 1.5)):
        with pytest.raises(FewShotError, match=f"{name} must be a whole number of at least 1, got {value}"):
            DistributionCalibration(**{name: value})
    for name, value in (("power", 0.0), ("C", -1.0), ("C", math.nan)):
        with pytest.raises(FewShotError, match=f"{name} must be above 0, got {value}"):
            DistributionCalibration(**{name: value})
    with pytest.raises(FewShotError, match=r"spread must be at least 0, got -0\.1"):
        DistributionCalibration(spread=-0.1)
    support, base = positive(episode((3, 1), 3)[0]), base_of(3)
    with pytest.raises(FewShotError, match="at most the number of base classes, 5, got 6"):
        DistributionCalibration(neighbours=6).with_base(base)
    with pytest.raises(NotFittedError, match=r"needs base classes, got none; call learner.with_base\(base\) first"):
        DistributionCalibration().adapt(support)
    learner = DistributionCalibration().with_base(base)
    with pytest.raises(EpisodeError, match="features must be at least 0 for the power"):
        learner.adapt(support.map(lambda x: x - 5))
    with pytest.raises(EpisodeError, match="a generator belongs to one episode with a seed"):
        learner.adapt(replace(support, seed=None))
    with pytest.raises(EpisodeError, match=r"none for classes \[2\]"):
        learner.adapt(replace(support, n_way=3))
    with pytest.raises(FewShotError, match="cannot train a backbone through its support; adapt under no_grad"):
        learner.adapt(replace(support, x=support.x.clone().requires_grad_()))
