"""Four methods on 10-way digits: what the quickstart evaluates and draws."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewshot.cli.objects.one_row import build, one_row
from fewshot.cli.terminal.output import note
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.figures.accuracy import accuracy_over_shots, save_figure
from fewshot.figures.pictures import episode_picture
from fewshot.recipes.data import RowData
from fewshot.recipes.rows import judge_row
from fewshot.records.record import Record

METHODS = {  # what is printed: file name, data, learner, backbone
    "raw pixels, nearest mean": ("pixels-nearest-mean", "digits", "nearest-mean", "pixels"),
    "raw pixels, logistic regression": ("pixels-logistic-regression", "digits", "logistic-regression", "pixels"),
    "strokes, nearest mean": ("strokes-nearest-mean", "digits-strokes", "nearest-mean", "pixels"),
    "Conv-4 on strokes, nearest mean": (
        "strokes-conv4-nearest-mean",
        "digits-strokes",
        "nearest-mean",
        "conv4-omniglot",
    ),
}
REFERENCE, NETWORK = "raw pixels, nearest mean", "Conv-4 on strokes, nearest mean"
WAY, QUERY, SEED, EPISODES = 10, 15, 0, 600
SHOTS = (1, 2, 3, 5, 10)
PICTURES = ("accuracy-over-shots.png", "episode.png")
SHOWN = 6  # queries of each class in the picture of an episode

Results = Mapping[int, Mapping[str, Record]]  # by shots, then by method


def benchmark(out: Path, episodes: int) -> Results:
    """Evaluate every method at every number of shots, and write records and pictures.

    Args:
        out: Folder; made if it is missing.
        episodes: How many, of each number of shots.
    """
    with one_thread():
        data = {name: load_dataset(name) for name in ("digits", "digits-strokes")}
        results = {shot: _evaluate(data, shot, episodes, out) for shot in SHOTS}
        shots, episode = (out / name for name in PICTURES)
        save_figure(accuracy_over_shots(_curves(results)), shots)
        save_figure(_first_episode(data["digits-strokes"], results[1][NETWORK]), episode)
    return results


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread, and afterwards as many as before: on work this small, threads wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _evaluate(data: Mapping[str, Collection], shot: int, episodes: int, out: Path) -> dict[str, Record]:
    """One record a method, all on the same episodes, written to the folder."""
    note(f"{len(METHODS)} methods on {episodes} episodes with {shot} shot{'s' * (shot > 1)}")
    records = {}
    for name, (file, items, learner, backbone) in METHODS.items():
        spec, whole = EpisodeSpec(WAY, shot, QUERY), data[items]
        recipe = one_row(items, learner, spec, backbone=backbone, episodes=episodes, seed=SEED)
        record = judge_row(recipe, recipe.evaluation.rows[0], build(recipe, whole), {}, RowData(whole, whole))
        records[name] = record.save(record_path(out, shot, file))
    return records


def record_path(out: Path, shot: int, file: str) -> Path:
    """Where the record of a method lies."""
    return out / f"{shot}-shot" / f"{file}.json"


def _curves(results: Results) -> dict[str, list[Record]]:
    """Records of each method, all under the name of the digits: strokes are the same items in another form."""
    digits = results[1][REFERENCE].data
    return {name: [results[shot][name].model_copy(update={"data": digits}) for shot in results] for name in METHODS}


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
