"""How far rules that see no label of the target fall short of the best choice, over the 12 tasks of Office-Caltech10.

Run it to write ``benchmarks/results/choosing-without-labels.json`` (some minutes on one core; needs ``$FEWSHOT_DATA`` with
``transfer``); with ``--render`` it rewrites the table in ``docs/transfer.md`` from that file, with ``--check`` it fails if
they differ. The candidates were fixed before the first run. Labels of the target judge, and choose for the oracle alone.
"""

import argparse
import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.datasets.index import load_dataset
from fewshot.estimator.target import answer_target, features_of_domains, probabilities_of
from fewshot.evaluation.describe import versions
from fewshot.learners.index import load_learner
from fewshot.statistics.choosing.entropy import entropy
from fewshot.statistics.choosing.information_maximisation import information_maximisation
from fewshot.statistics.choosing.soft_neighbourhood_density import soft_neighbourhood_density
from fewshot.statistics.mean_accuracy import t_interval
from fewshot.tables.record_tables import Table, markdown, percent, with_interval

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from blocks import replaced  # noqa: E402

RESULTS, PAGE = ROOT / "benchmarks/results/choosing-without-labels.json", ROOT / "docs/transfer.md"
DOMAINS = ("caltech", "amazon", "webcam", "dslr")
SHARED = {"scaling": "sum, z-score", "head": "logistic-regression"}
DIMS = (10, 20, 30, 50, 100)
CANDIDATES: dict[str, tuple[str, dict[str, Any]]] = {
    "source-only": ("source-only", {}),
    "coral": ("coral", {}),
    **{
        f"{name} {dim}": (name, {"dim": dim})
        for name, dim in itertools.product(("joint-pca", "tca", "subspace-alignment", "gfk"), DIMS)
    },
    **{f"jda {dim}": ("jda", {"dim": dim}) for dim in (30, 100)},
}
RULES: dict[str, Callable[[np.ndarray], float]] = {  # higher is better
    "entropy": lambda p: -entropy(p),
    "information maximisation": information_maximisation,
    "soft neighbourhood density": soft_neighbourhood_density,
}
ORACLE, MEAN, NONE = "oracle (labels of the target)", "any candidate, on average", "source-only"
COLUMNS = ("chosen by", "mean accuracy %", "below the oracle", "above source-only", "worst task")


def main() -> None:
    """Run, render or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if not given.render and not given.check:
        found = {"versions": versions(), "candidates": list(CANDIDATES), "tasks": list(tasks())}
        RESULTS.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    wanted = replaced(PAGE, "choosing", rendered(json.loads(RESULTS.read_text("utf-8"))["tasks"]))
    if given.check and wanted != PAGE.read_text("utf-8"):
        raise SystemExit(f"{PAGE.name} is out of date; run benchmarks/choosing.py --render")
    PAGE.write_text(wanted, "utf-8")


def tasks() -> Any:
    """Accuracy and scores of every candidate on every task."""
    known = {name: load_dataset("office-caltech10", domain=name) for name in DOMAINS}
    for source, target in itertools.permutations(DOMAINS, 2):
        rows = features_of_domains(known[source], known[target].items, None)
        found = [candidate(name, options, rows, known[source], known[target]) for name, options in CANDIDATES.values()]
        print(source, target, round(100 * max(one["accuracy"] for one in found), 1), file=sys.stderr)
        yield {"source": source, "target": target, "found": found}


def candidate(name: str, options: dict[str, Any], rows: Any, source: Any, target: Any) -> dict[str, float]:
    """Accuracy on the target, and what each rule makes of the probabilities."""
    learner = load_learner(name, **SHARED | options)
    scores = answer_target(learner, rows[0], source.labels, len(source.class_names), rows[1])
    probable = probabilities_of(learner, scores)
    assert probable is not None and source.class_names == target.class_names
    right = float((scores.argmax(1) == target.labels).mean())
    return {"accuracy": right, **{rule: float(score(probable)) for rule, score in RULES.items()}}


def chosen(task: dict[str, Any]) -> dict[str, float]:
    """Accuracy of what each rule takes."""
    found = task["found"]
    taken = {rule: max(found, key=lambda one, rule=rule: one[rule])["accuracy"] for rule in RULES}
    every = [one["accuracy"] for one in found]
    return {ORACLE: max(every), **taken, MEAN: float(np.mean(every)), NONE: every[0]}


def rendered(found: list[dict[str, Any]]) -> str:
    """The table, in pairs over the tasks."""
    each = [chosen(task) for task in found]
    rows = []
    for rule in each[0]:
        mine, best, plain = (np.array([task[name] for task in each]) for name in (rule, ORACLE, NONE))
        gaps = [
            "–" if name == rule else points(sign * (mine - other))
            for name, other, sign in ((ORACLE, best, -1), (NONE, plain, 1))
        ]
        rows.append((rule, percent(float(mine.mean())), *gaps, f"{100 * (mine - plain).min():+.1f}"))
    note = (
        f"{len(CANDIDATES)} candidates on {len(each)} tasks; in points, with 95 % intervals over the tasks as if they were new ones; "
        "worst task: least difference to source-only",
    )
    return markdown(Table(COLUMNS, tuple(rows), notes=note))


def points(values: np.ndarray) -> str:
    """Mean over the tasks with its interval."""
    interval = t_interval(values)
    return with_interval(interval.estimate, interval.low, interval.high, signed=True)


if __name__ == "__main__":
    main()
