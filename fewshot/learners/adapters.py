"""Learners from what is there already: a function of three arrays, or a scikit-learn estimator."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot.contract import Classifier, SupportSet, per_episode
from fewshot.errors import EpisodeError, FewShotError, ShapeError
from fewshot.functional import require_every_class


@dataclass(frozen=True)
class FromFunction:
    """A learner that is one function; made by `from_function`.

    Attributes:
        function: ``(support_x, support_y, query_x) -> scores (q, n_way)`` of one episode.
        transductive: Whether the scores of a query may depend on the other queries.
        scores: ``"rank"``, or ``"log-probability"`` if a softmax of the scores is meant as probabilities.

    Raises:
        FewShotError: If ``scores`` is neither.
    """

    function: Callable[[Any, Tensor, Any], Tensor]
    transductive: bool = False
    scores: str = "rank"

    def __post_init__(self) -> None:
        if self.scores not in ("rank", "log-probability"):
            raise FewShotError(f"scores must be 'rank' or 'log-probability', got '{self.scores}'")

    @per_episode
    def adapt(self, support: SupportSet[Any]) -> Classifier[Any]:
        """Keep the support; the function runs when queries come.

        Raises:
            EpisodeError: If a class has no example: the function cannot know that there is such a class.
            ShapeError: If the function does not return one row a query and one column a class.
        """
        require_every_class(support.y, support.n_way)

        def classify(query: Any) -> Tensor:
            scores = self.function(support.x, support.y, query)
            wanted = (len(query), support.n_way)
            if tuple(scores.shape) != wanted:
                raise ShapeError(f"the function must return scores {wanted}, got {tuple(scores.shape)}")
            return scores

        return classify


def from_function(
    f: Callable[[Any, Tensor, Any], Tensor], *, transductive: bool = False, scores: str = "rank"
) -> FromFunction:
    """A learner from ``f(support_x, support_y, query_x) -> scores``, higher is more likely.

    Args:
        f: Works on one episode: items ``(s, *item)``, labels ``(s,)``, queries ``(q, *item)`` to scores ``(q, n_way)``.
        transductive: Whether the scores of a query may depend on the other queries.
        scores: ``"rank"``, or ``"log-probability"`` if a softmax of the scores is meant as probabilities.
    """
    return FromFunction(f, transductive, scores)


@dataclass(frozen=True)
class FromSklearn:
    """A learner that fits a clone of a scikit-learn estimator to each episode; made by `from_sklearn`.

    Attributes:
        estimator: Any classifier or pipeline; it is cloned and never fitted itself.

    Raises:
        FewShotError: If it is no classifier, or its decisions are about pairs of classes.
    """

    estimator: Any

    def __post_init__(self) -> None:
        from sklearn.base import is_classifier

        if not is_classifier(self.estimator):
            raise FewShotError(f"from_sklearn needs a classifier, got {type(self.estimator).__name__}")
        if "ovo" in _parameters(self.estimator, "decision_function_shape").values():
            raise FewShotError(
                "decision_function_shape must be 'ovr', one column a class, got 'ovo', one a pair of classes"
            )

    @property
    def scores(self) -> str:
        """``"log-probability"`` where the estimator has ``predict_log_proba``, else ``"rank"``."""
        return "log-probability" if hasattr(self.estimator, "predict_log_proba") else "rank"

    @per_episode
    def adapt(self, support: SupportSet[Any]) -> Classifier[Any]:
        """Fit a clone; every ``random_state`` that was left at None becomes the episode's seed (0 without one).

        Raises:
            EpisodeError: If a class has no example, or there are fewer than two classes.
        """
        require_every_class(support.y, support.n_way)
        if support.n_way < 2:
            raise EpisodeError(f"a scikit-learn estimator needs at least two classes, got {support.n_way}")
        from sklearn.base import clone

        seed = 0 if support.seed is None else int(support.seed) % 2**32
        unset = {k: seed for k, v in _parameters(self.estimator, "random_state").items() if v is None}
        fitted = clone(self.estimator).set_params(**unset)
        fitted.fit(_rows(support.x), support.y.cpu().numpy())
        return lambda query: _scores(fitted, query, support.n_way)


def from_sklearn(estimator: Any) -> FromSklearn:
    """A learner from a scikit-learn classifier, which is cloned and fitted anew for every episode.

    Scores are, in this order of preference: ``predict_log_proba``, with a probability of 0
    counted as the smallest positive number so that scores stay finite; ``decision_function``;
    1 for the class that ``predict`` names and 0 for the others. Items are flattened to rows,
    texts come as a list of strings.

    Args:
        estimator: Any classifier, or a pipeline that ends in one.
    """
    return FromSklearn(estimator)


def _parameters(estimator: Any, name: str) -> dict[str, Any]:
    """The parameters of that name, of the estimator and of all its parts."""
    return {k: v for k, v in estimator.get_params(deep=True).items() if k.rpartition("__")[2] == name}


def _rows(items: Any) -> Any:
    if isinstance(items, Tensor):
        return items.detach().cpu().numpy().reshape(len(items), -1)
    return items.tolist() if items.ndim == 1 else items.reshape(len(items), -1)


def _scores(fitted: Any, query: Any, n_way: int) -> Tensor:
    """Columns in the order of the labels: scikit-learn has them in the order of ``classes_``."""
    values = _class_values(fitted, _rows(query))
    ordered = np.empty((len(query), n_way), values.dtype)
    ordered[:, fitted.classes_] = values
    scores = torch.from_numpy(ordered)
    floats = isinstance(query, Tensor) and query.is_floating_point()
    return scores.to(query.device, query.dtype) if floats else scores.float()


def _class_values(fitted: Any, rows: Any) -> np.ndarray:
    if hasattr(fitted, "predict_log_proba"):
        with np.errstate(divide="ignore"):
            values = np.asarray(fitted.predict_log_proba(rows))
        return values.clip(min=np.log(np.finfo(np.float32).tiny))
    if hasattr(fitted, "decision_function"):
        values = np.asarray(fitted.decision_function(rows))
        return np.stack([-values, values], 1) if values.ndim == 1 else values
    named = np.asarray(fitted.predict(rows))
    return np.stack([named == label for label in fitted.classes_], 1).astype(np.float64)
