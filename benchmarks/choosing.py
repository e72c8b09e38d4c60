"""How far rules that see no label of the target fall short of the best choice, over the 12 tasks of Office-Caltech10.

Run it to write ``benchmarks/results/choosing-without-labels.json`` (some minutes on one core; needs ``$FEWSHOT_DATA`` with
``transfer``); with ``--render`` it rewrites the table in ``docs/transfer.md`` from that file, with ``--check`` it fails if
they differ. The candidates were fixed before the first run. Labels of the target judge, and choose for the oracle alone.
"""

import argparse
import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from fewshot.contract import SupportSet
from fewshot.datasets.index import load_dataset
from fewshot.estimator.target import answer_target, features_of_domains, probabilities_of
from fewshot.evaluation.describe import versions
from fewshot.learners.adaptation.both_domains import BothDomains, fit_both
from fewshot.learners.index import load_learner
from fewshot.statistics.choosing.density_ratio import density_ratio
from fewshot.statistics.choosing.index import ON_SOURCE, ON_TARGET, best
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
RULES = (*ON_SOURCE, *ON_TARGET)
HELD_OUT = 0.2  # of each class of the source, by which rules on the source choose
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
        parts = HeldOut.of(rows, known[source])
        found = [candidate(*given, rows, parts, known[source], known[target]) for given in CANDIDATES.values()]
        print(source, target, round(100 * max(one["accuracy"] for one in found), 1), file=sys.stderr)
        yield {"source": source, "target": target, "found": found}


def candidate(
    name: str, options: dict[str, Any], rows: Any, parts: "HeldOut", source: Any, target: Any
) -> dict[str, float]:
    """Accuracy on the target, and the number of each rule; rules on the source see a fit without its held-out part."""
    learner = load_learner(name, **SHARED | options)
    scores = answer_target(learner, rows[0], source.labels, len(source.class_names), rows[1])
    probable = probabilities_of(learner, scores)
    assert probable is not None and source.class_names == target.class_names
    right = float((scores.argmax(1) == target.labels).mean())
    on_target = {rule: float(score(probable)) for rule, score in ON_TARGET.items()}
    return {"accuracy": right, **on_target, **parts.judged(learner)}


@dataclass(frozen=True)
class HeldOut:
    """The source in two parts: what is learned from, with the target, and what judges.

    Attributes:
        support: The first, and the target without labels.
        rows: The second.
        labels: Their classes.
        ratios: Their density ratios, in the scaled rows.
    """

    support: SupportSet
    rows: torch.Tensor
    labels: np.ndarray
    ratios: np.ndarray

    @classmethod
    def of(cls, rows: Any, source: Any) -> "HeldOut":
        """A fifth of each class is held out."""
        everything = np.arange(len(source))
        kept, held = train_test_split(everything, test_size=HELD_OUT, stratify=source.labels, random_state=0)
        y = torch.from_numpy(source.labels[kept])
        support = SupportSet(rows[0][kept], y, len(source.class_names), unlabelled=rows[1])
        plain = fit_both(load_learner("source-only", **SHARED), support)
        return cls(support, rows[0][held], source.labels[held], ratios(plain, support, rows[0][held]))

    def judged(self, learner: Any) -> dict[str, float]:
        """Rules that need losses on rows of the source: minus the log-probability of their class."""
        fitted = fit_both(learner, self.support)
        logs = fitted.source_scores(self.rows).log_softmax(-1).numpy()
        losses = -logs[np.arange(len(self.labels)), self.labels]
        given = {
            "source risk": (losses,),
            "importance-weighted risk": (losses, self.ratios),
            "deep embedded validation": (losses, ratios(fitted, self.support, self.rows)),
        }
        return {name: float(rule(*given[name])) for name, rule in ON_SOURCE.items()}


def ratios(fitted: BothDomains, support: SupportSet, rows: torch.Tensor) -> np.ndarray:
    """Density ratios of rows of the source, in the features of a fit."""
    source, target = fitted.source_features(support.x), fitted.target_features(support.unlabelled)
    return density_ratio(source.numpy(), target.numpy(), fitted.source_features(rows).numpy())


def chosen(task: dict[str, Any]) -> dict[str, float]:
    """Accuracy of what each rule takes."""
    found = task["found"]
    numbers = {rule: {str(k): one[rule] for k, one in enumerate(found)} for rule in RULES}
    taken = {rule: found[int(best(rule, values))]["accuracy"] for rule, values in numbers.items()}
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
