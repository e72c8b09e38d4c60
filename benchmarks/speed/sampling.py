"""Race: drawing 256 episodes of 5-way 1-shot 15-query as indices, without loading an item.

Contestants: ``EpisodeSampler.batch``, easyfsl's ``TaskSampler``, and
learn2learn's ``FusedNWaysKShots`` (its fastest; task descriptions only).
Episodes are random, so the answers are equal in structure: right shape,
different items, five classes with sixteen items each.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import peers
import race
import torch

from fewshot.episodes import EpisodeSampler, EpisodeSpec

WAY, SHOT, QUERY, EPISODES = 5, 1, 15, 256
HEATS = {  # classes, items a class, targets
    "1,623 x 20": (1623, 20, {"easyfsl": 25.0, "learn2learn": 12.0}),
    "100 x 600": (100, 600, {"easyfsl": 30.0, "learn2learn": 20.0}),
}


def fewshot_batches(labels: np.ndarray) -> race.Contestant:
    """A new batch of episodes at every call, as `IndexEpisodes`."""
    sampler = EpisodeSampler(labels, EpisodeSpec(way=WAY, shot=SHOT, query=QUERY), seed=0)
    starts = count(0, EPISODES)
    return lambda: sampler.batch(next(starts), EPISODES)


def easyfsl_lists(labels: np.ndarray) -> race.Contestant:
    """Lists of 80 indices, from easyfsl's ``TaskSampler``."""
    sampler = peers.easyfsl_task_sampler(_without_items(labels), WAY, SHOT, QUERY, EPISODES)
    return lambda: list(sampler)


def learn2learn_descriptions(labels: np.ndarray) -> race.Contestant:
    """Lists of 80 ``DataDescription``, from learn2learn's fused sampler."""
    tasks = peers.learn2learn_tasks(_without_items(labels), WAY, SHOT + QUERY)
    return lambda: [tasks.sample_task_description() for _ in range(EPISODES)]


def _without_items(labels: np.ndarray) -> peers.Labelled:
    return peers.Labelled(torch.empty(len(labels), 0), labels.tolist())


ROWS: dict[str, Callable[[Any], np.ndarray]] = {  # an answer as row numbers (e, 80)
    "fewshot": lambda answer: np.concatenate([answer.support, answer.query], 1),
    "easyfsl": np.asarray,
    "learn2learn": lambda answer: np.asarray([[item.index for item in task] for task in answer]),
}


def check_structure(rows: np.ndarray, labels: np.ndarray) -> None:
    """Raise unless each episode has five classes with sixteen different items each, and no two episodes are equal."""
    if rows.shape != (EPISODES, WAY * (SHOT + QUERY)):
        raise AssertionError(f"expected {EPISODES} episodes of {WAY * (SHOT + QUERY)} items, got {rows.shape}")
    ordered = np.sort(rows, 1)
    if (np.diff(ordered, axis=1) == 0).any():
        raise AssertionError("an item appears twice in an episode")
    by_class = np.sort(labels[rows], 1).reshape(EPISODES, WAY, SHOT + QUERY)
    if (by_class != by_class[..., :1]).any() or (np.diff(by_class[..., 0], axis=1) == 0).any():
        raise AssertionError(f"an episode has not {WAY} classes with {SHOT + QUERY} items each")
    if len(np.unique(ordered, axis=0)) != EPISODES:
        raise AssertionError("two episodes are equal")


def check_labels(episodes: Any, labels: np.ndarray) -> None:
    """Raise unless our labels name the classes of our rows, with the right shots and queries."""
    for rows, y, each in ((episodes.support, episodes.support_y, SHOT), (episodes.query, episodes.query_y, QUERY)):
        if not np.array_equal(labels[rows], np.take_along_axis(episodes.classes, y, 1)):
            raise AssertionError("a label names another class than its item's")
        if (np.sort(y, 1) != np.repeat(np.arange(WAY), each)).any():
            raise AssertionError(f"a class has not {each} items")


def heat(name: str, rounds: int) -> race.Heat:
    """One setting."""
    classes, each, targets = HEATS[name]
    labels = np.repeat(np.arange(classes), each)

    def check(answers: dict[str, Any]) -> None:
        check_labels(answers["fewshot"], labels)
        for contestant, answer in answers.items():
            check_structure(ROWS[contestant](answer), labels)

    builders = {
        "fewshot": lambda: fewshot_batches(labels),
        "easyfsl": lambda: easyfsl_lists(labels),
        "learn2learn": lambda: learn2learn_descriptions(labels),
    }
    return race.run(name, race.present(builders), check, rounds, targets)


if __name__ == "__main__":
    settings, started = race.arguments(__doc__.splitlines()[0]), race.machine()
    heats = [heat(name, settings.rounds) for name in HEATS]
    race.report("sampling", heats, settings, started, peers.notes())
