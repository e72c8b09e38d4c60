"""A trained network on a transfer: its own head answers, and no label of the target is seen."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from torch import nn

from fewshot import Transfer, evaluate
from fewshot.datasets.collection import Collection
from fewshot.errors import EpisodeError
from fewshot.training.own_head import OwnHead
from fewshot.training.supervised import ClassHead, SupervisedTraining, pretrain
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.dann import DANN


def domains():
    rng = np.random.default_rng(0)
    labels = np.arange(3).repeat(20)
    centres = 4 * rng.normal(size=(3, 5))
    source, target = (centres[labels] + shift + rng.normal(size=(60, 5)) for shift in (0.0, 0.5))
    names = ("a", "b", "c")
    return tuple(
        Collection(x.astype("f4"), labels, names, name=name) for x, name in ((source, "source"), (target, "target"))
    )


def trained(task):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ClassHead(nn.Sequential(nn.Linear(5, 8), nn.ReLU()), 3, dim=8)
        terms = [CrossEntropy(), DANN(8, hidden=())]
    pool = task.target.subset(task.parts[0])
    pretrain(
        network, task.source, SupervisedTraining(steps=60, learning_rate=0.02, batch_size=20), terms=terms, pool=pool
    )
    return OwnHead(network)


def test_the_record_counts_what_the_head_answers():
    task = Transfer(*domains())
    learner = trained(task)
    record = evaluate(learner, task)
    rows = task.parts[1]
    hidden = np.maximum(
        task.target.items[rows] @ array(learner.network.backbone[0].weight).T + array(learner.network.backbone[0].bias),
        0,
    )
    answers = hidden @ array(learner.network.head.weight).T + array(learner.network.head.bias)
    assert record.correct == (answers.argmax(1) == task.target.labels[rows]).astype(int).tolist()
    assert record.summary.accuracy > 0.8
    scores = learner.adapt(support(task))(torch.from_numpy(task.target.items[rows])[None])[0]
    np.testing.assert_allclose(array(scores), log_softmax(answers, axis=1), atol=1e-4)


def array(tensor):
    return tensor.detach().numpy()


def support(task):
    from fewshot.contract import SupportSet

    return SupportSet(torch.from_numpy(task.source.items)[None], torch.from_numpy(task.source.labels)[None], 3)


def test_labels_of_the_target_reach_nothing():
    source, target = domains()
    hidden = replace(target, labels=np.roll(target.labels, 20))
    first, again = (trained(Transfer(source, one)).state_dict() for one in (target, hidden))
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_other_classes_are_refused():
    learner = OwnHead(ClassHead(nn.Linear(5, 4), 7, dim=4))
    with pytest.raises(EpisodeError, match="a trained head answers for its own 7 classes, got n_way 3"):
        learner.adapt(support(Transfer(*domains())))
