"""Do scores of transferability rank backbones as few-shot accuracy does? Six backbones on each of three data sets.

Run it to write ``benchmarks/results/which-backbone.json`` (some minutes on one core; needs ``$FEWSHOT_DATA`` with
``caltech101`` and ``omniglot``, and the extras ``images`` and ``more-images``); with ``--render`` it rewrites the tables in
``docs/transferability.md`` from that file, with ``--check`` it fails if they differ. The items of each class are halved:
scores see the labels of one half, accuracy is measured on episodes of the other. Backbones, data and scores were fixed
before the first run.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from fewshot.backbones.index import load_backbone
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.episodes import EpisodeSpec
from fewshot.evaluation.describe import versions
from fewshot.evaluation.evaluate import evaluate
from fewshot.learners.linear.ridge import Ridge
from fewshot.plumbing.files import write_json
from fewshot.statistics.transferability.h_score import h_score
from fewshot.statistics.transferability.log_me import log_me
from fewshot.statistics.transferability.trans_rate import trans_rate
from fewshot.tables.record_tables import Table, markdown, percent, with_interval
from fewshot.training.memory import keep_freed_memory

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from blocks import replaced  # noqa: E402

RESULTS, PAGE = ROOT / "benchmarks/results/which-backbone.json", ROOT / "docs/transferability.md"
NETWORKS = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
GREY: dict[str, dict[str, Any]] = {"pixels": {}, "conv4": {}, "conv4-omniglot": {}, **{name: {} for name in NETWORKS}}
COLOUR = {"pixels": {}, "conv4": {"in_channels": 3, "size": 84}, "resnet12": {}, **{name: {} for name in NETWORKS}}
DATA: dict[str, tuple[dict[str, Any], dict[str, dict[str, Any]]]] = {
    "caltech101": ({}, COLOUR),
    "omniglot": ({"rotations": "none"}, GREY),
    "digits-strokes": ({}, GREY),
}
CLASSES, SPEC, EPISODES, SEED, DRAWS = 20, EpisodeSpec(5, 5, 5), 600, 0, 2000
Score = Callable[[np.ndarray, np.ndarray], float]


def nearest_mean_left_out(features: np.ndarray, labels: np.ndarray) -> float:
    """The control: accuracy of the nearest class mean, each row left out of its own."""
    counts = np.bincount(labels)
    means = np.stack([features[labels == k].mean(0) for k in range(len(counts))])
    distances = (features**2).sum(1)[:, None] - 2 * features @ means.T + (means**2).sum(1)
    own = (counts / np.maximum(counts - 1, 1))[labels] ** 2  # the own mean without the row lies farther by this factor
    distances[np.arange(len(labels)), labels] *= own
    return float((distances.argmin(1) == labels).mean())


SCORES: dict[str, Score] = {
    "H-score": h_score,
    "H-score, no shrinkage": lambda x, y: h_score(x, y, shrink=False),
    "LogME": log_me,
    "TransRate": trans_rate,
    "nearest mean, left out": nearest_mean_left_out,
}


def main() -> None:
    """Run, render or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if not given.render and not given.check:
        keep_freed_memory()
        found = {name: measured(name) for name in DATA}
        write_json(RESULTS, {"data": found, "episodes": EPISODES, "versions": versions()})
    text = replaced(PAGE, "which-backbone", rendered(json.loads(RESULTS.read_text("utf-8"))["data"]))
    if given.check and text != PAGE.read_text("utf-8"):
        raise SystemExit(f"{PAGE.name} must say what {RESULTS.name} holds; run this script with --render")
    PAGE.write_text(text, "utf-8")


def measured(name: str) -> dict[str, dict[str, float]]:
    """Scores, accuracy and seconds of each backbone on a data set."""
    options, backbones = DATA[name]
    scored, evaluated = halves(load_dataset(name, **options))
    return {one: of_backbone(load_backbone(one, **own), scored, evaluated) for one, own in backbones.items()}


def halves(data: Collection) -> tuple[Collection, Collection]:
    """Up to twenty classes, of the test part where there is one, and half of the items of each."""
    data = data.split("test") if "test" in data.splits else data
    rng = np.random.default_rng(SEED)
    kept = sorted(rng.choice(len(data.class_names), min(CLASSES, len(data.class_names)), replace=False))
    rows = [rng.permutation(np.flatnonzero(data.labels == k)) for k in kept]
    first, second = (np.sort(np.concatenate([own[start::2] for own in rows])) for start in (0, 1))
    return data.subset(first), data.subset(second)


def of_backbone(backbone: Any, scored: Collection, evaluated: Collection) -> dict[str, float]:
    """Each score with its seconds, and the accuracy of ridge regression on episodes."""
    started = time.perf_counter()
    features = np.asarray(scored.embed(backbone).items, np.float64).reshape(len(scored), -1)
    found = {"seconds: features": time.perf_counter() - started}
    for name, score in SCORES.items():
        started = time.perf_counter()
        found[name] = score(features, scored.labels)
        found[f"seconds: {name}"] = time.perf_counter() - started
    record = evaluate(Ridge(), evaluated.embed(backbone), SPEC, EPISODES, SEED)
    interval = {"low": record.summary.low, "high": record.summary.high}
    return found | {"accuracy": record.accuracy} | interval


def rendered(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Accuracy and scores of each backbone, and how far each score ranks as accuracy does."""
    columns = ("data", "backbone", "accuracy %", *SCORES)
    rows = [
        (data, one, accuracy(values), *(f"{values[name]:.3f}" for name in SCORES))
        for data, backbones in found.items()
        for one, values in backbones.items()
    ]
    note = "accuracy: ridge regression, 5-way 5-shot, on the half of the items that no score saw; scores: on the other half"
    return "\n\n".join([markdown(Table(columns, tuple(rows), notes=(note,))), markdown(agreement(found))])


def accuracy(values: dict[str, float]) -> str:
    """Per cent with its interval."""
    return with_interval(values["accuracy"], values["low"], values["high"])


def agreement(found: dict[str, dict[str, dict[str, float]]]) -> Table:
    """Kendall's τ of each score with accuracy, and what taking its best backbone costs."""
    rows = []
    for name in SCORES:
        pairs = [np.array([[v[name], v["accuracy"]] for v in backbones.values()]) for backbones in found.values()]
        lost = [pair[:, 1].max() - pair[pair[:, 0].argmax(), 1] for pair in pairs]
        estimate, low, high = mean_tau(pairs)
        seconds = sum(v[f"seconds: {name}"] for backbones in found.values() for v in backbones.values())
        each = [f"{tau(pair):+.2f}" for pair in pairs]
        rows.append(
            (name, *each, f"{estimate:+.2f} [{low:+.2f}, {high:+.2f}]", percent(float(np.mean(lost))), f"{seconds:.1f}")
        )
    notes = (
        "τ: Kendall's, over the six backbones of a data set; mean over the data sets with its 95 % bootstrap interval over "
        "backbones; points lost: accuracy of the best backbone minus that of the score's choice, mean over the data sets",
    )
    columns = ("score", *(f"τ {data}" for data in found), "mean τ", "points lost", "seconds in all")
    return Table(columns, tuple(rows), notes=notes)


def tau(pair: np.ndarray) -> float:
    """Kendall's τ-b of two columns; 0 where one of them is constant."""
    return float(np.nan_to_num(kendalltau(pair[:, 0], pair[:, 1]).statistic))


def mean_tau(pairs: list[np.ndarray]) -> tuple[float, float, float]:
    """Mean τ over the data sets, and its percentile interval for other backbones."""
    rng = np.random.default_rng(SEED)
    draws = [np.mean([tau(pair[rng.integers(len(pair), size=len(pair))]) for pair in pairs]) for _ in range(DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(np.mean([tau(pair) for pair in pairs])), float(low), float(high)


if __name__ == "__main__":
    main()
