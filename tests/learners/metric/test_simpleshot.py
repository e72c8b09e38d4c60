"""SimpleShot: scikit-learn's NearestCentroid on transformed features, and how easyfsl differs."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.preprocessing import normalize
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, NotFittedError
from fewshot.functional import class_means
from fewshot.learners.metric.simpleshot import SimpleShot
from fewshot.testing import check_learner

TRANSFORMS = ["UN", "L2N", "CL2N"]


def base_of(dim, seed=0):
    """Base classes of very unequal size, far from the origin."""
    support, _, _ = episode((9, 2, 1, 4), dim, seed=seed + 1, episodes=1)
    return replace(support, x=support.x + 3)


def transformed(x, transform, base):
    x = x.numpy()
    if transform == "CL2N":
        x = x - base.x.numpy().reshape(-1, x.shape[-1]).mean(0)
    return x if transform == "UN" else normalize(x)


def oracle(support, query, transform, base):
    """Squared distances to the centroids by NumPy, negative."""
    z, y = transformed(support.x, transform, base), support.y.numpy()
    centroids = np.stack([z[y == k].mean(0) for k in range(support.n_way)])
    return torch.from_numpy(-((transformed(query, transform, base)[:, None] - centroids) ** 2).sum(-1))


def agree(learner, case, transform, base):
    support, query, _ = case
    scores = learner.with_base(base).adapt(support)(query)
    assert_close(scores, oracle(support, query, transform, base), rtol=1e-9, atol=1e-9)


@settings(max_examples=15)
@given(episodes(), st.sampled_from(TRANSFORMS))
def test_scores_are_squared_distances_to_the_centroids(case, transform):
    agree(SimpleShot(transform), case, transform, base_of(case[0].x.shape[-1]))


@given(episodes(min_shot=2), st.sampled_from(TRANSFORMS))
def test_answers_are_those_of_nearest_centroid(case, transform):
    support, query, _ = case
    base = base_of(support.x.shape[-1])
    theirs = NearestCentroid().fit(transformed(support.x, transform, base), support.y.numpy())
    ours = SimpleShot(transform).with_base(base).adapt(support)(query).argmax(-1)
    assert ours.tolist() == theirs.predict(transformed(query, transform, base)).tolist()


@given(episodes(max_shot=1), st.sampled_from(TRANSFORMS))
def test_one_shot_is_the_nearest_neighbour(case, transform):
    support, query, _ = case
    base = base_of(support.x.shape[-1])
    nearest = KNeighborsClassifier(1).fit(transformed(support.x, transform, base), support.y.numpy())
    ours = SimpleShot(transform).with_base(base).adapt(support)(query).argmax(-1)
    assert ours.tolist() == nearest.predict(transformed(query, transform, base)).tolist()


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_keeps_the_contract(transform):
    check_learner(SimpleShot(transform))


# Planted wrong formulas: above chance, past the battery, and caught by the oracle --------------------


class Wrong:
    """CL2N with one slip."""

    scores = "rank"

    def __init__(self, centre=None):
        self.centre = centre

    def with_base(self, base):
        return type(self)(self.mean(base.x.flatten(0, 1), base.y.flatten()))

    def adapt(self, support):
        if self.centre is None:
            raise NotFittedError("base classes first")
        means = self.finish(class_means(self.step(support.x), support.y, support.n_way))
        return lambda query: -torch.cdist(self.step(query), means).square()

    def finish(self, means):
        return means

    def mean(self, x, y):
        return x.mean(0)

    def step(self, z):
        z = z - self.centre.to(z)
        return z / z.norm(dim=-1, keepdim=True)


class MeanOfClassMeans(Wrong):
    def mean(self, x, y):
        return torch.stack([x[y == k].mean(0) for k in y.unique()]).mean(0)


class MedianOfBase(Wrong):
    def mean(self, x, y):
        return x.median(0).values


class NormalisedBeforeCentring(Wrong):
    def step(self, z):
        return z / z.norm(dim=-1, keepdim=True) - self.centre.to(z)


class L1Length(Wrong):
    def step(self, z):
        z = z - self.centre.to(z)
        return z / z.abs().sum(-1, keepdim=True)


class AddedCentre(Wrong):
    def step(self, z):
        z = z + self.centre.to(z)
        return z / z.norm(dim=-1, keepdim=True)


class MeanNormalisedAgain(Wrong):
    def finish(self, means):
        return means / means.norm(dim=-1, keepdim=True)


def test_the_frame_of_the_wrong_formulas_is_right():
    agree(Wrong(), episode((3, 1, 2)), "CL2N", base_of(6))


WRONG = [MeanOfClassMeans, MedianOfBase, NormalisedBeforeCentring, L1Length, AddedCentre, MeanNormalisedAgain]


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(wrong())
    with pytest.raises(AssertionError):
        agree(wrong(), episode((3, 1, 2)), "CL2N", base_of(6))


# easyfsl --------------------------------------------------------------------------------------------


def easyfsls(support, query, centre):
    """What easyfsl 1.5.0 does with ``feature_centering`` and ``feature_normalization=2``: cosines to the means."""
    z, q = (normalize(x.numpy() - centre.numpy()) for x in (support.x, query))
    means = np.stack([z[support.y.numpy() == k].mean(0) for k in range(support.n_way)])
    return torch.from_numpy(normalize(q) @ normalize(means).T)


@given(episodes())
def test_easyfsl_is_reached_by_giving_the_means_unit_length(case):
    """Among unit vectors the squared distance is 2 - 2 cos, so the deviation is a mean that is normalised again."""
    support, query, _ = case
    base = base_of(support.x.shape[-1])
    deviating = MeanNormalisedAgain().with_base(base)
    theirs = easyfsls(support, query, base.x[0].mean(0))
    assert_close((2 + deviating.adapt(support)(query)) / 2, theirs, rtol=1e-6, atol=1e-6)


def test_without_the_deviation_easyfsl_ranks_otherwise_but_not_with_one_shot():
    many, one = (episode((shot,) * 5, 16, queries=15, episodes=40, spread=3.0) for shot in (5, 1))
    base = base_of(16)

    def disagreement(case):
        support, query, _ = case
        ours = SimpleShot().with_base(base).adapt(support)(query).argmax(-1)
        theirs = torch.stack([easyfsls(support[k], query[k], base.x[0].mean(0)) for k in range(40)]).argmax(-1)
        return (ours != theirs).double().mean().item()

    assert disagreement(one) == 0
    assert 0.01 < disagreement(many) < 0.2


# Edges ----------------------------------------------------------------------------------------------


def test_a_batch_is_its_episodes_and_types_stay():
    support, query, _ = episode((3, 1, 2), episodes=4)
    learner = SimpleShot().with_base(base_of(6))
    alone = torch.stack([learner.adapt(support[k])(query[k]) for k in range(4)])
    assert_close(learner.adapt(support)(query), alone, rtol=1e-12, atol=1e-12)
    single = learner.adapt(support.map(lambda x: x.float()))(query.float())
    assert single.dtype == torch.float32
    assert_close(single, alone.float(), rtol=1e-4, atol=1e-5)


def test_base_classes_without_an_episode_axis_have_the_same_mean():
    base = base_of(6)
    assert_close(SimpleShot().with_base(base[0]).centre, SimpleShot().with_base(base).centre)
    assert SimpleShot().centre is None


def test_l2n_does_not_move_with_length_and_cl2n_not_with_the_origin():
    support, query, _ = episode((3, 1, 2))
    base = base_of(6)
    plain = SimpleShot("L2N").adapt(support)(query)
    assert_close(SimpleShot("L2N").adapt(replace(support, x=support.x * 5))(query / 3), plain)
    scores = SimpleShot().with_base(base).adapt(support)(query)
    moved = SimpleShot().with_base(replace(base, x=base.x + 7)).adapt(replace(support, x=support.x + 7))
    assert_close(moved(query + 7), scores)


def test_a_feature_at_the_centre_is_finite():
    learner = SimpleShot(centre=torch.tensor([1.0, 1.0]))
    support = SupportSet(torch.tensor([[1.0, 1.0], [2.0, 1.0]]), torch.tensor([0, 1]), 2)
    assert_close(learner.adapt(support)(torch.tensor([[1.0, 1.0]])), torch.tensor([[0.0, -1.0]]))


def test_a_known_number():
    """By hand: from the centre (1, 0) the support points to (1, 0), (0, 1) and (0, 1), the query to (0.6, 0.8)."""
    support = SupportSet(torch.tensor([[3.0, 0.0], [1.0, 5.0], [1.0, 2.0]]), torch.tensor([0, 1, 0]), 2)
    scores = SimpleShot(centre=torch.tensor([1.0, 0.0])).adapt(support)(torch.tensor([[4.0, 4.0]]))
    assert_close(scores, torch.tensor([[-(0.1**2 + 0.3**2), -(0.6**2 + 0.2**2)]]))


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="transform must be 'UN', 'L2N' or 'CL2N', got 'cl2n'"):
        SimpleShot("cl2n")
    support, _, _ = episode((1, 1))
    with pytest.raises(NotFittedError, match=r"CL2N needs the mean of the base classes.*with_base.*transform='L2N'"):
        SimpleShot().adapt(support)
    with pytest.raises(EpisodeError, match=r"none for classes \[2\]"):
        SimpleShot("UN").adapt(SupportSet(support.x, support.y, 3))
