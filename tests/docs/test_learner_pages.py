"""Numbers on the pages of the learners are those of the committed records."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_pages_say_what_the_records_say():
    done = subprocess.run([sys.executable, str(ROOT / "scripts/numbers"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
