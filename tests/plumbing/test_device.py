"""Names of devices, where a learner is, and copies of it elsewhere; the second device refuses every mix of tensors."""

from dataclasses import dataclass

import pytest
import torch
from second_device import DEVICE, second_device
from torch import Tensor, nn

from fewshot.embedded import Embedded
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.plumbing.device import device_named, device_of, has_fused_steps, held, moved, on_device, placed

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Fitted:
    """A head that holds what it found, as `with_base` leaves it."""

    mean: Tensor

    def adapt(self, support):
        return lambda query: query - self.mean


def made():
    tied = nn.Linear(4, 4)
    backbone = nn.Sequential(tied, nn.BatchNorm1d(4), tied)
    backbone[0].weight.requires_grad_(False)
    return Embedded(backbone, Fitted(torch.ones(4)))


def test_the_cpu_is_always_there_and_has_one_name():
    assert device_named("cpu") == device_named("cpu:0") == device_named(CPU) == CPU


def test_auto_is_a_card_where_there_is_one(monkeypatch):
    for backend in (torch.cuda, torch.xpu, torch.backends.mps):
        monkeypatch.setattr(backend, "is_available", lambda: False)
    assert device_named("auto") == CPU


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", 7.5, None])
def test_what_is_no_name_is_told(name, no_shape_hook):
    with pytest.raises(FewShotError, match=r"device must be 'auto' or a name that torch.device takes, got .*; write"):
        device_named(name)


@pytest.mark.parametrize("name", ["cuda:77", "hpu", "meta", "mtia"])
def test_what_is_not_there_is_told(name):
    with pytest.raises(FewShotError, match=f"device must be on this machine, got '{name}': .*; take 'auto' or 'cpu'"):
        device_named(name)


def test_a_device_is_found_with_its_number():
    with second_device():
        assert device_named("vulkan:0") == DEVICE


def test_a_learner_without_tensors_is_on_the_cpu():
    assert device_of(NearestMean()) == device_of() == CPU


def test_all_of_a_learner_moves_and_the_given_one_stays():
    learner = made()
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    with second_device():
        there = on_device(learner, DEVICE)
        assert device_of(there) == DEVICE and there.head.mean.device == DEVICE
        assert there.backbone[0] is there.backbone[2], "tied layers stay tied"
        assert [p.requires_grad for p in there.parameters()] == [p.requires_grad for p in learner.parameters()]
        assert all(torch.equal(value.cpu(), before[name]) for name, value in there.state_dict().items())
        assert on_device(there, DEVICE) is there
        back = on_device(there, CPU)
    assert device_of(learner) == device_of(back) == CPU
    assert all(torch.equal(value, before[name]) for name, value in back.state_dict().items())


def test_a_learner_in_two_places_is_told_and_can_be_moved_together():
    learner = made()
    with second_device():
        learner.backbone.to(DEVICE)
        with pytest.raises(EpisodeError, match="a learner must be on one device, got cpu and vulkan:0"):
            device_of(learner)
        assert placed(learner, DEVICE)[1] == device_of(placed(learner, DEVICE)[0]) == DEVICE


def test_the_learner_decides_where_nobody_says():
    learner = made()
    assert placed(learner, None) == (learner, CPU)
    assert placed(learner, "cpu")[0] is learner


def test_texts_and_what_is_there_already_do_not_move():
    items = torch.ones(2)
    assert moved("text", DEVICE) == "text"
    assert moved(items, CPU) is items and moved(items, None) is items


def test_features_stay_where_they_are_without_room(monkeypatch):
    features = torch.ones(100, 4)
    with second_device():
        assert held(features, DEVICE).device == DEVICE
        monkeypatch.setattr("fewshot.plumbing.device.ROOM", 1599)
        assert held(features, DEVICE).device == CPU
    assert held(features, None) is features


def test_fused_steps_are_taken_where_torch_has_them():
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    torch.optim.Adam([weight], fused=has_fused_steps(weight)).step()
    with second_device():
        assert not has_fused_steps(weight.to(DEVICE))


def test_the_second_device_refuses_what_a_card_refuses():
    with second_device():
        there = torch.ones(2, 3).to(DEVICE)
        assert (there + 1).device == DEVICE and float((there * torch.tensor(2.0)).sum()) == 12
        assert there[torch.tensor([1, 0])].device == DEVICE
        with pytest.raises(RuntimeError, match=r"a tensor \(3,\) on the CPU beside one on the second device"):
            there + torch.ones(3)
        with pytest.raises(TypeError, match="must be moved with"):
            there.numpy()
