"""Processes that share the work: they end with the one that started them, and a killed one is told in a sentence."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fewshot.errors import FewShotError
from fewshot.recipes.workers import share

PARENT = """
import os, subprocess, sys, time
child = f"from fewshot.recipes.workers import end_with_parent; end_with_parent({os.getpid()}); print('ready', flush=True)\\nimport time; time.sleep(120)"
started = subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE)
assert started.stdout.readline() == b"ready\\n"
print(started.pid, flush=True)
time.sleep(120)
"""
IDLE = """
import os, time
from fewshot.recipes.workers import share
for pid in share(lambda seconds: time.sleep(seconds) or os.getpid(), [(0,), (120,)], 3):
    print(pid, flush=True)
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with Path(f"/proc/{pid}/stat").open() as file:  # a zombie, where nobody waits for orphans
        return file.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, which Linux has")
def test_a_worker_ends_after_its_parent_was_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    worker = int(parent.stdout.readline())
    assert is_alive(worker)
    parent.kill(), parent.communicate()
    deadline = time.monotonic() + 30
    while is_alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_alive(worker)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, which Linux has")
def test_workers_without_work_end_after_their_parent_was_killed():
    parent = subprocess.Popen([sys.executable, "-c", IDLE], stdout=subprocess.PIPE, text=True)
    parent.stdout.readline()
    workers = [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if parent_of(path) == parent.pid]
    assert len(workers) >= 3
    parent.kill(), parent.wait(), parent.stdout.close()  # whose other end the workers hold
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))


def parent_of(path):
    try:
        return int(path.read_text().rpartition(")")[2].split()[1])
    except OSError:  # ended meanwhile
        return None


def test_a_worker_that_comes_up_after_its_parent_has_ended_ends():
    code = (
        "import time; from fewshot.recipes.workers import end_with_parent; end_with_parent(2**22 + 1); time.sleep(120)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 1


def test_with_one_job_all_is_done_here_in_turn():
    assert list(share(lambda a, b: (a, b, os.getpid()), [(1, 2), (3, 4)], 1)) == [
        (1, 2, os.getpid()),
        (3, 4, os.getpid()),
    ]


def test_a_killed_worker_is_told_in_a_sentence():
    with pytest.raises(
        FewShotError, match=r"each of the 2 processes must live .* the same command again with fewer --jobs"
    ):
        list(share(os._exit, [(9,), (9,)], 2))
