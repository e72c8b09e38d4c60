"""Common slips of a first learner are told in one sentence that ends with what to do."""

import numpy as np
import pytest
import torch

from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSpec
from fewshot.errors import DataError, FewShotError, ShapeError
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.metric.nearest_mean import NearestMean

DATA = Collection.from_arrays(np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32), np.arange(6).repeat(10))
SPEC = EpisodeSpec(way=3, shot=2, query=4)


class Spoilt:
    """Nearest mean, whose scores go through something."""

    def __init__(self, spoil):
        self.spoil = spoil

    def adapt(self, support):
        inner = NearestMean().adapt(support)
        return lambda query: self.spoil(inner(query))


class Array:
    """The scores of the support where a function is due."""

    def adapt(self, support):
        return NearestMean().adapt(support)(support.x)


@pytest.mark.parametrize("transductive", [False, True])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda s: s.argmax(-1),
            r"a tensor of floats, got Tensor of torch.int64 \(2, 12\); return a score of every class",
        ),
        (lambda s: s.numpy(), r"a tensor of floats, got ndarray of float32 \(2, 12, 3\)"),
        (lambda s: s.tolist(), "a tensor of floats, got list;"),
        (lambda s: s.amax(-1), r"shape \(e, q, n_way\) = \(2, 12, 3\), got \(2, 12\); return a score of every class"),
        (lambda s: s.mT, r"shape \(e, q, n_way\) = \(2, 12, 3\), got \(2, 3, 12\).*@per_episode$"),
        (lambda s: s[0], r"shape \(e, q, n_way\) = \(2, 12, 3\), got \(12, 3\).*@per_episode$"),
    ],
)
def test_what_is_no_score_of_every_class_is_refused(spoil, message, transductive):
    learner = Spoilt(spoil)
    learner.transductive = transductive
    with pytest.raises(ShapeError, match=f"^scores must .*{message}"):
        evaluate(learner, DATA, SPEC, 10)


def test_without_two_episodes_in_the_first_group_the_first_batch_tells():
    learner = Spoilt(lambda s: s.argmax(-1))
    learner.transductive = True
    with pytest.raises(ShapeError, match="instead of a label"):
        evaluate(learner, DATA, SPEC, 3)


def test_an_array_is_no_classifier():
    with pytest.raises(ShapeError, match=r"must return a function from queries to scores, got Tensor of torch.float32"):
        evaluate(Array(), DATA, SPEC, 10)


@pytest.mark.parametrize(
    ("learner", "message"),
    [
        (NearestMean, r"must be an object, got the class NearestMean; make an object of it: NearestMean\(\)$"),
        ("nearest-mean", r"must have adapt\(support\), got 'nearest-mean' without it; .*load_learner"),
        (torch.nn.Linear(8, 8), "got Linear without it"),
    ],
)
def test_a_class_or_a_name_is_no_learner(learner, message, no_shape_hook):
    with pytest.raises(FewShotError, match=message):
        evaluate(learner, DATA, SPEC, 10)


@pytest.mark.parametrize(
    ("data", "got"),
    [("digits", "'digits'"), (np.zeros((4, 2)), r"ndarray of float64 \(4, 2\)"), ((np.zeros(2), 1), "tuple")],
)
def test_a_name_or_an_array_is_no_collection(data, got, no_shape_hook):
    for arguments in ({"collection": data}, {"collection": DATA, "queries": data}):
        with pytest.raises(
            DataError, match=f"must be a Collection, got {got}; load one .*load_dataset, or .*from_arrays$"
        ):
            evaluate(NearestMean(), spec=SPEC, episodes=10, **arguments)
