"""Numbers on the pages of the learners are those of the committed records."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_pages_say_what_the_records_say():
    done = subprocess.run([sys.executable, str(ROOT / "scripts/numbers"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", ["choosing.py", "deep_adaptation.py", "which_backbone.py"])
def test_a_table_of_a_benchmark_is_that_of_its_results(script):
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / script, "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
