"""What an evaluation needs of its learner and its answers; each error is one sentence."""

from typing import Any

from torch import Tensor

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, ShapeError
from fewshot.plumbing.number_range import require_numbers
from fewshot.tasks.required import kind_of_value


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
            f"a learner must have adapt(support), got {kind_of_value(learner)} without it; write one, or load one by its name: "
            "load_learner('nearest-mean')"
        )


def require_alone(remedy: str, **options: Any) -> None:
    """Let pass what goes with a task, which defines what is queried.

    Raises:
        EpisodeError: If one of the options is given; names it.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise EpisodeError(f"a task defines by itself what is queried, got {given[0]} as well; {remedy}")


def require_classifier(classify: Any) -> None:
    """Let what ``adapt`` returns pass if it can be asked.

    Raises:
        ShapeError: If it is an array, or anything else that is no function.
    """
    if not callable(classify):
        raise ShapeError(
            f"adapt must return a function from queries to scores, got {kind_of_value(classify)}; return lambda query: ..."
        )


def require_scores(scores: Any, support: SupportSet[Any], query: Any) -> None:
    """Let floats pass that give every query a score of every class.

    Args:
        scores: What the classifier said.
        support: What it was made of.
        query: Its queries, ``(e, q, *item)``.

    Raises:
        ShapeError: If they are labels, of another shape, or have no numbers.
    """
    if not isinstance(scores, Tensor) or not scores.is_floating_point():
        raise ShapeError(
            f"scores must be a tensor of floats, got {kind_of_value(scores)}; return a score of every class, higher is more "
            "likely, instead of a label"
        )
    require_numbers("scores", scores, error=ShapeError)
    wanted = (*query.shape[:2], support.n_way)
    if tuple(scores.shape) != wanted:
        raise ShapeError(
            f"scores must have shape (e, q, n_way) = {wanted}, got {tuple(scores.shape)}; return a score of every class "
            "for every query, and decorate an adapt that is written for one episode with @per_episode"
        )
