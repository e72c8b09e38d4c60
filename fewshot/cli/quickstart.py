"""``fewshot-bench quickstart``: a real benchmark in under a minute, with nothing to download.

Digits that come with scikit-learn, a network that was trained on Omniglot's characters
and comes with this package, and three baselines on the same episodes.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.cli.output import document, note, show_tables, stdout_kept
from fewshot.cli.setting import Setting
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.evaluation.evaluate import evaluate
from fewshot.results.compare import compare
from fewshot.results.figures import accuracy_over_shots, save_figure
from fewshot.results.pictures import episode_picture
from fewshot.results.record import Record
from fewshot.results.tables import Table, accuracy_cell, with_interval

METHODS = {  # what is printed: file name, and what it stands for
    "raw pixels, nearest mean": ("pixels-nearest-mean", Setting("digits", "nearest-mean", backbone="pixels")),
    "raw pixels, logistic regression": (
        "pixels-logistic-regression",
        Setting("digits", "logistic-regression", backbone="pixels"),
    ),
    "strokes, nearest mean": ("strokes-nearest-mean", Setting("digits-strokes", "nearest-mean", backbone="pixels")),
    "Conv-4 on strokes, nearest mean": (
        "strokes-conv4-nearest-mean",
        Setting("digits-strokes", "nearest-mean", backbone="conv4-omniglot"),
    ),
}
REFERENCE, NETWORK = "raw pixels, nearest mean", "Conv-4 on strokes, nearest mean"
WAY, QUERY, SEED, EPISODES = 10, 15, 0, 600
TABLE_SHOTS, SHOTS = (1, 5), (1, 2, 3, 5, 10)
SHOWN = 6  # queries of each class in the picture of an episode

Results = Mapping[int, Mapping[str, Record]]  # by shots, then by method


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
        data = {name: load_dataset(name) for name in ("digits", "digits-strokes")}
        results = {shot: _evaluate(data, shot, episodes, out) for shot in SHOTS}
        save_figure(accuracy_over_shots(_curves(results)), out / "accuracy-over-shots.png")
        save_figure(_first_episode(data["digits-strokes"], results[1][NETWORK]), out / "episode.png")
        summary = _summary(results, out, time.perf_counter() - started)
    if as_json:
        document(summary)
    else:
        show_tables(_table(results, summary))


def _evaluate(data: Mapping[str, Collection], shot: int, episodes: int, out: Path) -> dict[str, Record]:
    """One record a method, all on the same episodes, written to the folder."""
    note(f"{len(METHODS)} methods on {episodes} episodes with {shot} shot{'s' * (shot > 1)}")
    records = {}
    for name, (file, setting) in METHODS.items():
        items = data[setting.data]
        record = evaluate(setting.build(items), items, EpisodeSpec(WAY, shot, QUERY), episodes, SEED)
        named = setting.named(record, items).with_answers(record.load_answers())
        records[name] = named.save(_path(out, shot, file))
    return records


def _path(out: Path, shot: int, file: str) -> Path:
    return out / f"{shot}-shot" / f"{file}.json"


def _curves(results: Results) -> dict[str, list[Record]]:
    """Records of each method, all under the name of the digits: strokes are the same items in another form."""
    digits = results[1][REFERENCE].data
    return {name: [results[shot][name].model_copy(update={"data": digits}) for shot in SHOTS] for name in METHODS}


def _first_episode(data: Collection, record: Record) -> Any:
    """The first episode's support, some queries of each class, and the answers."""
    first = EpisodeSampler(data.labels, EpisodeSpec(WAY, 1, QUERY), SEED)[0]
    ids, support_y = np.unique(first.classes[first.support_y], return_inverse=True)  # rows in the order of the digits
    answers = record.load_answers()
    truth, answer = (np.searchsorted(ids, x[: len(first.query)]) for x in (answers.true, answers.predicted))
    shown = np.concatenate([np.flatnonzero(truth == k)[:SHOWN] for k in range(WAY)])
    names = [data.class_names[c] for c in ids]
    support, query = data.items[first.support], data.items[first.query[shown]]
    return episode_picture(support, support_y, query, truth[shown], answer[shown], names)


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
        "pictures": [str(out / name) for name in ("episode.png", "accuracy-over-shots.png")],
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
        file = str(_path(out, shot, METHODS[name][0]))
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
