"""``scripts/kill`` in small: a few kills of three commands, and that it sees what it looks for."""

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "kill"
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are copies of another")


def test_killed_runs_lose_nothing_and_leave_nothing(tmp_path):
    found = tmp_path / "kill.json"
    arguments = (
        "--times",
        "5",
        "--seed",
        "1",
        "--only",
        "train",
        "--only",
        "evaluate",
        "--only",
        "tune",
        "--out",
        found,
    )
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(found.read_text())
    assert report["kills"] == 5 and report["faults"] == [] and report["seed"] == 1 and report["versions"]["torch"]
    assert all(one["ends"] >= 1 for one in report["commands"].values())


@pytest.fixture(scope="module")
def kill():
    loader = importlib.machinery.SourceFileLoader("kill", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("kill", loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def trial(kill, tmp_path):
    """A trial of a run that is over, with one record and its answers."""
    from records import record

    (tmp_path / "data").mkdir()
    made = object.__new__(kill.Trial)
    made.name, made.data, made.folder, made.number, made.faults = "train", tmp_path / "data", tmp_path, 0, []
    place = made._place()
    record().save(place.folder / "out" / "a.json")
    (place.folder / "cache").mkdir()
    place.log.touch()
    made.said, made.tensors = place.said(), place.tensors()
    made._check_end(place, 0)
    assert made._check(place, 2**30, {"a.json"}) == {"a.json"} and made.faults == []
    return made, place


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda out: (out / "a.json").unlink(), "lost: ['a.json']"),
        (lambda out: (out / "a.json").write_text("{"), "not whole"),
        (lambda out: next(out.glob("*.npz")).unlink(), "not whole"),
        (lambda out: (out.parent / "cache" / "x.safetensors").write_bytes(b"torn"), "not whole"),
    ],
)
def test_a_fault_after_a_kill_is_seen(trial, spoil, message):
    made, place = trial
    spoil(place.folder / "out")
    made._check(place, 2**30, {"a.json"})
    assert len(made.faults) == 1 and message in made.faults[0]


def test_a_wrong_row_and_what_is_left_over_are_seen(trial):
    from records import record

    made, place = trial
    (place.folder / "out" / ".fewshot-1.part").touch()
    made._check_end(place, 0)
    record(correct=(1, 2, 3, 4)).save(place.folder / "out" / "a.json")
    made._check(place, 2**30, set())
    made._check_end(place, 0)
    made._check_end(place, 3)
    told = " ".join(made.faults)
    assert all(what in told for what in ("left over", "a wrong row: a.json", "another result", "exit code 3"))
