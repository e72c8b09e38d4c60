"""The check of a device: every learner on a second device that refuses all mixes, and what the check says of broken ones."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from second_device import DEVICE, second_device

from fewshot.learners.index import LEARNERS
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.testing import device_check, every_learner
from fewshot.testing.device_check import check_device
from fewshot.testing.every_learner import NOT_TRIED, case_of

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(LEARNERS) - set(NOT_TRIED)))
def test_every_learner_answers_on_a_second_device_as_on_the_cpu(name):
    with second_device():
        found = device_check._tried(case_of(name), DEVICE)
    assert found["word"] == "agrees", found
    assert found["difference"] <= 1e-5 and found["same_answers"] == 1


def test_every_learner_has_a_case_or_a_reason():
    assert {case.name for case in every_learner.every_learner()} == set(LEARNERS) - set(NOT_TRIED)
    assert set(NOT_TRIED) <= set(LEARNERS)


@dataclass(frozen=True)
class Broken:
    """Nearest means with a fault that only another device than the CPU shows."""

    fault: str

    def adapt(self, support):
        classify = NearestMean().adapt(support)

        def answer(query):
            if support.x.device.type == "cpu":
                return classify(query)
            if self.fault == "fails":
                return classify(query) + torch.ones(3)
            if self.fault == "lacks an operation":
                raise NotImplementedError("aten::nothing is not implemented here")
            return classify(query).roll(1, -1)

        return answer


@pytest.mark.parametrize("fault", ["fails", "lacks an operation", "differs"])
def test_faults_have_a_word(fault, monkeypatch):
    case = case_of("nearest-mean")._replace(learner=Broken(fault))
    monkeypatch.setattr(device_check, "case_of", lambda name: case)
    monkeypatch.setattr(device_check, "_training", lambda device: {"agrees": True})
    with second_device():
        found = check_device(DEVICE, ["nearest-mean"], lambda line: None)
    assert found["learners"]["nearest-mean"]["word"] == fault
    assert found["passes"] == (fault == "lacks an operation")
    assert found["lacking"] == (["nearest-mean"] if fault == "lacks an operation" else [])


@pytest.mark.slow
def test_all_of_it_on_a_second_device():
    with second_device():
        found = check_device(DEVICE, ["nearest-mean", "protonet"], lambda line: None)
    assert found["passes"] and found["device"] == "vulkan:0" and set(found["learners"]) == {"nearest-mean", "protonet"}
    assert found["training"]["difference"] <= 1e-4 and found["training"]["resumed"] == 0
    assert min(found["speeds"]["device"].values()) > 0
    json.dumps(found)


def script(*given):
    command = [sys.executable, str(ROOT / "scripts/device_check"), *given]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)


def test_a_device_that_is_not_there_ends_with_2():
    done = script("--device", "cuda:77")
    assert done.returncode == 2 and not done.stdout
    assert (
        done.stderr.startswith("error: device must be on this machine, got 'cuda:77'") and done.stderr.count("\n") == 1
    )


@pytest.mark.slow
def test_the_script_writes_a_record(tmp_path):
    done = script("--device", "cpu", "--only", "nearest-mean", "--out", str(tmp_path / "cpu.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "cpu.json").read_text())
    assert found["passes"] and found["device"] == "cpu" and found["training"]["difference"] == 0


@pytest.mark.parametrize("name", ["cpu"])
def test_committed_records_pass(name):
    found = json.loads((ROOT / "benchmarks/devices" / f"{name}.json").read_text())
    assert found["passes"] and found["device"].startswith(name)
    assert set(found["learners"]) == set(LEARNERS) - set(NOT_TRIED)
