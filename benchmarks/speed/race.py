"""Races: the same work by several libraries, in one process, in interleaved rounds.

A claim of speed is a ratio within one run: every contestant first gives an
answer that the race checks; then the contestants take turns, in rounds whose
order rotates, on pinned threads. Within a round the machine is as fast for one
as for the other, so each round gives one ratio; what counts is their median,
and the quartiles say how steady it was.
"""

import argparse
import gc
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
import torch

from fewshot.plumbing.files import write_json
from fewshot.training.memory import keep_freed_memory

OURS = "fewshot"
RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "torch", "fewshot", "easyfsl", "learn2learn", "parallel-metalearn", "skada", "scikit-learn")
Contestant = Callable[[], Any]


@dataclass(frozen=True)
class Ratio:
    """How many times longer a peer took than we did.

    Attributes:
        median: Median of the rounds' ratios; higher is better for us.
        low: Lower quartile.
        high: Upper quartile.
        target: What the median shall reach, or none.
    """

    median: float
    low: float
    high: float
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target."""
        return None if self.target is None else self.median >= self.target


@dataclass(frozen=True)
class Heat:
    """One race on one setting.

    Attributes:
        name: The setting, in a few words.
        seconds: Seconds per call of each contestant, one per round.
        ratios: One per peer.
        facts: What else was found, for the result file.
    """

    name: str
    seconds: dict[str, list[float]]
    ratios: dict[str, Ratio]
    facts: dict[str, Any] = field(default_factory=dict)


def present(builders: Mapping[str, Callable[[], Contestant]]) -> dict[str, Contestant]:
    """Build the contestants; one whose library is absent is named on stderr and left out."""
    built = {}
    for name, build in builders.items():
        try:
            built[name] = build()
        except ImportError as error:
            if name == OURS:
                raise
            print(f"{name} does not take part ({error}); scripts/peers installs it", file=sys.stderr)
    return built


def run(
    name: str,
    contestants: Mapping[str, Contestant],
    check: Callable[[dict[str, Any]], dict[str, Any] | None],
    rounds: int,
    targets: Mapping[str, float],
    least: float = 0.1,
) -> Heat:
    """Check the answers, then time the contestants in turns.

    Args:
        name: The setting, in a few words.
        contestants: One must be `OURS`. Each call does the same work.
        check: Gets every contestant's answer and raises if they are not equal
            in the sense of this race; may return facts for the result file.
        rounds: Number of rounds.
        targets: Ratio that each peer's median shall reach.
        least: Shortest time of one measurement, in seconds; quicker calls are repeated.
    """
    facts = check({name: contestant() for name, contestant in contestants.items()}) or {}
    calls = {name: max(1, math.ceil(least / timed(contestant, 1))) for name, contestant in contestants.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for order in orders(list(contestants), rounds):
        for contestant in order:
            seconds[contestant].append(timed(contestants[contestant], calls[contestant]))
    return Heat(name, seconds, compare(seconds, targets), facts)


def timed(contestant: Contestant, calls: int) -> float:
    """Seconds per call. As in ``timeit``, garbage is collected before and not while the clock runs."""
    gc.collect()
    gc.disable()
    try:
        started = time.perf_counter()
        for _ in range(calls):
            contestant()
        return (time.perf_counter() - started) / calls
    finally:
        gc.enable()


def orders(names: Sequence[str], rounds: int) -> list[list[str]]:
    """Who starts when: each round begins one place further on."""
    return [[names[(r + k) % len(names)] for k in range(len(names))] for r in range(rounds)]


def compare(seconds: Mapping[str, Sequence[float]], targets: Mapping[str, float]) -> dict[str, Ratio]:
    """Ratios of each peer to us, round by round, as median and quartiles."""
    ours = np.asarray(seconds[OURS])
    result = {}
    for name in seconds:
        if name != OURS:
            low, median, high = np.quantile(np.asarray(seconds[name]) / ours, (0.25, 0.5, 0.75)).tolist()
            result[name] = Ratio(median, low, high, targets.get(name))
    return result


def table(heats: Sequence[Heat]) -> str:
    """The heats as aligned columns."""
    rows = [("heat", "contestant", "ms a call", "times as long", "quartiles", "target", "")]
    for heat in heats:
        for name, seconds in heat.seconds.items():
            rows.append((heat.name, name, f"{1e3 * np.median(seconds):.3f}", *_cells(heat.ratios.get(name))))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    left = (str.ljust, str.ljust, *[str.rjust] * (len(widths) - 2))
    return "\n".join("  ".join(f(c, w) for f, c, w in zip(left, row, widths, strict=True)).rstrip() for row in rows)


def _cells(ratio: Ratio | None) -> tuple[str, str, str, str]:
    if ratio is None:
        return "1.00", "", "", ""
    target = "" if ratio.target is None else f">= {ratio.target:g}"
    verdict = {None: "", True: "met", False: "missed"}[ratio.met]
    return f"{ratio.median:.2f}", f"{ratio.low:.2f}..{ratio.high:.2f}", target, verdict


def report(
    name: str, heats: Sequence[Heat], settings: argparse.Namespace, started: dict[str, Any], notes: Sequence[str]
) -> None:
    """Print the table and write ``<out>/<name>.json``.

    Args:
        name: Name of the race.
        heats: What was run.
        settings: The command line's arguments.
        started: `machine` as it was before the first heat.
        notes: What a reader must know, such as a shim that a peer needed.
    """
    content = {
        "race": name,
        "rounds": settings.rounds,
        "threads": settings.threads,
        "machine": {**started, "load_average_after": os.getloadavg()},
        "notes": list(notes),
        "heats": [_as_dict(heat) for heat in heats],
    }
    print(
        f"{name}: {started['processor']}, {settings.threads} thread(s), {settings.rounds} rounds, load {started['load_average'][0]:.2f}"
    )
    print(table(heats))
    for note in notes:
        print(f"note: {note}")
    print(f"written to {write_json(settings.out / f'{name}.json', content)}", file=sys.stderr)


def _as_dict(heat: Heat) -> dict[str, Any]:
    return {
        "name": heat.name,
        "ratios": {name: {**asdict(ratio), "met": ratio.met} for name, ratio in heat.ratios.items()},
        "median_seconds": {name: float(np.median(seconds)) for name, seconds in heat.seconds.items()},
        "seconds": heat.seconds,
        "facts": heat.facts,
    }


def machine() -> dict[str, Any]:
    """What the times depend on: processor, cores, versions, and what else was running."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def processor() -> str:
    """The processor's name, from the kernel where the platform does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def arguments(description: str, rounds: int = 15) -> argparse.Namespace:
    """The command line of a race; pins the threads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds of each heat (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads of every contestant (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result file")
    settings = parser.parse_args()
    keep_freed_memory()  # for every contestant alike
    torch.set_num_threads(settings.threads)
    threadpoolctl.threadpool_limits(settings.threads)
    return settings
