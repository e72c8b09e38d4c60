"""k nearest neighbours: scikit-learn where nothing ties, and rules where something does."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from sklearn.neighbors import KNeighborsClassifier
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership, require_every_class
from fewshot.learners.metric.k_nearest_neighbours import KNearestNeighbours
from fewshot.testing import check_learner


def sklearns(support, query, k, weights):
    """Shares of the votes."""
    fitted = KNeighborsClassifier(k, weights=weights, algorithm="brute").fit(support.x.numpy(), support.y.numpy())
    return torch.from_numpy(fitted.predict_proba(query.numpy()))


def shares(scores, weights):
    """Votes without the part that settles ties, as shares."""
    votes = scores.floor() if weights == "uniform" else scores
    return votes / votes.sum(-1, keepdim=True)


def agree(learner, case, k, weights):
    support, query, _ = case
    ours = shares(learner.adapt(support)(query), weights)
    assert_close(ours, sklearns(support, query, k, weights), rtol=1e-9, atol=1e-9)


@given(episodes(), st.data(), st.sampled_from(["uniform", "distance"]))
def test_votes_are_those_of_scikit_learn(case, data, weights):
    k = data.draw(st.integers(1, len(case[0].y)))
    agree(KNearestNeighbours(k, weights), case, k, weights)


@given(episodes())
def test_neighbours_by_cosine_are_those_of_scikit_learn(case):
    support, query, _ = case
    theirs = KNeighborsClassifier(1, metric="cosine", algorithm="brute").fit(support.x.numpy(), support.y.numpy())
    ours = KNearestNeighbours(metric="cosine").adapt(support)(query).argmax(-1)
    assert ours.tolist() == theirs.predict(query.numpy()).tolist()


@settings(max_examples=15)
@given(episodes(), st.integers(1, 2))
def test_of_equal_votes_the_class_with_the_nearest_item_wins(case, k):
    support, query, _ = case
    nearest = KNearestNeighbours(1).adapt(support)(query).argmax(-1)
    theirs = sklearns(support, query, k, "uniform")
    tied = (theirs == theirs.amax(-1, keepdim=True)).sum(-1) > 1
    ours = KNearestNeighbours(k).adapt(support)(query).argmax(-1)
    assert ours[tied].tolist() == nearest[tied].tolist()
    assert ours[~tied].tolist() == theirs[~tied].argmax(-1).tolist()


@pytest.mark.parametrize(
    "learner",
    [
        KNearestNeighbours(),
        KNearestNeighbours(2),
        KNearestNeighbours(3, "distance"),
        KNearestNeighbours(metric="cosine"),
    ],
)
def test_keeps_the_contract(learner):
    check_learner(learner)


# Planted wrong formulas -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """Votes of the k nearest by distance, with one slip."""

    k: int = 3

    scores = "rank"

    def adapt(self, support):
        require_every_class(support.y, support.n_way)
        member = class_membership(support.y, support.n_way, support.x.dtype)
        return lambda query: self.votes(self.distances(query, support.x), member)

    def distances(self, query, x):
        return torch.cdist(query, x)

    def votes(self, d, member):
        k = min(self.k, d.shape[-1])
        return torch.where(d <= d.sort(-1).values[..., k - 1 : k], 1 / d, 0) @ member


class OneNeighbourFewer(Wrong):
    """Counts the query among its neighbours."""

    def votes(self, d, member):
        return torch.where(d <= d.sort(-1).values[..., self.k - 2 : self.k - 1], 1 / d, 0) @ member


class OneNeighbourMore(Wrong):
    def votes(self, d, member):
        return torch.where(d <= d.sort(-1).values[..., self.k : self.k + 1], 1 / d, 0) @ member


class SquaredWeights(Wrong):
    def votes(self, d, member):
        return super().votes(d.square(), member)


class CityBlock(Wrong):
    def distances(self, query, x):
        return torch.cdist(query, x, p=1.0)


class VotesPerExample(Wrong):
    """Averaged over the examples of a class."""

    def votes(self, d, member):
        return super().votes(d, member / member.sum(-2, keepdim=True))


def test_the_frame_of_the_wrong_formulas_is_right():
    agree(Wrong(), episode((3, 1, 2)), 3, "distance")


@pytest.mark.slip
@pytest.mark.parametrize("wrong", [OneNeighbourFewer, OneNeighbourMore, SquaredWeights, CityBlock, VotesPerExample])
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(wrong())
    with pytest.raises(AssertionError):
        agree(wrong(), episode((3, 1, 2), queries=20), 3, "distance")


# Ties and edges -------------------------------------------------------------------------------------


def one(points, labels, query, **options):
    support = SupportSet(torch.tensor(points)[:, None], torch.tensor(labels), max(labels) + 1)
    return KNearestNeighbours(**options).adapt(support)(torch.tensor(query)[:, None])


def test_items_as_near_as_the_kth_all_vote():
    votes = one([1.0, -1.0, 5.0, 1.0], [0, 1, 1, 2], [0.0], k=1)
    assert votes.floor().tolist() == [[1, 1, 1]]
    assert (votes[0] == votes[0, 0]).all()


def test_duplicates_vote_each_whatever_their_order():
    for labels in ([0, 0, 1], [0, 1, 0], [1, 0, 0]):
        points = [3.0 if label else 1.0 for label in labels]
        assert one(points, labels, [0.0], k=1).floor().tolist() == [[2, 0]]


def test_items_at_the_place_of_the_query_are_the_only_ones_that_vote():
    assert one([0.0, 0.0, 1.0, 2.0], [0, 1, 1, 2], [0.0], k=3, weights="distance").tolist() == [[1, 1, 0]]


def test_ties_are_settled_by_less_than_a_vote_in_single_precision_too():
    support, query, _ = episode((1,) * 20, 64, queries=30, episodes=3, dtype=torch.float32)
    one_neighbour, many = (KNearestNeighbours(k).adapt(support)(query + 100).argmax(-1) for k in (1, 20))
    assert (one_neighbour == many).all()
    scores = KNearestNeighbours(5).adapt(support)(query)
    assert ((scores - scores.floor()) < 0.5).all()


def test_equal_items_everywhere_are_finite():
    for weights in ("uniform", "distance"):
        scores = one([1.0, 1.0, 1.0], [0, 1, 0], [1.0], k=2, weights=weights)
        assert_close(scores.floor(), torch.tensor([[2.0, 1.0]]))


def test_a_batch_is_its_episodes_and_types_stay():
    support, query, _ = episode((3, 1, 2), episodes=4)
    learner = KNearestNeighbours(3, "distance")
    alone = torch.stack([learner.adapt(support[k])(query[k]) for k in range(4)])
    assert_close(learner.adapt(support)(query), alone, rtol=1e-12, atol=1e-12)
    assert learner.adapt(support.map(lambda x: x.float()))(query.float()).dtype == torch.float32


def test_a_known_number():
    """By hand: from 0 the distances are 1, 2 and 4, of which the nearest two vote."""
    assert_close(one([1.0, -2.0, 4.0], [0, 1, 1], [0.0], k=2, weights="distance"), torch.tensor([[1.0, 0.5]]))
    nearest = np.array([1, 2])
    assert_close(
        one([1.0, -2.0, 4.0], [0, 1, 1], [0.0], k=3),
        torch.tensor(np.array([[1, 2]]) + 0.49 * (1 - nearest / 3)).float(),
    )


def test_errors_say_what_must_hold(no_shape_hook):
    for k in (0, -1, 1.5):
        with pytest.raises(FewShotError, match=f"k must be a whole number of at least 1, got {k}"):
            KNearestNeighbours(k)
    with pytest.raises(FewShotError, match="metric must be 'euclidean' or 'cosine', got 'l1'"):
        KNearestNeighbours(metric="l1")
    with pytest.raises(FewShotError, match="weights must be 'uniform' or 'distance', got 'gauss'"):
        KNearestNeighbours(weights="gauss")
    support, _, _ = episode((1, 2))
    with pytest.raises(EpisodeError, match="k must be at most the number of support items, 3, got k=4; lower k"):
        KNearestNeighbours(4).adapt(support)
    with pytest.raises(EpisodeError, match=r"none for classes \[2\]"):
        KNearestNeighbours().adapt(SupportSet(support.x, support.y, 3))
