"""What an evaluation needs of its learner, its data and its answers; each slip is told in one sentence."""

from typing import Any

import numpy as np
from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.datasets.collection import Collection
from fewshot.episodes import FixedEpisodes, IndexEpisodes
from fewshot.errors import DataError, EpisodeError, FewShotError, ShapeError, StatisticsError
from fewshot.plumbing.number_checks import whole_number
from fewshot.plumbing.number_range import require_numbers


def require_learner(learner: Any) -> None:
    """Let an object with ``adapt`` pass, and neither its class nor its name.

    Raises:
        FewShotError: If it is something else.
    """
    if isinstance(learner, type):
        name = learner.__name__
        raise FewShotError(f"a learner must be an object, got the class {name}; make an object of it: {name}()")
    if not callable(getattr(learner, "adapt", None)):
        raise FewShotError(
            f"a learner must have adapt(support), got {_kind(learner)} without it; write one, or load one by its name: "
            "load_learner('nearest-mean')"
        )


def require_collection(data: Any) -> None:
    """Let a collection pass, and neither its name nor bare arrays.

    Raises:
        DataError: If it is something else.
    """
    if not isinstance(data, Collection):
        raise DataError(
            f"the data must be a Collection, got {_kind(data)}; load one by its name or path with load_dataset, "
            "or make one of arrays with Collection.from_arrays"
        )


def require_alone(**options: Any) -> None:
    """Let pass what goes with a task, which says by itself what is queried.

    Raises:
        EpisodeError: If one of the options is given; names it.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise EpisodeError(f"a task says by itself what is queried, got {given[0]} beside it; set it in the task")


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
            f"episodes must be a number of them, or a list as FixedEpisodes, got {_kind(episodes)}; "
            "FixedEpisodes(list, name) makes one"
        )
    else:
        found = count = whole_number("episodes", episodes, error=EpisodeError)
    if count < 2:
        raise StatisticsError(f"an interval needs at least 2 episodes, got {count}; ask for more")
    return found


def require_classifier(classify: Any) -> None:
    """Let what ``adapt`` returns pass if it can be asked.

    Raises:
        ShapeError: If it is an array, or anything else that is no function.
    """
    if not callable(classify):
        raise ShapeError(
            f"adapt must return a function from queries to scores, got {_kind(classify)}; return lambda query: ..."
        )


def require_scores(scores: Any, support: SupportSet[Any], query: Any) -> None:
    """Let floats pass that give every query a score of every class.

    Args:
        scores: What the classifier said.
        support: What it was made of.
        query: What it was asked, ``(e, q, *item)``.

    Raises:
        ShapeError: If they are labels, of another shape, or have no numbers.
    """
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        raise ShapeError(
            f"scores must be a tensor of floats, got {_kind(scores)}; return a score of every class, higher is more "
            "likely, instead of a label"
        )
    require_numbers("scores", scores, error=ShapeError)
    wanted = (*query.shape[:2], support.n_way)
    if tuple(scores.shape) != wanted:
        raise ShapeError(
            f"scores must have shape (e, q, n_way) = {wanted}, got {tuple(scores.shape)}; return a score of every class "
            "for every query, and decorate an adapt that is written for one episode with @per_episode"
        )


def _kind(value: Any) -> str:
    """What something is: a short text itself, the type of an array with its shape, else the type."""
    if isinstance(value, str):
        return repr(value)
    kind = type(value).__name__
    return f"{kind} of {value.dtype} {tuple(value.shape)}" if hasattr(value, "dtype") else kind
