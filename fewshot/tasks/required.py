"""What a task needs of its data and its episodes; each slip is one sentence."""

from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.episodes import FixedEpisodes, IndexEpisodes
from fewshot.errors import DataError, EpisodeError, StatisticsError
from fewshot.plumbing.number_checks import whole_number


def require_collection(data: Any) -> None:
    """Let a collection pass, and neither its name nor bare arrays.

    Raises:
        DataError: If it is something else.
    """
    if not isinstance(data, Collection):
        raise DataError(
            f"the data must be a Collection, got {kind_of_value(data)}; load one by its name or path with load_dataset, "
            "or make one of arrays with Collection.from_arrays"
        )


def require_episodes(episodes: Any) -> int | FixedEpisodes:
    """A number of episodes as an ``int``, or a fixed list of them.

    Raises:
        StatisticsError: If there are fewer than two, which have no interval.
        EpisodeError: If it is something else.
    """
    found: int | FixedEpisodes
    if isinstance(episodes, FixedEpisodes):
        found, count = episodes, len(episodes)
    elif np.ndim(episodes) or isinstance(episodes, (str, IndexEpisodes)):
        raise EpisodeError(
            f"episodes must be a number of them, or a list as FixedEpisodes, got {kind_of_value(episodes)}; "
            "FixedEpisodes(list, name) makes one"
        )
    else:
        found = count = whole_number("episodes", episodes, error=EpisodeError)
    if count < 2:
        raise StatisticsError(f"an interval needs at least 2 episodes, got {count}; ask for more")
    return found


def kind_of_value(value: Any) -> str:
    """What something is: a short text itself, the type of an array with its shape, else the type."""
    if isinstance(value, str):
        return repr(value)
    kind = type(value).__name__
    return f"{kind} of {value.dtype} {tuple(value.shape)}" if hasattr(value, "dtype") else kind
