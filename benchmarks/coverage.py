"""How often each interval of ``fewshot.statistics`` holds the truth, by simulation.

Run it to write ``benchmarks/results/coverage.json`` (some minutes on one core);
with ``--render`` it rewrites the tables of ``docs/intervals.md`` from that file,
with ``--check`` it fails if they differ. Every regime has its own seed, so one
can be repeated alone.
"""

import argparse
import json
import platform
import sys
from pathlib import Path

import numpy as np
import scipy
from coverage_studies import SEED, STUDIES, Row

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "coverage.json"
PAGE = ROOT / "docs" / "intervals.md"
SETTINGS = {"accuracy", "wanted"}


def simulate(shrink: int = 1) -> dict[str, object]:
    """All studies, with what made them; ``shrink`` divides the repeats."""
    versions = {"python": platform.python_version(), "numpy": np.__version__, "scipy": scipy.__version__}
    studies = {name: list(study(n // shrink)) for name, (study, n) in STUDIES.items()}
    return {"schema": 1, "seed": SEED, "level": 0.95, "versions": versions, "studies": studies}


def cell(row: Row, column: str) -> str:
    """One figure of a table: shares in percent, with the mean half width; settings as they are."""
    if column not in row:
        return "refused"
    if not isinstance(row[column], float) or column in SETTINGS:
        return str(row[column])
    width = f" (±{row[f'{column} width']:.4f})" if f"{column} width" in row else ""
    return f"{100 * float(row[column]):.1f}{width}"


def table(rows: list[Row]) -> str:
    """A Markdown table with the columns of the first row."""
    columns = [c for c in rows[0] if not c.endswith(" width")]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---:|" * len(columns)]
    lines += ["| " + " | ".join(cell(row, c) for c in columns) + " |" for row in rows]
    return "\n".join(lines)


def render(page: str, record: dict[str, object]) -> str:
    """The page with each block between its markers replaced by the table of that study."""
    studies: dict[str, list[Row]] = record["studies"]  # type: ignore[assignment]
    for name, rows in studies.items():
        start, end = f"<!-- coverage: {name} -->\n", "<!-- end -->"
        before, rest = page.split(start)
        page = f"{before}{start}\n{table(rows)}\n\n{end}{rest.split(end, 1)[1]}"
    return page


def main() -> int:
    """Simulate, render or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="rewrite the tables of the page")
    parser.add_argument("--check", action="store_true", help="fail if the tables of the page are stale")
    arguments = parser.parse_args()
    if not (arguments.render or arguments.check):
        RESULTS.write_text(json.dumps(simulate(), indent=1) + "\n", encoding="utf-8")
        return 0
    page = PAGE.read_text(encoding="utf-8")
    rendered = render(page, json.loads(RESULTS.read_text(encoding="utf-8")))
    if arguments.render:
        PAGE.write_text(rendered, encoding="utf-8")
    return int(arguments.check and rendered != page)


if __name__ == "__main__":
    sys.exit(main())
