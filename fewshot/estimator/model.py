"""What a classifier knows after ``fit``: the examples, a learner adapted to them, a temperature."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Integer
from scipy.special import softmax
from torch import Tensor

from fewshot.claims import claims_of
from fewshot.contract import SupportSet
from fewshot.errors import FewShotError, ShapeError, StatisticsError
from fewshot.estimator.calibration import fit_temperature
from fewshot.estimator.described import Described
from fewshot.estimator.labels import ids_of, joined, sorted_classes
from fewshot.estimator.left_out import left_out_scores, scorer


class Calibration(NamedTuple):
    """What left-out examples told.

    Attributes:
        temperature: Scores are divided by it before the softmax; None where that gives no probabilities.
        right: Left-out examples that were answered rightly.
        asked: Examples that could be left out.
    """

    temperature: float | None
    right: int = 0
    asked: int = 0


@dataclass(frozen=True, eq=False)
class Model:
    """Examples of a user's classes, and the learner that answers from them.

    Attributes:
        kind: ``"images"``, ``"texts"`` or ``"rows"``.
        backbone: Embeds items; None for items as they are.
        learner: Adapts to the examples.
        items: Examples after the backbone, ``(s, *item)``.
        labels: The user's label of each.
        declared: All labels that may come, sorted; None where any may.
        described: Classes with their descriptors; None where examples alone tell.
        seed: Of the episode.
        calibrate: Whether left-out examples decide the temperature.
        stored: The calibration of a saved model; None to compute it.
    """

    kind: str
    backbone: Any
    learner: Any
    items: Any
    labels: np.ndarray
    declared: np.ndarray | None = None
    described: Described | None = None
    seed: int = 0
    calibrate: bool = True
    stored: Calibration | None = None

    @cached_property
    def classes(self) -> np.ndarray:
        """All labels, sorted: the columns of probabilities."""
        return sorted_classes(self._known) if self.declared is None else self.declared

    @cached_property
    def _known(self) -> np.ndarray:
        """Labels of examples and of descriptions."""
        if self.described is None:
            return self.labels
        return joined(self.described.labels, self.labels) if len(self.labels) else self.described.labels

    @cached_property
    def present(self) -> Integer[np.ndarray, " n_way"]:
        """Columns of the classes that have an example or a description."""
        return np.unique(ids_of(self._known, self.classes))

    @cached_property
    def support(self) -> SupportSet[Any]:
        """The examples as one episode of the classes that are present, with their descriptors."""
        y = np.searchsorted(self.present, ids_of(self.labels, self.classes))
        side = None if self.described is None else self.described.of(self.classes[self.present])[None].to(self.items)
        seed = torch.tensor([self.seed])
        return SupportSet(self.items[None], torch.from_numpy(y)[None], len(self.present), side, seed=seed)

    @cached_property
    def answer(self) -> Callable[[Any], np.ndarray]:
        """The learner, adapted to all examples."""
        return scorer(self.learner, self.support)

    @cached_property
    def calibration(self) -> Calibration:
        """The temperature, from examples that were left out where the learner and the examples allow it.

        Raises:
            StatisticsError: If the learner refuses what is left of the examples.
        """
        if self.stored is not None:
            return self.stored
        untouched = Calibration(None if claims_of(self.learner).scores == "rank" else 1.0)
        if not self.calibrate or len(self.present) < 2:
            return untouched
        try:
            scores, labels = left_out_scores(self.learner, self.support)
        except FewShotError as error:
            raise StatisticsError(
                f"a learner must adapt to all examples but one of each class to be calibrated, got '{error}'; "
                "pass calibrate=False"
            ) from error
        if not len(labels):
            return untouched
        return Calibration(fit_temperature(scores, labels), int((scores.argmax(1) == labels).sum()), len(labels))

    def ready(self) -> "Model":
        """The same, adapted and calibrated now, so that what is wrong is told now."""
        _ = self.answer, self.calibration
        return self

    def scores(self, query: Any) -> Float[np.ndarray, "q n_way"]:
        """Scores of all queries in one call, for the classes that have an example."""
        if query.shape[1:] != self.items.shape[1:]:
            raise ShapeError(
                f"items must have the shape of those of fit {tuple(self.items.shape[1:])}, got {tuple(query.shape[1:])}"
            )
        scores: np.ndarray = self.answer(query[None])[0]
        return scores

    def probabilities(self, scores: Float[np.ndarray, "q n_way"]) -> Float[np.ndarray, "q n_classes"]:
        """Calibrated probabilities of all classes, 0 for one without an example."""
        temperature = self.calibration.temperature
        if temperature is None:
            raise StatisticsError(
                "this learner's scores only rank, and probabilities need an example of some class that can be left out: "
                "fit with calibrate=True and two examples of a class, or take another learner"
            )
        whole = np.zeros((len(scores), len(self.classes)))
        whole[:, self.present] = softmax(scores / temperature, axis=1)
        return whole

    def extended(self, items: Any, labels: np.ndarray) -> "Model":
        """A model with more examples, of new classes too where none were declared."""
        both = (
            torch.cat([self.items, items.to(self.items)])
            if isinstance(items, Tensor)
            else np.concatenate([self.items, items])
        )
        known = joined(self.labels, labels) if len(self.labels) else labels
        return replace(self, items=both, labels=known, stored=None)

    def __getstate__(self) -> dict[str, Any]:
        """All but the adapted learner, which is a closure and is made again."""
        return {name: value for name, value in self.__dict__.items() if name != "answer"}
