"""Memory: 50,000 rows of the source and 50,000 of the target with 800 columns, each learner in a process of its own.

Run it to write ``benchmarks/speed/results/many_rows.json``: the largest resident memory of the process, with the rows in
float32 and the libraries. From ``TALL`` rows on, maps are found from products that are summed in blocks, and the kernel of
``kmm`` is Nyström's; the head is the nearest mean, or a ridge with weights.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import race
import torch

from fewshot.contract import SupportSet
from fewshot.learners.adaptation.subspaces import TALL
from fewshot.learners.index import load_learner
from fewshot.plumbing.files import write_json

ROWS, COLUMNS, CLASSES, BLOCK, LIMIT = 50_000, 800, 10, 5000, 2.0
LEARNERS: dict[str, dict[str, Any]] = {
    "tca": {"dim": 30, "head": "nearest-mean"},
    "gfk": {"dim": 20, "head": "nearest-mean"},
    "coral": {"head": "nearest-mean"},
    "kmm": {"head": "ridge"},
}


def domain(labels: torch.Tensor, move: float, generator: torch.Generator) -> torch.Tensor:
    """Rows around a point for each class, made a block at a time."""
    points, rows = torch.randn(CLASSES, COLUMNS, generator=generator), torch.empty(len(labels), COLUMNS)
    for start in range(0, len(labels), BLOCK):
        part = points[labels[start : start + BLOCK]]
        rows[start : start + BLOCK] = part + torch.randn(part.shape, generator=generator) + move
    return rows


@torch.no_grad()
def once(name: str) -> None:
    """Fit and query one learner; GiB and seconds are printed."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (ROWS,), generator=generator)
    x, target = domain(y, 0.0, generator), domain(y, 0.3, generator)
    started = time.perf_counter()
    classify = load_learner(name, **LEARNERS[name]).adapt(
        SupportSet(x[None], y[None], CLASSES, unlabelled=target[None])
    )
    for block in torch.split(target, BLOCK):
        classify(block[None])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(peak, time.perf_counter() - started)


def main() -> None:
    """A process for each learner."""
    if len(sys.argv) > 1:
        once(sys.argv[1])
        return
    found = {}
    for name in LEARNERS:
        told = subprocess.run(
            [sys.executable, __file__, name], check=True, capture_output=True, text=True
        ).stdout.split()
        found[name] = {"options": LEARNERS[name], "peak_gib": float(told[0]), "seconds": float(told[1])}
        print(name, *told, "met" if float(told[0]) < LIMIT else "missed", file=sys.stderr)
    content = {
        "rows": ROWS,
        "columns": COLUMNS,
        "limit_gib": LIMIT,
        "tall": TALL,
        "machine": race.machine(),
        "learners": found,
    }
    write_json(Path(__file__).parent / "results/many_rows.json", content)


if __name__ == "__main__":
    main()
