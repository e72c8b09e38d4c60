"""The records of long runs of the fuzzer and of kills: nothing bad in them, and the documentation says what they say."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FUZZ, KILL = (json.loads((ROOT / "benchmarks/robustness" / f"{name}.json").read_text()) for name in ("fuzz", "kill"))


def test_no_damaged_input_came_out_badly():
    assert FUZZ["inputs"] >= 100_000
    assert sum(FUZZ["outcomes"].values()) == FUZZ["inputs"]
    assert set(FUZZ["outcomes"]) == {"another answer", "refused", "as whole"}
    assert sum(sum(found.values()) for found in FUZZ["kinds"].values()) == FUZZ["inputs"]


def test_no_kill_lost_anything():
    assert KILL["kills"] >= 200
    assert sum(command["kills"] for command in KILL["commands"].values()) == KILL["kills"]
    assert KILL["faults"] == [] and all(command["faults"] == 0 for command in KILL["commands"].values())


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/design.md"])
def test_the_documentation_says_what_the_records_say(page):
    text = (ROOT / page).read_text()
    assert f"{FUZZ['inputs']:,} damaged inputs" in text and f"{KILL['kills']} kills" in text
    assert f"scripts/fuzz --seed {FUZZ['seed']} --inputs {FUZZ['inputs']}" in text
