"""Evaluation on a second device: all that a learner and a backbone see lies there, and answers are those of the CPU."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from second_device import DEVICE, second_device
from torch import Tensor, nn

from fewshot import Collection, EpisodeSpec, Transfer, evaluate
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSampler
from fewshot.errors import FewShotError
from fewshot.evaluation.choose import choose
from fewshot.evaluation.verify import verify
from fewshot.evaluation.zero_shot import choose_options, evaluate_zero_shot
from fewshot.learners.index import load_learner
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.plumbing.device import on_device

SPEC = EpisodeSpec(3, 2, 4)


def require_there(*given):
    assert {tensor.device for tensor in given if isinstance(tensor, Tensor)} == {DEVICE}


@dataclass(frozen=True)
class Spy:
    """Nearest means that see nothing which is not on the second device."""

    def adapt(self, support):
        require_there(support.x, support.y, support.descriptors, support.unlabelled, support.domain)
        assert support.seed.device.type == "cpu", "random numbers are drawn on the CPU"
        classify = NearestMean().adapt(support)

        def watched(query):
            require_there(query)
            return classify(query)

        return watched


class SpyBackbone(nn.Module):
    """A linear layer behind uint8 pixels, all of them on the second device."""

    name = "spy"

    def __init__(self, dim=6):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer, self.dim = nn.Linear(12, dim), dim

    def preprocess(self, pixels):
        require_there(pixels, self.layer.weight)
        return pixels.flatten(1).float() / 255

    def forward(self, x):
        require_there(x)
        return self.layer(x)

    def fingerprint(self):
        return f"spy {self.dim}"


def pictures(**known):
    rng = np.random.default_rng(0)
    y = np.arange(8).repeat(9)
    centres = rng.uniform(60, 190, (8, 3, 2, 2))
    x = (centres[y] + rng.normal(0, 40, (72, 3, 2, 2))).clip(0, 255).astype(np.uint8)
    return Collection.from_arrays(x, y, **known)


def rows(**known):
    """The same pictures as rows of floats."""
    data = pictures(**known)
    return replace(data, items=data.items.reshape(len(data), -1) / np.float32(255))


def domains():
    """A source and a target with the same three classes, a little apart."""
    rng, y = np.random.default_rng(0), np.arange(3).repeat(20)
    means = 3 * rng.normal(size=(3, 5))
    rows = [(means[y] + shift + rng.normal(size=(60, 5))).astype(np.float32) for shift in (0.0, 0.5)]
    return [Collection.from_arrays(x, y, name=name) for x, name in zip(rows, ("source", "target"), strict=True)]


def same(record, other):
    assert record.correct == other.correct and record.device == "vulkan:0" and other.device == "cpu"
    assert record.episodes == other.episodes and record.data == other.data
    a, b = record.load_answers(), other.load_answers()
    np.testing.assert_allclose(a.scores, b.scores, rtol=1e-6)
    assert (a.rows == b.rows).all() and isinstance(a.scores, np.ndarray)


def test_a_learner_without_weights_goes_where_the_caller_says():
    data = rows(descriptors={k: np.full(4, k, np.float32) for k in range(8)})
    with second_device():
        there = evaluate(Spy(), data, SPEC, 20, device=DEVICE, keep_scores=True)
    same(there, evaluate(NearestMean(), data, SPEC, 20, keep_scores=True))


@pytest.mark.parametrize("given", [None, "vulkan:0"])
def test_a_network_decides_or_goes_where_the_caller_says(given):
    learner, data = Embedded(SpyBackbone(), Spy()), pictures()
    plain = nn.Sequential(nn.Flatten(), learner.backbone.layer)
    here = evaluate(Embedded(plain, NearestMean()), data, SPEC, 20, keep_scores=True, open_interval=True)
    with second_device():
        start = learner if given else on_device(learner, DEVICE)
        there = evaluate(start, data, SPEC, 20, device=given, keep_scores=True, open_interval=True, cache=False)
    same(there, here)
    assert learner.backbone.layer.weight.device.type == "cpu", "the caller's learner stays where it was"


def test_features_stay_on_the_device_or_go_a_batch_at_a_time(monkeypatch):
    data, learner = pictures(), Embedded(SpyBackbone(), Spy())
    with second_device():
        learner = on_device(learner, DEVICE)
        assert data.on(DEVICE).embed(learner.backbone, cache=False).items.device == DEVICE
        kept = evaluate(learner, data, SPEC, 20, cache=False)
        monkeypatch.setattr("fewshot.plumbing.device.ROOM", 0)
        assert data.on(DEVICE).embed(learner.backbone, cache=False).items.device.type == "cpu"
        assert evaluate(learner, data, SPEC, 20, cache=False).correct == kept.correct


def test_features_in_the_cache_are_those_of_any_device(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWSHOT_CACHE", str(tmp_path))
    data, learner = pictures(), Embedded(SpyBackbone(), Spy())
    with second_device():
        first = evaluate(learner, data, SPEC, 20, device=DEVICE)
        assert len(list((tmp_path / "features").iterdir())) == 1
        assert evaluate(learner, data, SPEC, 20, device=DEVICE).correct == first.correct
    assert data.on(DEVICE).hash == data.hash


def test_pools_and_second_collections_go_along():
    data, drawings = rows(), replace(rows(), name="drawings")
    with second_device():
        there = evaluate(
            Spy(), data, replace(SPEC, unlabelled=2), 20, queries=drawings, device=DEVICE, keep_scores=True
        )
    same(there, evaluate(NearestMean(), data, replace(SPEC, unlabelled=2), 20, queries=drawings, keep_scores=True))


def test_open_classes_are_told_apart_as_on_the_cpu():
    spec = replace(SPEC, open_way=2)
    with second_device():
        there = evaluate(Spy(), rows(), spec, 20, device=DEVICE)
    here = evaluate(NearestMean(), rows(), spec, 20)
    assert [measure.auroc for measure in there.open_set] == [measure.auroc for measure in here.open_set]


def test_a_choice_and_a_verification_use_the_device():
    data = pictures()
    with second_device():
        learner = on_device(Embedded(SpyBackbone(), Spy()), DEVICE)
        record = evaluate(learner, data, SPEC, 20, cache=False)
        assert verify(record, learner, data, EpisodeSampler(data.labels, SPEC, class_names=data.class_names)).holds
        chosen = choose(lambda dim: Embedded(SpyBackbone(dim), Spy()), {"dim": [2, 6]}, data, SPEC, 20, device=DEVICE)
    assert chosen.options == {"dim": 6}


def test_transfer_between_domains():
    source, target = domains()
    with second_device():
        there = evaluate(Spy(), Transfer(source, target), device=DEVICE, keep_scores=True)
    same(there, evaluate(NearestMean(), Transfer(source, target), keep_scores=True))


@pytest.mark.parametrize("name", ["conse", "dap", "eszsl", "iap", "sae"])
def test_zero_shot_learners_see_base_classes_on_the_device(name):
    y = np.arange(8).repeat(9)
    side = np.random.default_rng(1).normal(size=(8, 5)).astype(np.float32)
    x = side[y] @ np.random.default_rng(2).normal(size=(5, 7)).astype(np.float32)
    x = x + np.random.default_rng(3).normal(0, 0.3, x.shape).astype(np.float32)
    splits = {"trainval": np.flatnonzero(y < 6), "test": np.flatnonzero(y > 5), "train": np.flatnonzero(y < 4),
              "val": np.flatnonzero((y > 3) & (y < 6)), "test-seen": np.zeros(0, np.int64)}  # fmt: skip
    data = Collection.from_arrays(x, y, descriptors=dict(enumerate(side)), splits=splits)
    from fewshot.tasks.parts import CHOOSE, Parts

    parts = Parts(seen="", base="trainval")
    here = evaluate_zero_shot(load_learner(name), data, parts)
    with second_device():
        there = evaluate_zero_shot(load_learner(name), data, parts, device=DEVICE)
        assert choose_options(lambda: load_learner(name), {}, data, CHOOSE, parts, device=DEVICE)[0] == {}
    assert there.unseen.correct == here.unseen.correct and (there.device, here.device) == ("vulkan:0", "cpu")


@pytest.mark.parametrize("device", ["cuda:77", "gpu"])
def test_a_device_that_is_not_there_is_told(device):
    with pytest.raises(FewShotError, match=f"device must be .*, got '{device}'"):
        evaluate(NearestMean(), pictures(), SPEC, 20, device=device)
