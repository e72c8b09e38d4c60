"""What the peers need before they can race: labels as they want them, and one shim."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler


class Labelled(Dataset):
    """Items with labels, in the form that both peers take: ``[i]`` and ``get_labels``."""

    def __init__(self, items: Tensor, labels: Sequence[int]) -> None:
        self.items, self.labels = items, list(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.items[i], self.labels[i]

    def get_labels(self) -> list[int]:
        """All labels, without loading an item."""
        return self.labels


def easyfsl_task_sampler(dataset: Any, way: int, shot: int, query: int, tasks: int) -> Any:
    """The sampler of easyfsl, of index lists, built under the shim where torch needs it."""
    from easyfsl.samplers import TaskSampler

    with _accept_data_source():
        return TaskSampler(dataset, n_way=way, n_shot=shot, n_query=query, n_tasks=tasks)


def learn2learn_tasks(dataset: Labelled, way: int, each: int, load: bool = False) -> Any:
    """learn2learn's tasks of ``each`` items a class, drawn by its fused sampler.

    The index of the dataset is made from the labels: left to itself, learn2learn loads every item to find them.

    Args:
        dataset: Items and labels.
        way: Classes of a task.
        each: Items a class, support and queries together.
        load: Whether ``sample()`` shall load items and number the classes from 0, as its vision benchmarks do.
    """
    from learn2learn.data import MetaDataset, Taskset
    from learn2learn.data.transforms import ConsecutiveLabels, FusedNWaysKShots, LoadData, RemapLabels

    indexed = MetaDataset(dataset, indices_to_labels=dict(enumerate(dataset.labels)))
    draw = [FusedNWaysKShots(indexed, n=way, k=each)]
    return Taskset(indexed, draw + [LoadData(indexed), RemapLabels(indexed), ConsecutiveLabels(indexed)] * load)


def notes() -> list[str]:
    """What a report must say about the shim."""
    if _sampler_takes_data_source():
        return []
    return [
        f"easyfsl 1.5.0 passes data_source to torch's Sampler, which torch {torch.__version__} refuses; "
        "the argument was accepted and dropped while its TaskSampler was built"
    ]


def _accept_data_source() -> AbstractContextManager[Any]:
    if _sampler_takes_data_source():
        return nullcontext()
    return patch.object(Sampler, "__init__", lambda self, data_source=None: None)


def _sampler_takes_data_source() -> bool:
    try:
        Sampler(data_source=None)
    except TypeError:
        return False
    return True
