"""Our episodes as learn2learn's tasks: ``data, labels = tasks.sample()``.

Code: github.com/learnables/learn2learn, version 0.2.0, ``data/task_dataset.pyx``: the same calls as its ``Taskset``.
    Its MAML examples take every other item for the support, its ProtoNet examples and ``l2l.data.partition_task`` the
    first ones of each class. Nothing of learn2learn is needed to make the tasks.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fewshot.datasets.collection import Collection
from fewshot.episodes import EpisodeSampler, EpisodeSpec
from fewshot.errors import DataError, EpisodeError
from fewshot.plumbing.number_checks import whole_number

LAYOUTS = ("alternating", "support-first")


class Tasks(Dataset):
    """Tasks ``(data, labels)`` of a fixed list of episodes; made by `to_learn2learn_tasks`."""

    def __init__(self, collection: Collection, sampler: EpisodeSampler, episodes: int, layout: str) -> None:
        self.collection, self.sampler, self.episodes, self.layout = collection, sampler, episodes, layout
        self._next = 0

    def __len__(self) -> int:
        """Number of tasks."""
        return self.episodes

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        """Task number ``i``: items ``(n, *item)`` class by class, and their labels.

        Raises:
            IndexError: If there is no such task.
        """
        if not 0 <= i < self.episodes:
            raise IndexError(f"task numbers run from 0 to {self.episodes - 1}, got {i}")
        episode = self.sampler[i]
        rows = [episode.support, episode.query]
        by_class = [part[labels.argsort(kind="stable")].reshape(episode.n_way, -1)
                    for part, labels in zip(rows, (episode.support_y, episode.query_y), strict=True)]  # fmt: skip
        join = np.stack if self.layout == "alternating" else np.concatenate
        ordered = join(by_class, -1).reshape(episode.n_way, -1)
        data = self.collection.take(ordered.ravel())
        labels = torch.arange(episode.n_way).repeat_interleave(ordered.shape[1])
        return (data.float() / 255 if data.dtype == torch.uint8 else data), labels

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All tasks in order."""
        return (self[i] for i in range(self.episodes))

    def sample(self) -> tuple[Tensor, Tensor]:
        """The next task of the list, which begins again after its end; no random number is drawn."""
        i, self._next = self._next, (self._next + 1) % self.episodes
        return self[i]


def to_learn2learn_tasks(
    collection: Collection, spec: EpisodeSpec, seed: int = 0, episodes: int = 20_000, layout: str = "alternating"
) -> Tasks:
    """The first episodes of a list as tasks for learn2learn's code.

    Args:
        collection: Items and classes; uint8 pixels come divided by 255.
        spec: With fixed way, shot and query.
        seed: Names the list of episodes, the same that `evaluate` and `train` draw with this seed.
        episodes: How many there are.
        layout: ``"alternating"``: in each class support, query, support, ... as learn2learn's MAML examples split a
            task, which needs ``query == shot``. ``"support-first"``: its support, then its queries, as
            ``l2l.data.partition_task(data, labels, shots=shot)`` splits it.

    Raises:
        EpisodeError: If the spec has unequal counts or too few episodes, or the layout does not fit it.
        DataError: If the items are texts.
    """
    episodes = whole_number("episodes", episodes, error=EpisodeError)
    _check(spec, episodes, layout)
    if getattr(getattr(collection.items, "dtype", None), "kind", "") in ("T", "U"):
        raise DataError("items must be numbers, got texts; embed the collection first")
    sampler = EpisodeSampler(
        collection.labels, spec, seed, class_names=collection.class_names, groups=collection.groups
    )
    if episodes > len(sampler):
        raise EpisodeError(f"the list ends after {len(sampler)} episodes, got a request for {episodes}; ask for fewer")
    return Tasks(collection, sampler, episodes, layout)


def _check(spec: EpisodeSpec, episodes: int, layout: str) -> None:
    fixed = all(isinstance(count, int) for count in (spec.way, spec.shot, spec.query))
    if not fixed or spec.shots or spec.dirichlet or spec.open_way or spec.unlabelled:
        raise EpisodeError(f"tasks need fixed way, shot and query and labelled items only, got {spec.short()}")
    if episodes < 1:
        raise EpisodeError(f"there must be at least one task, got episodes={episodes}")
    if layout not in LAYOUTS:
        raise EpisodeError(f"layout must be one of {', '.join(LAYOUTS)}, got '{layout}'")
    if layout == "alternating" and spec.shot != spec.query:
        raise EpisodeError(
            f"the layout 'alternating' needs as many queries as shots, got {spec.short()}; use 'support-first'"
        )
