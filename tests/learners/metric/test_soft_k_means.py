"""Soft k-means on a pool: the paper's sums one number at a time, SciPy's moments, and whole evaluations."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from scipy.special import expit, softmax
from scipy.stats import kurtosis, skew
from torch import nn
from torch.testing import assert_close

from fewshot.backbones.index import load_backbone
from fewshot.contract import SupportSet, episode_loss
from fewshot.datasets.index import load_dataset
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.errors import EpisodeError, FewShotError
from fewshot.evaluation.evaluate import evaluate
from fewshot.functional import class_means, class_membership
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.learners.metric.soft_k_means import MaskedSoftKMeans, SoftKMeans, moments
from fewshot.testing import check_learner


def with_pool(case, size=7, scale=0.4):
    """The episode with a pool of its classes and of others, near enough that shares are soft."""
    support, query, labels = case
    rng = np.random.default_rng(5)
    dim, lead = support.x.shape[-1], support.y.shape[:-1]
    near = np.take_along_axis(support.x.numpy(), rng.integers(support.y.shape[-1], size=(*lead, size))[..., None], -2)
    pool = torch.from_numpy(near + rng.normal(size=(*lead, size, dim)))
    return replace(support, x=support.x * scale, unlabelled=pool * scale), query * scale, labels


def squared(a, b):
    return math.fsum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def slow(support, query, steps=1, radius=None, mask=None):
    """Sections 3.1.1 to 3.1.3, one number at a time."""
    x, y, pool, n = support.x.tolist(), support.y.tolist(), support.unlabelled.tolist(), support.n_way
    dim = range(len(x[0]))
    means = [[math.fsum(v[d] for v, k in zip(x, y, strict=True) if k == c) / y.count(c) for d in dim] for c in range(n)]
    for _ in range(steps):
        logits = [[-squared(u, m) for m in means] for u in pool]
        if radius is not None:
            for u, row in zip(pool, logits, strict=True):
                row.append(-squared(u, [0.0] * len(u)) / radius**2 - math.log(radius))
        shares = [softmax(row)[:n] for row in logits]
        if mask is not None:
            shares = np.array(shares) * mask(np.array([[squared(u, m) for m in means] for u in pool]))
        weight = [y.count(c) + math.fsum(s[c] for s in shares) for c in range(n)]
        total = [
            [
                math.fsum(v[d] for v, k in zip(x, y, strict=True) if k == c)
                + math.fsum(s[c] * u[d] for s, u in zip(shares, pool, strict=True))
                for d in dim
            ]
            for c in range(n)
        ]
        means = [[t / w for t in row] for row, w in zip(total, weight, strict=True)]
    return torch.tensor([[-squared(z, m) for m in means] for z in query.tolist()], dtype=torch.float64)


def agree(learner, case, **options):
    support, query, _ = case
    assert_close(learner.adapt(support)(query), slow(support, query, **options), rtol=1e-9, atol=1e-9)


@given(episodes(), st.integers(0, 2), st.sampled_from([None, 0.5, 2.0, 100.0]))
def test_scores_are_those_of_the_slow_loop(case, steps, radius):
    agree(SoftKMeans(steps, radius), with_pool(case), steps=steps, radius=radius)


def reads(network, d):
    """β and γ of every class by SciPy and NumPy."""
    stats = np.stack([d.min(0), d.max(0), d.var(0), skew(d), kurtosis(d)], 1)
    first, last = ((m.weight.detach().numpy(), m.bias.detach().numpy()) for m in (network[0], network[2]))
    return np.exp(np.tanh(stats @ first[0].T + first[1]) @ last[0].T + last[1]).T


def trained(seed=0):
    """A mask whose network is not at its start."""
    learner = MaskedSoftKMeans().double()
    generator = torch.Generator().manual_seed(seed)
    for p in learner.parameters():
        nn.init.normal_(p, std=0.3, generator=generator)
    return learner


def mask_of(learner):
    def mask(d):
        relative = d / d.mean(0)
        beta, gamma = reads(learner.network, relative)
        return expit(gamma * (beta - relative))

    return mask


@settings(max_examples=15)
@given(episodes(), st.integers(0, 9))
def test_masked_scores_are_those_of_the_slow_loop(case, seed):
    learner = trained(seed)
    agree(learner, with_pool(case), mask=mask_of(learner))


def test_the_mask_starts_at_one_and_one():
    learner = MaskedSoftKMeans().double()
    assert_close(reads(learner.network, np.random.default_rng(0).random((7, 3))), np.ones((2, 3)))
    agree(learner, with_pool(episode((3, 1, 2))), mask=lambda d: expit(1 - d / d.mean(0)))


def test_far_classes_make_hard_k_means():
    support, query, _ = with_pool(episode((3, 1, 2)), scale=1.0)
    means = torch.stack([support.x[support.y == k].mean(0) for k in range(3)])
    nearest = torch.cdist(support.unlabelled, means).argmin(1)
    groups = [torch.cat([support.x[support.y == k], support.unlabelled[nearest == k]]).mean(0) for k in range(3)]
    hard = -torch.cdist(query, torch.stack(groups)).square() * 1e6
    far = SoftKMeans().adapt(replace(support, x=support.x * 1e3, unlabelled=support.unlabelled * 1e3))(query * 1e3)
    assert_close(far, hard, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize("learner", [SoftKMeans(), SoftKMeans(3), SoftKMeans(1, 5.0), MaskedSoftKMeans(), trained()])
@pytest.mark.parametrize("pool", [0, 1, 9])
def test_keeps_the_contract(learner, pool):
    check_learner(learner, unlabelled=pool)


# Planted wrong formulas -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """Soft k-means, with a radius or a mask, and one slip."""

    radius: float = 2.0

    def adapt(self, support):
        pool, member = support.unlabelled, class_membership(support.y, support.n_way, support.x.dtype)
        means = class_means(support.x, support.y, support.n_way)
        shares = self.shares(pool, means)
        means = self.refine(support.x, member, means, pool, shares)
        return lambda query: -torch.cdist(query, means).square()

    def shares(self, pool, means):
        logits = torch.cat([self.logits(pool, means), self.other(pool)], -1)
        return logits.softmax(-1)[..., : means.shape[-2]]

    def logits(self, pool, means):
        return -torch.cdist(pool, means).square()

    def other(self, pool):
        return -pool.square().sum(-1, keepdim=True) / self.radius**2 - math.log(self.radius)

    def refine(self, x, member, means, pool, shares):
        return (member.mT @ x + shares.mT @ pool) / (member.sum(-2) + shares.sum(-2)).unsqueeze(-1)


class Unsquared(Wrong):
    def logits(self, pool, means):
        return -torch.cdist(pool, means)


class Halved(Wrong):
    """As the authors' code beside a cluster of distractors."""

    def logits(self, pool, means):
        return super().logits(pool, means) / 2


class RadiusNotSquared(Wrong):
    def other(self, pool):
        return -pool.square().sum(-1, keepdim=True) / self.radius - math.log(self.radius)


class NoLogarithm(Wrong):
    def other(self, pool):
        return -pool.square().sum(-1, keepdim=True) / self.radius**2


class MeanOfMeans(Wrong):
    """Support and pool count the same, whatever their size."""

    def refine(self, x, member, means, pool, shares):
        weight = shares.sum(-2).unsqueeze(-1)
        return (means + torch.where(weight > 1e-9, shares.mT @ pool / weight.clamp(min=1e-9), means)) / 2


class SupportCountsOnce(Wrong):
    """The class mean counts as one item."""

    def refine(self, x, member, means, pool, shares):
        return (means + shares.mT @ pool) / (1 + shares.sum(-2)).unsqueeze(-1)


WRONG = [Unsquared, Halved, RadiusNotSquared, NoLogarithm, MeanOfMeans, SupportCountsOnce]


def test_the_frame_of_the_wrong_formulas_is_right():
    agree(Wrong(), with_pool(episode((3, 1, 2))), radius=2.0)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(wrong(), unlabelled=9)
    with pytest.raises(AssertionError):
        agree(wrong(), with_pool(episode((3, 1, 2))), radius=2.0)


class WrongMask(Wrong):
    """The mask at its start, with a slip."""

    def shares(self, pool, means):
        d = torch.cdist(pool, means).square()
        return (-d).softmax(-1) * self.mask(d)

    def mask(self, d):
        return (1 - d / d.mean(-2, keepdim=True)).sigmoid()


class MaskTwice(WrongMask):
    """As the authors' code."""

    def mask(self, d):
        return super().mask(d).square()


class MeanOverClasses(WrongMask):
    def mask(self, d):
        return (1 - d / d.mean(-1, keepdim=True)).sigmoid()


class MedianOfPool(WrongMask):
    def mask(self, d):
        return (1 - d / d.median(-2, keepdim=True).values).sigmoid()


def test_the_frame_of_the_wrong_masks_is_right():
    agree(WrongMask(), with_pool(episode((3, 1, 2))), mask=lambda d: expit(1 - d / d.mean(0)))


@pytest.mark.slip
@pytest.mark.parametrize("wrong", [MaskTwice, MeanOverClasses, MedianOfPool])
def test_wrong_masks_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(wrong(), unlabelled=9)
    with pytest.raises(AssertionError):
        agree(wrong(), with_pool(episode((3, 1, 2))), mask=lambda d: expit(1 - d / d.mean(0)))


# Edges ----------------------------------------------------------------------------------------------

LEARNERS = [SoftKMeans(), SoftKMeans(2, 3.0), trained()]


@pytest.mark.parametrize("learner", LEARNERS)
def test_without_a_pool_the_means_stay(learner):
    support, query, _ = episode((3, 1, 2), episodes=2)
    plain = NearestMean().adapt(support)(query)
    assert_close(learner.adapt(support)(query), plain)
    assert_close(learner.adapt(replace(support, unlabelled=support.x[:, :0]))(query), plain)
    assert_close(learner.adapt(support[1])(query[1]), plain[1])


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_batch_is_its_episodes_and_the_order_of_the_pool_does_not_matter(learner):
    support, query, _ = with_pool(episode((3, 1, 2), episodes=4))
    scores = learner.adapt(support)(query)
    alone = torch.stack([learner.adapt(support[k])(query[k]) for k in range(4)])
    assert_close(scores, alone, rtol=1e-12, atol=1e-12)
    assert_close(learner.adapt(replace(support, unlabelled=support.unlabelled.flip(1)))(query), scores)


def test_a_cluster_with_a_tiny_radius_takes_what_lies_at_the_origin_only():
    support, query, _ = with_pool(episode((3, 1, 2)))
    far = replace(support, x=support.x + 20, unlabelled=support.unlabelled + 20)
    assert_close(SoftKMeans(radius=0.01).adapt(far)(query), SoftKMeans().adapt(far)(query))
    origin = replace(support, unlabelled=torch.zeros(5, 6, dtype=torch.float64))
    assert_close(SoftKMeans(radius=1e-9).adapt(origin)(query), NearestMean().adapt(support)(query))


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_pool_of_equal_items_or_at_a_mean_is_finite(learner):
    support = SupportSet(torch.tensor([[1.0], [3.0]]).double(), torch.tensor([0, 1]), 2)
    for pool in ([[1.0]], [[1.0], [1.0]], [[2.0]]):
        whole = replace(support, unlabelled=torch.tensor(pool).double())
        assert learner.adapt(whole)(torch.zeros(1, 1).double()).isfinite().all()


def test_moments_are_scipys():
    d = np.random.default_rng(0).gamma(2, size=(2, 9, 3))
    theirs = np.stack([d.min(1), d.max(1), d.var(1), skew(d, axis=1), kurtosis(d, axis=1)], -1)
    assert_close(moments(torch.from_numpy(d)), torch.from_numpy(theirs))
    assert moments(torch.ones(1, 2, 1)).tolist() == [[[1, 1, 0, 0, 0]]]


def test_gradients_are_those_of_the_formula_and_reach_the_network():
    support, query, labels = with_pool(episode((2, 1), dim=3, queries=3), size=4)

    def scores(x, pool):
        return SoftKMeans(radius=2.0).adapt(replace(support, x=x, unlabelled=pool))(query)

    torch.autograd.gradcheck(scores, (support.x.clone().requires_grad_(), support.unlabelled.clone().requires_grad_()))
    learner = MaskedSoftKMeans().double()
    whole = SupportSet(support.x[None], support.y[None], 2, unlabelled=support.unlabelled[None])
    before = episode_loss(learner, whole, query[None], labels[None])
    before.backward()
    with torch.no_grad():
        for p in learner.parameters():
            p -= 0.1 * p.grad
    assert episode_loss(learner, whole, query[None], labels[None]) < before


def test_a_known_number():
    """By hand: the pool's 2 is as near to 0 as to 4 and belongs to each by half: means (0 + 1) / 1.5 and (4 + 1) / 1.5."""
    support = SupportSet(torch.tensor([[0.0], [4.0]]), torch.tensor([0, 1]), 2, unlabelled=torch.tensor([[2.0]]))
    scores = SoftKMeans().adapt(support)(torch.tensor([[0.0]]))
    assert_close(scores, torch.tensor([[-((2 / 3) ** 2), -((10 / 3) ** 2)]]))


def test_errors_say_what_must_hold(no_shape_hook):
    for steps in (-1, 1.5):
        with pytest.raises(FewShotError, match=f"steps must be a whole number of at least 0, got {steps}"):
            SoftKMeans(steps)
    with pytest.raises(FewShotError, match=r"radius must be above 0, got 0\.0"):
        SoftKMeans(radius=0.0)
    for learner in (SoftKMeans(), MaskedSoftKMeans()):
        with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
            learner.adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))


# Whole evaluations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("distractors", [0, 5])
def test_a_pool_helps_on_digits(distractors):
    digits = load_dataset("digits")
    spec = EpisodeSpec(5, 1, 5, unlabelled=5, distractors=distractors)
    pixels = load_backbone("pixels")

    def judged(head, spec=spec):
        return evaluate(Embedded(pixels, head), digits, spec, 200)

    plain, refined = judged(NearestMean()), judged(SoftKMeans(radius=2.0 if distractors else None))
    assert refined.episodes.manifest == plain.episodes.manifest
    assert refined.accuracy > plain.accuracy + 0.02
    none = replace(spec, unlabelled=0, distractors=0)
    assert judged(SoftKMeans(), none).correct == judged(NearestMean(), none).correct


def test_the_cluster_of_distractors_helps_on_omniglot(data_root):
    data_root("omniglot")
    drawings = load_dataset("omniglot").split("val").embed(load_backbone("conv4-omniglot"))
    spec = EpisodeSpec(5, 1, 5, unlabelled=5, distractors=5)
    scores = [evaluate(head, drawings, spec, 200).accuracy for head in (SoftKMeans(), SoftKMeans(radius=2.0))]
    assert scores[0] < scores[1]
