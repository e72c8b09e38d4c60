"""A classifier on a second device: its backbone sees items there, answers are those of the CPU."""

import numpy as np
import pytest
import torch
from second_device import DEVICE, second_device
from sklearn.base import clone
from torch import nn

from fewshot import FewShotClassifier
from fewshot.errors import FewShotError
from fewshot.plumbing.device import on_device


class Watched(nn.Module):
    """Notes on which devices it has seen items."""

    seen: set[str] = set()  # noqa: RUF012  shared with the copy on the device

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layer = nn.Linear(4, 6)

    def forward(self, x):
        self.seen.add(str(x.device))
        return self.layer(x)


def items():
    rng, y = np.random.default_rng(0), np.arange(3).repeat(5)
    x = (3 * rng.normal(size=(3, 4))[y] + rng.normal(size=(15, 4))).astype(np.float32)
    return x, y, x + np.float32(0.1)


@pytest.mark.parametrize("learner", [None, "nearest-mean", "label-propagation"])
@pytest.mark.parametrize("backbone", [Watched(), None])
def test_answers_are_those_of_the_cpu(learner, backbone):
    x, y, query = items()
    here = FewShotClassifier(backbone, learner, calibrate=learner != "label-propagation").fit(x, y)
    Watched.seen.clear()
    with second_device():
        there = clone(here).set_params(device=DEVICE).fit(x, y)
        probable = there.predict_proba(query)
        assert Watched.seen == ({"vulkan:0"} if backbone is not None else set())
        there.partial_fit(x[:2] + 1, y[:2])
    np.testing.assert_allclose(probable, here.predict_proba(query), rtol=1e-4, atol=1e-6)
    assert isinstance(probable, np.ndarray)


def test_sets_and_a_backbone_that_is_there_already():
    x, y, query = items()
    here = FewShotClassifier(Watched()).fit(x, y).predict_set(query, 0.6)
    Watched.seen.clear()
    with second_device():
        there = FewShotClassifier(on_device(Watched(), DEVICE)).fit(x, y).predict_set(query, 0.6)
    assert there == here and Watched.seen == {"vulkan:0"}


def test_a_saved_classifier_is_loaded_to_a_device(tmp_path):
    x, y, query = items()
    here = FewShotClassifier(learner="nearest-mean").fit(x, y)
    here.save(tmp_path / "saved.safetensors")
    with second_device():
        there = FewShotClassifier.load(tmp_path / "saved.safetensors", device=DEVICE)
        assert there.get_params()["device"] == DEVICE
        np.testing.assert_allclose(there.predict_proba(query), here.predict_proba(query), rtol=1e-4)


def test_a_device_that_is_not_there_is_told():
    x, y, _ = items()
    with pytest.raises(FewShotError, match="device must be 'auto' or a name"):
        FewShotClassifier(device="gpu").fit(x, y)
