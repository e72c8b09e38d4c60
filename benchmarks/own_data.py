"""How well `FewShotClassifier` knows how sure it is: calibration and coverage on three kinds of real data.

Run it to write ``benchmarks/results/own-data.json`` (some minutes on two cores; needs ``$FEWSHOT_DATA`` with
``caltech101`` and ``clinc150``); with ``--render`` it rewrites the tables of ``docs/own-data.md`` from that file,
with ``--check`` it fails if they differ.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from fewshot.contract import SupportSet
from fewshot.datasets.index import load_dataset
from fewshot.estimator import left_out
from fewshot.estimator.calibration import fit_temperature
from fewshot.estimator.sets import cross_sets, split_sets
from fewshot.evaluation.describe import versions
from fewshot.learners.index import load_learner
from fewshot.statistics.calibration import calibration_error, negative_log_likelihood
from fewshot.training.memory import keep_freed_memory

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results" / "own-data.json", ROOT / "docs" / "own-data.md"
LEARNERS = {
    "logistic regression": ("logistic-regression", {}),
    "nearest mean": ("nearest-mean", {}),
    "nearest mean, cosine": ("nearest-mean", {"metric": "cosine"}),
}
WAY, QUERIES, TASKS, SEED = 10, 15, 100, 0
Row = dict[str, float | int | str]


def features() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, features and labels of each kind of data; of Caltech-101 every second class with 31 images each."""
    digits = load_dataset("digits")
    yield "digits, raw pixels", digits.items.reshape(len(digits), -1).astype(np.float32) / 255, digits.labels
    caltech = load_dataset("caltech101")
    rows = np.concatenate([np.flatnonzero(caltech.labels == k)[:31] for k in range(0, len(caltech.class_names), 2)])
    part = caltech.subset(np.sort(rows))
    yield "Caltech-101, efficientnet-lite0", *embedded(part, "efficientnet-lite0")
    yield "CLINC-150, all-MiniLM-L6-v2", *embedded(clinc(), "sentence-transformers:all-MiniLM-L6-v2")


def embedded(collection, backbone: str) -> tuple[np.ndarray, np.ndarray]:
    from fewshot.backbones.index import load_backbone

    return collection.embed(load_backbone(backbone)).items.numpy(), collection.labels


def clinc():
    """The test sentences of CLINC-150: 30 for each of 150 intents."""
    import os

    from fewshot.datasets.collection import Collection

    rows = json.loads((Path(os.environ["FEWSHOT_DATA"]) / "clinc150" / "data_full.json").read_text())["test"]
    return Collection.from_arrays([text for text, _ in rows], [label for _, label in rows], name="clinc150")


def tasks(x: np.ndarray, y: np.ndarray, shot: int, count: int, more: int = 0) -> Iterator[tuple]:
    """``(support, query, query_y, more, more_y)`` of random classes, all items of a task different."""
    rng = np.random.default_rng(SEED)
    for _ in range(count):
        classes = rng.choice(y.max() + 1, WAY, replace=False)
        drawn = [rng.permutation(np.flatnonzero(y == k)) for k in classes]
        cut = np.cumsum([0, shot, more, QUERIES])
        parts = [np.stack([rows[a:b] for rows in drawn]) for a, b in pairwise(cut)]
        support, other, query = (torch.from_numpy(x[rows.ravel()]) for rows in parts)
        own, other_y, query_y = (np.repeat(np.arange(WAY), rows.shape[1]) for rows in parts)
        yield SupportSet(support[None], torch.from_numpy(own)[None], WAY), query, query_y, other, other_y


def likeliest(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of greatest likelihood, targets of 1."""
    spread = np.log((scores.max(1) - scores.min(1)).mean())
    loss = lambda log_t: negative_log_likelihood(scores / np.exp(log_t), labels)  # noqa: E731
    return float(np.exp(minimize_scalar(loss, bounds=(spread - 14, spread + 7), method="bounded").x))


def answers(learner, support: SupportSet) -> tuple[np.ndarray, np.ndarray]:
    """Scores of left-out examples, and their classes."""
    return left_out.left_out_scores(left_out.left_out(learner, support), support.y[0].numpy(), support.n_way)


def one_at_a_time(learner, support: SupportSet) -> tuple[np.ndarray, np.ndarray]:
    """Scores of left-out examples where each is left out alone."""
    of_each = left_out.deal
    left_out.deal = lambda labels, equal: equal
    try:
        return answers(learner, support)
    finally:
        left_out.deal = of_each


def calibration(name: str, x: np.ndarray, y: np.ndarray) -> Iterator[Row]:
    """Calibration error and log loss of every way to find a temperature."""
    for shot in (2, 5, 10):
        for title, (learner_name, options) in LEARNERS.items():
            learner, found = load_learner(learner_name, **options), []
            for support, query, query_y, _, _ in tasks(x, y, shot, TASKS if shot < 10 else TASKS // 4):
                found.append(_one(learner, support, query, query_y, shot))
            yield {
                "data": name,
                "shot": shot,
                "learner": title,
                **{k: float(np.mean([f[k] for f in found])) for k in found[0]},
            }
            print(json.dumps(found[-1] | {"data": name, "shot": shot, "learner": title}), file=sys.stderr, flush=True)


def _one(learner, support: SupportSet, query: torch.Tensor, query_y: np.ndarray, shot: int) -> dict[str, float]:
    scores = left_out.scorer(learner, support)(query[None])[0]
    each, labels = answers(learner, support)
    temperatures = {"none": 1.0, "plain": likeliest(each, labels), "ours": fit_temperature(each, labels)}
    if shot <= 5:
        alone, alone_y = one_at_a_time(learner, support)
        temperatures["alone"] = fit_temperature(alone, alone_y)
    row = {"accuracy": float((scores.argmax(1) == query_y).mean())}
    for how, t in temperatures.items():
        row |= {
            f"{how} error": calibration_error(scores / t, query_y),
            f"{how} loss": negative_log_likelihood(scores / t, query_y),
        }
    return row


def coverage(name: str, x: np.ndarray, y: np.ndarray) -> Iterator[Row]:
    """Share of queries whose set holds the true label, and how large sets are."""
    for wanted in (0.8, 0.9):
        for how in ("left-out examples", "held-out items"):
            for title in ("logistic regression", "nearest mean, cosine"):
                learner = load_learner(LEARNERS[title][0], **LEARNERS[title][1])
                held = [_sets(learner, task, wanted, how) for task in tasks(x, y, 5, TASKS, more=10)]
                sets = np.stack([h for h, _ in held])
                true = np.stack([h[np.arange(len(t)), t] for h, t in held])
                sizes = sets.sum(2)
                yield {
                    "data": name, "learner": title, "from": how, "wanted": wanted, "covered": float(true.mean()),
                    "deviation": float(true.mean(1).std(ddof=1)), "size": float(sizes.mean()), "empty": float((sizes == 0).mean()),
                    "one": float((sizes == 1).mean()),
                }  # fmt: skip


def _sets(learner, task: tuple, wanted: float, how: str) -> tuple[np.ndarray, np.ndarray]:
    support, query, query_y, other, other_y = task
    if how == "left-out examples":
        folds = left_out.left_out(learner, support)
        return cross_sets(folds, support.y[0].numpy(), query, support.n_way, wanted), query_y
    answer = left_out.scorer(learner, support)
    return split_sets(answer(other[None])[0], other_y, answer(query[None])[0], wanted), query_y


def measure() -> dict[str, object]:
    """All of it, with what made it."""
    setting = {"way": WAY, "queries": QUERIES, "tasks": TASKS, "seed": SEED}
    content: dict[str, object] = {"schema": 1, "setting": setting, "versions": versions()}
    every = list(features())
    content["calibration"] = [row for data in every for row in calibration(*data)]
    content["coverage"] = [row for data in every for row in coverage(*data)]
    return content


def cell(value: float | int | str, column: str) -> str:
    """One figure: shares in per cent, sizes and losses as they are."""
    if not isinstance(value, float):
        return str(value)
    if column in ("wanted", "covered", "deviation", "empty", "one", "accuracy") or column.endswith("error"):
        return f"{100 * value:.0f}" if column == "wanted" else f"{100 * value:.1f}"
    return f"{value:.2f}"


COLUMNS = {
    "calibration": {
        "data": "data", "shot": "examples", "learner": "learner", "accuracy": "accuracy %", "none error": "before: error %",
        "ours error": "after: error %", "none loss": "before: loss", "ours loss": "after: loss",
    },
    "ways": {
        "data": "data", "shot": "examples", "learner": "learner", "none loss": "none", "plain loss": "targets of 1",
        "alone loss": "one at a time", "ours loss": "as built",
    },
    "coverage": {
        "data": "data", "learner": "learner", "from": "from", "wanted": "wanted %", "covered": "covered %",
        "deviation": "± between tasks", "size": "labels in a set", "one": "one label %", "empty": "empty %",
    },
}  # fmt: skip


def table(rows: list[Row], columns: dict[str, str]) -> str:
    """A Markdown table."""
    right = [isinstance(rows[0].get(key), (int, float)) for key in columns]
    lines = ["| " + " | ".join(columns.values()) + " |", "|" + "|".join("---:" if r else "---" for r in right) + "|"]
    lines += ["| " + " | ".join(cell(row.get(key, "–"), key) for key in columns) + " |" for row in rows]
    return "\n".join(lines)


def render(page: str, record: dict) -> str:
    """The page with each block between its markers replaced by the table of the record."""
    for name, columns in COLUMNS.items():
        rows = record["coverage" if name == "coverage" else "calibration"]
        rows = [row for row in rows if row["shot"] <= 5] if name == "ways" else rows
        start, end = f"<!-- own-data: {name} -->\n", "<!-- end -->"
        before, rest = page.split(start)
        page = f"{before}{start}\n{table(rows, columns)}\n\n{end}{rest.split(end, 1)[1]}"
    return page


def main() -> int:
    """Measure, render or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="rewrite the tables of the page")
    parser.add_argument("--check", action="store_true", help="fail if the tables of the page are stale")
    arguments = parser.parse_args()
    if not (arguments.render or arguments.check):
        keep_freed_memory()
        RESULTS.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
        return 0
    page = PAGE.read_text(encoding="utf-8")
    rendered = render(page, json.loads(RESULTS.read_text(encoding="utf-8")))
    if arguments.render:
        PAGE.write_text(rendered, encoding="utf-8")
    return int(arguments.check and rendered != page)


if __name__ == "__main__":
    sys.exit(main())
