"""Attention over the support: scikit-learn's similarities and SciPy's softmax, and how easyfsl differs."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from make import episode, episodes
from scipy.special import softmax
from sklearn.metrics.pairwise import cosine_similarity, euclidean_distances
from sklearn.neighbors import KNeighborsClassifier
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership, require_every_class
from fewshot.learners.metric.matching_attention import MatchingAttention
from fewshot.testing import check_learner

SIMILARITIES = {"cosine": cosine_similarity, "squared-euclidean": lambda a, b: -(euclidean_distances(a, b) ** 2)}


def oracle(support, query, metric="cosine", temperature=1.0):
    attention = softmax(SIMILARITIES[metric](query.numpy(), support.x.numpy()) / temperature, axis=1)
    return torch.from_numpy(attention @ np.eye(support.n_way)[support.y.numpy()])


def agree(learner, case, *options):
    support, query, _ = case
    assert_close(learner.adapt(support)(query).exp(), oracle(support, query, *options), rtol=1e-9, atol=1e-12)


@given(episodes(), st.sampled_from(sorted(SIMILARITIES)), st.floats(0.5, 20))
def test_probabilities_are_those_of_scikit_learn_and_scipy(case, metric, temperature):
    agree(MatchingAttention(metric, temperature), case, metric, temperature)


@settings(max_examples=15)
@given(episodes(max_shot=1), st.floats(0.01, 1))
def test_one_shot_is_the_nearest_neighbour_by_cosine(case, temperature):
    support, query, _ = case
    nearest = KNeighborsClassifier(1, metric="cosine").fit(support.x.numpy(), support.y.numpy())
    ours = MatchingAttention(temperature=temperature).adapt(support)(query).argmax(-1)
    assert ours.tolist() == nearest.predict(query.numpy()).tolist()


@pytest.mark.parametrize("learner", [MatchingAttention(temperature=0.1), MatchingAttention("squared-euclidean")])
def test_keeps_the_contract(learner):
    check_learner(learner)


# Planted wrong formulas -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """The cosine's attention at temperature 0.1 with one slip."""

    def adapt(self, support):
        require_every_class(support.y, support.n_way)
        member = class_membership(support.y, support.n_way, support.x.dtype)

        def classify(query):
            a = query / query.norm(dim=-1, keepdim=True)
            b = support.x / support.x.norm(dim=-1, keepdim=True)
            return self.scores_of(query, support.x, (a @ b.mT) / 0.1, member)

        return classify

    def scores_of(self, query, x, similarity, member):
        return (similarity.softmax(-1) @ member).log()


class MeanOfAttention(Wrong):
    """Averaged over the examples of a class."""

    def scores_of(self, query, x, similarity, member):
        return (similarity.softmax(-1) @ (member / member.sum(-2, keepdim=True))).log()


class SoftmaxOverQueries(Wrong):
    """Over the classes of summed similarities, not over items."""

    def scores_of(self, query, x, similarity, member):
        return (similarity @ member).log_softmax(-1)


class SquaredCosine(Wrong):
    def scores_of(self, query, x, similarity, member):
        return ((similarity * similarity.abs() / 10).softmax(-1) @ member).log()


class QueryNotNormalised(Wrong):
    def scores_of(self, query, x, similarity, member):
        return ((similarity * query.norm(dim=-1, keepdim=True) / 10).softmax(-1) @ member).log()


class NearestOfClass(Wrong):
    def scores_of(self, query, x, similarity, member):
        best = torch.where(member.mT.unsqueeze(-3) > 0, similarity.unsqueeze(-2), -torch.inf).amax(-1)
        return best.log_softmax(-1)


def test_the_frame_of_the_wrong_formulas_is_right():
    agree(Wrong(), episode((3, 1, 2)), "cosine", 0.1)


@pytest.mark.slip
@pytest.mark.parametrize(
    "wrong", [MeanOfAttention, SoftmaxOverQueries, SquaredCosine, QueryNotNormalised, NearestOfClass]
)
def test_wrong_formulas_pass_the_battery_and_fail_the_oracle(wrong):
    check_learner(wrong(), numbers=False)  # without the normalisation that the slip leaves out, large numbers overflow
    with pytest.raises(AssertionError):
        agree(wrong(), episode((3, 1, 2)), "cosine", 0.1)


# easyfsl --------------------------------------------------------------------------------------------


def easyfsls(support, query):
    """What easyfsl 1.5.0 computes behind its encoders: queries keep their length, and 1e-6 is added."""
    unit = support.x.numpy() / np.linalg.norm(support.x.numpy(), axis=1, keepdims=True)
    attention = softmax(query.numpy() @ unit.T, axis=1)
    return torch.from_numpy(np.log(attention @ np.eye(support.n_way)[support.y.numpy()] + 1e-6))


@settings(max_examples=15)
@given(episodes())
def test_easyfsls_queries_have_a_temperature_each_one_over_their_length(case):
    support, query, _ = case
    for z, theirs in zip(query, easyfsls(support, query), strict=True):
        ours = MatchingAttention(temperature=1 / float(z.norm())).adapt(support)(z[None])[0]
        assert_close((ours.exp() + 1e-6).log(), theirs, rtol=1e-9, atol=1e-9)
        plain = MatchingAttention().adapt(support)(z[None])[0]
        assert not torch.allclose(plain, theirs, atol=1e-3)


# Edges ----------------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(episodes(), st.sampled_from(["cosine", "squared-euclidean"]))
def test_probabilities_add_up_to_one(case, metric):
    support, query, _ = case
    total = MatchingAttention(metric).adapt(support)(query).exp().sum(-1)
    assert_close(total, torch.ones(len(query), dtype=torch.float64))


def test_the_mass_of_a_class_grows_with_its_number_of_examples():
    support = SupportSet(torch.ones(4, 2), torch.tensor([0, 1, 0, 0]), 2)
    scores = MatchingAttention().adapt(support)(torch.tensor([[1.0, 0.0]]))
    assert_close(scores.exp(), torch.tensor([[0.75, 0.25]]))


def test_far_classes_have_finite_scores_with_gradients():
    support = SupportSet(torch.tensor([[0.0], [100.0], [1.0]], requires_grad=True), torch.tensor([0, 1, 0]), 2)
    scores = MatchingAttention("squared-euclidean").adapt(support)(torch.zeros(1, 1))
    assert_close(scores, torch.tensor([[0.0, -10000 - math.log1p(math.exp(-1))]]))
    scores.sum().backward()
    assert support.x.grad.isfinite().all()


def test_gradients_are_those_of_the_formula():
    support, query, _ = episode((2, 1), dim=3, queries=3)

    def scores(x, q):
        return MatchingAttention(temperature=0.3).adapt(SupportSet(x, support.y, 2))(q)

    torch.autograd.gradcheck(scores, (support.x.clone().requires_grad_(), query.clone().requires_grad_()))


def test_a_batch_is_its_episodes_and_types_stay():
    support, query, _ = episode((3, 1, 2), episodes=4)
    learner = MatchingAttention("squared-euclidean")
    alone = torch.stack([learner.adapt(support[k])(query[k]) for k in range(4)])
    assert_close(learner.adapt(support)(query), alone, rtol=1e-12, atol=1e-12)
    assert learner.adapt(support.map(lambda x: x.float()))(query.float()).dtype == torch.float32


def test_a_known_number():
    """By hand: cosines 1 and 0, so p = e / (e + 1)."""
    support = SupportSet(torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([0, 1]), 2)
    scores = MatchingAttention().adapt(support)(torch.tensor([[5.0, 0.0]]))
    assert_close(scores.exp()[0, 0].item(), math.e / (math.e + 1), rtol=1e-6, atol=0)


def test_errors_say_what_must_hold():
    with pytest.raises(FewShotError, match="metric must be 'cosine' or 'squared-euclidean', got 'l2'"):
        MatchingAttention("l2")
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(FewShotError, match=f"temperature must be above 0, got {temperature}"):
            MatchingAttention(temperature=temperature)
    with pytest.raises(EpisodeError, match=r"none for classes \[1\]"):
        MatchingAttention().adapt(SupportSet(torch.zeros(1, 2), torch.tensor([0]), 2))
