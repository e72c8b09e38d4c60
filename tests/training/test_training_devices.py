"""Training on a second device: batches lie there, losses and weights are those of the CPU, and a run resumes there."""

import numpy as np
import pytest
import torch
from second_device import DEVICE, second_device
from torch import Tensor, nn

from fewshot import Collection, EpisodeSpec, evaluate
from fewshot.embedded import Embedded
from fewshot.errors import FewShotError
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.plumbing.device import device_of
from fewshot.training.episodic import EpisodicTraining, train
from fewshot.training.supervised import ClassHead, SupervisedTraining, pretrain

SPEC = EpisodeSpec(3, 1, 4)
SETTINGS = EpisodicTraining(SPEC, steps=6, tasks=2, validate_every=3, save_every=2, average=0.5, clip=1.0)


class Watched(nn.Module):
    """A backbone with batch norm that notes on which devices it has seen items."""

    dim = 5

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers, self.seen = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Tanh()), set()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add(str(x.device))
        return self.layers(x)


def data(seed=0):
    rng, y = np.random.default_rng(seed), np.arange(6).repeat(8)
    x = (2 * rng.normal(size=(6, 6))[y] + rng.normal(size=(48, 6))).astype(np.float32)
    return Collection.from_arrays(x, y, name=f"rows {seed}")


def run(device, settings=SETTINGS, **options):
    """Losses, validations and weights of a run; the second device is there while it lasts."""
    learner = Embedded(Watched(), NearestMean())

    def validate(one):
        return evaluate(one, data(1), SPEC, 10, cache=False).accuracy

    state = train(learner, data(), settings, validate=validate, device=device, **options)
    assert learner.backbone.seen == {str(device)}
    assert device_of(learner) == torch.device(device)
    return state, {name: value.cpu() for name, value in learner.state_dict().items()}


def test_a_run_is_that_of_the_cpu_with_validation_and_average():
    here, weights = run("cpu")
    with second_device():
        there, others = run(DEVICE)
    np.testing.assert_allclose(there.losses, here.losses, rtol=1e-5)
    assert there.validations == here.validations
    for name, value in weights.items():
        torch.testing.assert_close(others[name], value, rtol=1e-4, atol=1e-6)


def test_a_run_resumes_on_the_device(tmp_path):
    with second_device():
        whole, weights = run(DEVICE)

        class Stopped(Exception):
            pass

        def stop(progress):
            if progress.state.step == 4:
                raise Stopped

        with pytest.raises(Stopped):
            run(DEVICE, checkpoint=tmp_path / "run.safetensors", report=stop)
        resumed, others = run(DEVICE, checkpoint=tmp_path / "run.safetensors")
    assert resumed.losses == whole.losses and resumed.validations == whole.validations
    assert all(torch.equal(others[name], value) for name, value in weights.items())


def test_pretraining():
    losses = []
    for device in ("cpu", DEVICE):
        with second_device():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                network = ClassHead(Watched(), 6)
            state = pretrain(network, data(), SupervisedTraining(steps=4, batch_size=16), device=device)
            assert network.backbone.seen == {str(device)} and device_of(network) == torch.device(device)
        losses.append(state.losses)
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_an_earlier_run_decides_no_later_one():
    with second_device():
        run(DEVICE)
    learner = Embedded(Watched(), NearestMean())
    train(learner, data(), EpisodicTraining(SPEC, steps=1), device="cpu")
    assert device_of(learner).type == "cpu"


def test_a_device_that_is_not_there_is_told():
    with pytest.raises(FewShotError, match="device must be on this machine, got 'cuda:77'"):
        train(Embedded(Watched(), NearestMean()), data(), SETTINGS, device="cuda:77")
