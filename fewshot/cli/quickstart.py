"""``fewshot-bench quickstart``: a real benchmark in under a minute, with nothing to download.

Digits that come with scikit-learn, a network that was trained on Omniglot's characters
and comes with this package, and three baselines on the same episodes.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fewshot.cli.digits_benchmark import (
    EPISODES,
    METHODS,
    NETWORK,
    PICTURES,
    QUERY,
    REFERENCE,
    SEED,
    WAY,
    Results,
    benchmark,
    record_path,
)
from fewshot.cli.terminal.output import document, show_tables, stdout_kept
from fewshot.records.compare import compare
from fewshot.records.record import Record
from fewshot.tables.record_tables import Table, accuracy_cell, with_interval

TABLE_SHOTS = (1, 5)


def quickstart(out: Path, as_json: bool, episodes: int = EPISODES) -> None:
    """Evaluate four methods on 10-way digits, write records and pictures, print a table.

    The reference of the paired differences is raw-pixel nearest mean, named before any number was seen.

    Args:
        out: Folder for two pictures (PNG) and, in a folder for each number of shots, the records (JSON)
            with their answers (npz); made if missing.
        as_json: Print one JSON document instead of the table.
        episodes: How many, of each number of shots.

    Raises:
        DataError: If the folder cannot be written.
        MissingDataError: If the package was installed without its weights.
    """
    started = time.perf_counter()
    with stdout_kept():
        results = benchmark(out, episodes)
    summary = _summary(results, out, time.perf_counter() - started)
    if as_json:
        document(summary)
    else:
        show_tables(_table(results, summary))


def _summary(results: Results, out: Path, seconds: float) -> dict[str, Any]:
    """What was found, as JSON: accuracies and differences are fractions."""
    seen, episodes = results[1][NETWORK].pretraining_classes, results[1][REFERENCE].episodes
    return {
        "task": {"data": "digits", "way": WAY, "query": QUERY, "episodes": episodes.count, "seed": SEED},
        "reference": REFERENCE,
        "network": {
            "training_classes": seen.count if seen else 0,
            "of_them_asked_here": seen.overlap if seen else 0,
        },
        "rows": [row for shot, records in results.items() for row in _rows(shot, records, out)],
        "folder": str(out),
        "pictures": [str(out / name) for name in PICTURES],
        "seconds": seconds,
    }


def _rows(shot: int, records: Mapping[str, Record], out: Path) -> list[dict[str, Any]]:
    """One row a method: accuracy, and paired difference to the reference where it is not the reference."""
    differences = {c.name: c.difference for c in compare(records, REFERENCE)}
    rows = []
    for name, record in records.items():
        accuracy, d = record.summary, differences.get(name)
        ends = {"low": accuracy.low, "high": accuracy.high, "level": accuracy.level, "estimand": accuracy.estimand}
        paired = None if d is None else {"mean": d.estimate, "low": d.low, "high": d.high, "level": d.level}
        file = str(record_path(out, shot, METHODS[name][0]))
        rows.append(
            {
                "method": name,
                "shot": shot,
                "accuracy": {"mean": record.accuracy, **ends},
                "difference": paired,
                "record": file,
            }
        )
    return rows


def _table(results: Results, summary: Mapping[str, Any]) -> Table:
    """The table, what was done, and where the files are."""
    first, network = results[1][REFERENCE], summary["network"]
    columns = ("method", *(column for shot in TABLE_SHOTS for column in (f"{shot}-shot %", "difference")))
    notes = (
        f"{WAY}-way digits, {QUERY} queries a class, {first.episodes.count} episodes; "
        f"mean ± {first.summary.level:.0%} interval for {first.summary.estimand}",
        f"difference: to {REFERENCE}, on the same episodes, in percentage points; above 0 is better",
        f"Conv-4 was trained on {network['training_classes']:,} classes of Omniglot's characters; "
        f"{network['of_them_asked_here']} of the {WAY} digits were among them",
        f"records, answers and two pictures are in {summary['folder']} ({summary['seconds']:.0f} s)",
    )
    return Table(columns, tuple(_line(name, results, summary["rows"]) for name in METHODS), notes=notes)


def _line(name: str, results: Results, rows: list[dict[str, Any]]) -> tuple[str, ...]:
    differences = {row["shot"]: row["difference"] for row in rows if row["method"] == name}
    cells = [name]
    for shot in TABLE_SHOTS:
        d = differences[shot]
        paired = "reference" if d is None else with_interval(d["mean"], d["low"], d["high"], signed=True)
        cells += [accuracy_cell(results[shot][name]), paired]
    return tuple(cells)
