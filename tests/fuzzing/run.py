"""Many inputs, counted, as a record."""

import time
from collections import Counter
from importlib.metadata import version
from typing import Any

from fuzzing.kinds import KINDS
from fuzzing.trial import attempt, nth
from fuzzing.workers import outcomes

PACKAGES = ("fewshot", "numpy", "pillow", "pydantic", "pyyaml", "safetensors", "scipy", "torch", "datasets")
BAD = ("raw", "hang", "death", "silent")


def fuzz(seed: int, inputs: int, seconds: float, say: Any = print, jobs: int = 1) -> dict[str, Any]:
    """Damage files and read them, as often as the time allows.

    Args:
        seed: Of all damage: equal seeds and versions give equal inputs.
        inputs: At most so many.
        seconds: No input is begun after them.
        say: Takes a line for each input that came out badly.
        jobs: Processes at once.

    Returns:
        The record: inputs by kind, outcomes, and what must be empty: raw exceptions by place.
    """
    started, by_kind, bad = time.monotonic(), {name: Counter() for name in KINDS}, Counter()
    for number, outcome in outcomes(seed, inputs, started + seconds, attempt, jobs=jobs):
        kind, _ = nth(seed, number)
        what = "silent" if kind.sealed and outcome.what == "another answer" else outcome.what
        by_kind[kind.name][what] += 1
        if what in BAD:
            bad[f"{what}: {kind.name}: {outcome.place}"] += 1
            say(f"{number} {what} {kind.name} {outcome.place} {outcome.detail}")
    total = sum(map(Counter.total, by_kind.values()))
    return {
        "seed": seed,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "inputs": total,
        "outcomes": dict(sum(by_kind.values(), Counter())),
        "raw exceptions, hangs, ends of the process and answers otherwise in silence, by kind and place": dict(bad),
        "kinds": {name: dict(found) for name, found in by_kind.items()},
        "versions": {name: version(name) for name in PACKAGES},
    }
