"""Deep adaptation: a plain network, and the same network with a term that sees the target without labels.

Run it to write ``benchmarks/results/deep-adaptation.json`` (needs ``$FEWSHOT_DATA`` with ``transfer``; about half an hour on
one core); runs that are there already are not made again. With ``--render`` it rewrites the table in ``docs/transfer.md`` from
that file, with ``--check`` it fails if they differ.

Amazon reviews: the protocol of Ganin et al. (JMLR 2016, section 5.1.3), 2,000 labelled reviews of the source, 2,000 of the target
without labels, accuracy on the target's test part. Digits: a random half of the target is the pool, the other half is
queried. Every tenth item of the source validates: it chooses the step, and nothing else is chosen. Settings are one for all
tasks of a data set, and weights of terms one for all; learning rate and steps were fixed on that accuracy of books and USPS.
Labels of the target only count what is right.
"""

import argparse
import base64
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fewshot import Transfer, evaluate, load_dataset
from fewshot.datasets.collection import Collection
from fewshot.evaluation.describe import versions
from fewshot.plumbing.files import write_text
from fewshot.records.record import Record, TrainingInfo
from fewshot.statistics.mean_accuracy import t_interval
from fewshot.tables.record_tables import Table, markdown, percent, with_interval
from fewshot.training.own_head import OwnHead
from fewshot.training.supervised import ClassHead, SupervisedTraining, pretrain
from fewshot.training.terms.cdan import CDAN
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.dann import DANN
from fewshot.training.terms.deep_coral import DeepCORAL
from fewshot.training.terms.mk_mmd import MKMMD
from fewshot.training.terms.step import described

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from blocks import replaced  # noqa: E402

RESULTS, PAGE = ROOT / "benchmarks/results/deep-adaptation.json", ROOT / "docs/transfer.md"
NAMES = ("data", "source", "target", "method", "seed")
SEEDS = 5
TASKS = {
    "amazon-reviews": tuple(itertools.permutations(("books", "dvd", "electronics", "kitchen"), 2)),
    "usps-mnist": (("usps", "mnist"), ("mnist", "usps")),
}
HIDDEN = {"amazon-reviews": 50, "usps-mnist": 100}
OWN = {
    "amazon-reviews": {"steps": 300, "learning_rate": 0.002},
    "usps-mnist": {"steps": 1000, "learning_rate": 0.01},
}
SHARED = {"batch_size": 100, "schedule": "constant", "validate_every": 20}
PLAIN = "plain"
METHODS: dict[str, Any] = {
    PLAIN: lambda dim, classes: [],
    "dann": lambda dim, classes: [DANN(dim, hidden=(), weight=0.1, reversal=1.0)],
    "mk-mmd": lambda dim, classes: [MKMMD()],
    "deep-coral": lambda dim, classes: [DeepCORAL()],
    "cdan": lambda dim, classes: [CDAN(dim, classes, hidden=(), weight=0.1, reversal=1.0)],
}
PUBLISHED = {("amazon-reviews", PLAIN): 0.761, ("amazon-reviews", "dann"): 0.763}
"""Means of the twelve tasks in table 1 of Ganin et al. (2016), columns NN and DANN on the original data. DANN was read in a survey that repeats
it; NN was written down from memory and not read again."""
COLUMNS = (
    "data", "tasks", "term", "seeds", "mean accuracy %", "published %", "gain, these tasks", "gain, new tasks", "helps, hurts",
)  # fmt: skip


def main() -> None:
    """Run, render or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if not given.render and not given.check:
        torch.set_num_threads(1)
        make_all()
    wanted = replaced(PAGE, "deep-adaptation", rendered(json.loads(RESULTS.read_text("utf-8"))["runs"]))
    if given.check and wanted != PAGE.read_text("utf-8"):
        raise SystemExit(f"{PAGE.name} is out of date; run benchmarks/deep_adaptation.py --render")
    PAGE.write_text(wanted, "utf-8")


def make_all() -> None:
    """Make what is missing, and save after every run."""
    found = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {"training": {}, "runs": []}
    done = {tuple(one[name] for name in NAMES) for one in found["runs"]}
    for key in planned():
        if key not in done:
            record, validation = made(*key)
            found["versions"] = versions()
            told = record.training.model_dump(mode="json")
            found["training"][f"{key[0]} {key[3]}"] = {name: told[name] for name in ("split", "budget")}
            found["runs"].append(row(key, record, validation, plain_right(found["runs"], key)))
            write_text(RESULTS, json.dumps(found, indent=None).replace("}, {", "},\n{") + "\n")
            print(*key, round(100 * record.summary.accuracy, 1), file=sys.stderr)


def planned() -> Iterator[tuple[str, str, str, str, int]]:
    """All runs: data, source, target, method, seed; what most depends on comes first."""
    for methods in (list(METHODS)[:2], list(METHODS)[2:]):
        for seed, (data, tasks) in itertools.product(range(SEEDS), TASKS.items()):
            for (source, target), method in itertools.product(tasks, methods):
                yield data, source, target, method, seed


@cache
def domain(data: str, name: str) -> Collection:
    """Amazon reviews with their parts; digits as rows of unit length."""
    known = load_dataset(data, domain=name)
    if data == "amazon-reviews":
        return known
    rows = np.asarray(known.items, np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return Collection(rows / lengths, known.labels, known.class_names, name=f"{data}/{name}")


@cache
def task_of(data: str, source: str, target: str) -> Transfer:
    """The source's training part, or all of it; the target's pool and queries."""
    base = domain(data, source)
    return Transfer(base.split("train") if base.splits else base, domain(data, target), allow_equal=True)


def made(data: str, source: str, target: str, method: str, seed: int) -> tuple[Record, float]:
    """The record of a network that was trained on source and pool, and its validation accuracy."""
    task = task_of(data, source, target)
    tenth = np.arange(len(task.source)) % 10 == 9
    base, held = task.source.subset(~tenth), task.source.subset(tenth)
    network, terms = network_and_terms(data, base, method, seed)

    def validate(_: Any) -> float:
        with torch.no_grad():
            answers = network.logits(network.embed(held.take(np.arange(len(held)))))
        return float((answers.argmax(1).numpy() == held.labels).mean())

    settings = SHARED | OWN[data]
    pool = task.target.subset(task.parts[0])
    state = pretrain(
        network, base, SupervisedTraining(seed=seed, **settings), terms=terms, pool=pool, validate=validate
    )
    best = max(accuracy for _, accuracy in state.validations)
    budget = settings | {"terms": described(terms), "pool": f"training part of '{target}', without labels"}
    training = TrainingInfo(split=source, budget=budget, seed=seed, classes_hash=base.hash)
    return evaluate(OwnHead(network), task).model_copy(update={"training": training}), best


def network_and_terms(data: str, base: Collection, method: str, seed: int) -> tuple[ClassHead, list[Any]]:
    """One hidden layer with its head, the same for all methods of a seed, and the terms of a method."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        hidden, classes = HIDDEN[data], len(base.class_names)
        backbone = nn.Sequential(nn.Linear(base.items.shape[1], hidden), nn.Sigmoid())
        network = ClassHead(backbone, classes, dim=hidden)
        return network, [CrossEntropy(), *METHODS[method](hidden, classes)]


def row(
    key: tuple[str, str, str, str, int], record: Record, validation: float, plain: np.ndarray | None
) -> dict[str, Any]:
    """What is kept of a run; beside the plain network of the same seed, how many items are gained and lost."""
    right = np.array(record.correct, bool)
    kept = dict(zip(NAMES, key, strict=True)) | {
        "right": int(right.sum()),
        "queries": len(right),
        "validation": round(validation, 4),
    }
    if plain is None:
        return kept | {"items": base64.b64encode(np.packbits(right)).decode()}
    return kept | {"gained": int((right & ~plain).sum()), "lost": int((plain & ~right).sum())}


def plain_right(found: list[dict[str, Any]], key: tuple[str, str, str, str, int]) -> np.ndarray | None:
    """Which items the plain network of the same task and seed has right; nothing for that network itself."""
    if key[3] == PLAIN:
        return None
    wanted = dict(zip(NAMES, (*key[:3], PLAIN, key[4]), strict=True))
    (one,) = (run for run in found if wanted.items() <= run.items())
    bits = np.frombuffer(base64.b64decode(one["items"]), np.uint8)
    return np.unpackbits(bits, count=one["queries"]).astype(bool)


def rendered(found: list[dict[str, Any]]) -> str:
    """The table: accuracies, and gains over the plain network of the same task and seed."""
    rows = [line(data, method, found) for data, method in itertools.product(TASKS, METHODS)]
    note = (
        "gain over the plain network of the same task and seed, in points, with 95 % intervals: over seeds, for these tasks, and over "
        "tasks, as if they were new ones; helps, hurts: tasks whose interval over seeds is above, below 0",
        "published: means of Ganin et al. (JMLR 2016, table 1), as transcribed; one network a task, its options chosen by reverse validation",
    )
    return markdown(Table(COLUMNS, tuple(row for row in rows if row is not None), notes=note))


def line(data: str, method: str, found: list[dict[str, Any]]) -> tuple[str, ...] | None:
    """A row of the table; none where no seed has been through all tasks."""
    mine = by_seed(data, method, found, lambda one: one["right"] / one["queries"])
    if not len(mine):
        return None
    published = PUBLISHED.get((data, method))
    start = (data, str(len(TASKS[data])), method, str(len(mine)), percent(float(mine.mean())))
    start = (*start, "–" if published is None else f"{100 * published:.1f}")
    if method == PLAIN:
        return (*start, "–", "–", "–")
    gains = by_seed(data, method, found, lambda one: (one.get("gained", 0) - one.get("lost", 0)) / one["queries"])
    return (*start, points(gains.mean(1)), points(gains.mean(0)), verdicts(gains))


def verdicts(gains: np.ndarray) -> str:
    """How many tasks a term helps and hurts, by the interval over three seeds or more."""
    if len(gains) < 3:
        return "–"
    each = [t_interval(column) for column in gains.T]
    return f"{sum(one.low > 0 for one in each)}, {sum(one.high < 0 for one in each)}"


def by_seed(data: str, method: str, found: list[dict[str, Any]], value: Callable[[Any], float]) -> np.ndarray:
    """A number of each run, seeds by tasks; seeds that lack a task are left out."""
    known = {tuple(one[name] for name in NAMES): value(one) for one in found}
    whole = [[known.get((data, *task, method, seed)) for task in TASKS[data]] for seed in range(SEEDS)]
    return np.array([row for row in whole if None not in row], float)


def points(values: np.ndarray) -> str:
    """Mean with its interval, where there are three values or more."""
    if len(values) < 3:
        return f"{100 * values.mean():+.2f}"
    interval = t_interval(values)
    return with_interval(interval.estimate, interval.low, interval.high, signed=True)


if __name__ == "__main__":
    main()
