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


def easyfsl_task_sampler(dataset: Labelled, way: int, shot: int, query: int, tasks: int) -> Any:
    """easyfsl's sampler of index lists, built under the shim where torch needs it."""
    from easyfsl.samplers import TaskSampler

    with _accept_data_source():
        return TaskSampler(dataset, n_way=way, n_shot=shot, n_query=query, n_tasks=tasks)


def learn2learn_dataset(dataset: Labelled) -> Any:
    """learn2learn's index of a dataset, from the labels, so that it need not load all items to find them."""
    import learn2learn

    return learn2learn.data.MetaDataset(dataset, indices_to_labels=dict(enumerate(dataset.labels)))


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
