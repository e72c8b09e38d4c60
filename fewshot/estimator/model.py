"""What a classifier knows after ``fit``: the examples, a learner adapted to them, a temperature."""

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer
from scipy.special import softmax
from torch import Tensor

from fewshot.claims import claims_of
from fewshot.contract import SupportSet
from fewshot.errors import FewShotError, FewShotWarning, LeakageError, ShapeError, StatisticsError
from fewshot.estimator.calibration import fit_temperature
from fewshot.estimator.copies import CLOSE, copies, first_of_each, shared
from fewshot.estimator.described import Described
from fewshot.estimator.labels import ids_of, joined, sorted_classes
from fewshot.estimator.left_out import MOST, LeftOut, left_out, left_out_scores, scorer
from fewshot.estimator.parts import writes
from fewshot.estimator.rows import Columns
from fewshot.estimator.sets import cross_sets, require_enough, split_sets
from fewshot.plumbing.device import CPU

KEPT = 2**26  # numbers in the supports of folds that stay adapted for the next call


class Calibration(NamedTuple):
    """What left-out examples show.

    Attributes:
        temperature: Scores are divided by it before the softmax; None where that gives no probabilities.
        right: Left-out examples that were answered rightly.
        asked: Examples that could be left out; copies of one count once.
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
        columns: Of the tables that rows came from.
        made: The parameters of the estimator that made backbone, learner and descriptors, as they were then.
        device: Where backbone and learner are.
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
    columns: Columns | None = None
    made: Mapping[str, Any] = field(default_factory=dict)
    device: torch.device = CPU

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
        side = None if self.described is None else self.described.of(self.classes[self.present])[None].to(self.items)
        seed = torch.tensor([self.seed])
        return SupportSet(self.items[None], torch.from_numpy(self._ids)[None], len(self.present), side, seed=seed)

    @cached_property
    def answer(self) -> Callable[[Any], np.ndarray]:
        """The learner, adapted to all examples."""
        return scorer(self.learner, self.support, self.device)

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
            scores, labels = left_out_scores(self.folds(), self._ids, len(self.present))
        except FewShotError as error:
            raise StatisticsError(
                f"a learner must adapt to all examples but one of each class to be calibrated, got '{error}'; "
                "pass calibrate=False"
            ) from error
        if not len(labels):
            return untouched
        return Calibration(fit_temperature(scores, labels), int((scores.argmax(1) == labels).sum()), len(labels))

    def folds(self) -> Iterable[LeftOut]:
        """Examples left out in turn, with the answers about them; adapted once where memory allows."""
        if int(np.prod(self.items.shape)) * MOST > KEPT:
            return left_out(self.learner, self.support, self._equal, self.device)
        return self._folds

    @cached_property
    def _folds(self) -> list[LeftOut]:
        return list(left_out(self.learner, self.support, self._equal, self.device))

    @property
    def _ids(self) -> Integer[np.ndarray, " s"]:
        """Class of each example among those that are present."""
        return np.searchsorted(self.present, ids_of(self.labels, self.classes))

    @cached_property
    def _equal(self) -> Integer[np.ndarray, " s"]:
        """The same number for examples that are copies of one another."""
        return copies(self.items, self._close)

    @property
    def _close(self) -> float:
        """How close items must be to be copies; rows without a backbone are equal or not."""
        return 0.0 if self.backbone is None else CLOSE

    def ready(self) -> "Model":
        """The same, adapted and calibrated now, so that errors are raised now."""
        _ = self.answer, self.calibration, self._weights
        if self.stored is None:
            self._warn_of_copies()
        return self

    @cached_property
    def _weights(self) -> list[int]:
        """How often each tensor of the backbone was written to."""
        return writes(self.backbone)

    def require_same_weights(self) -> None:
        """Let a backbone pass that has embedded the examples as it would embed them now.

        Raises:
            FewShotError: If its weights were changed since: examples and queries would not be comparable.
        """
        if writes(self.backbone) != self._weights:
            raise FewShotError(
                "the backbone must stay as it was in fit, got weights that were changed since; call fit anew, or give a copy"
            )

    def _warn_of_copies(self) -> None:
        """Tell of classes that have several examples which are all one."""
        told, ids = first_of_each(self._equal, self._ids), self._ids
        every, different = (np.bincount(rows, minlength=len(self.present)) for rows in (ids, ids[told]))
        only = np.flatnonzero((every > 1) & (different == 1))
        if len(only):
            label = self.classes[self.present[only[0]]].item()
            warnings.warn(
                f"{len(only)} of {len(self.present)} classes have copies of one example only, such as {label!r}; they count "
                "as one, which cannot be left out to calibrate: add examples that differ",
                FewShotWarning,
                stacklevel=2,
            )

    def scores(self, query: Any) -> Float[np.ndarray, "q n_way"]:
        """Scores of all queries in one call, for the classes that have an example."""
        scores: np.ndarray = self.answer(self._fitting(query)[None])[0]
        return scores

    def _fitting(self, items: Any) -> Any:
        """Items as those of fit are, with numbers of their type.

        Raises:
            ShapeError: If their shape is another, or the ones are pixels and the others fractions.
        """
        if items.shape[1:] != self.items.shape[1:]:
            raise ShapeError(
                f"items must have the shape of those of fit {tuple(self.items.shape[1:])}, got {tuple(items.shape[1:])}"
            )
        if not isinstance(items, Tensor):
            return items
        if items.is_floating_point() != self.items.is_floating_point():
            raise ShapeError(
                f"items must be numbers of the type of those of fit, {self.items.dtype}, got {items.dtype}; convert them"
            )
        return items.to(self.items)

    def sets(self, query: Any, coverage: float) -> Bool[np.ndarray, "q n_way"]:
        """Which classes that have an example stand in the set of each query; see `cross_sets`."""
        require_enough(coverage, len(self.labels))
        return cross_sets(self.folds(), self._ids, self._fitting(query), len(self.present), coverage)

    def calibrated_sets(
        self, query: Any, coverage: float, known: Any, labels: np.ndarray
    ) -> Bool[np.ndarray, "q n_way"]:
        """The same from held-out items, of which copies count once; see `split_sets`.

        Args:
            query: Items ``(q, *item)``.
            coverage: Wanted share of queries whose set holds the true label.
            known: Held-out items.
            labels: The user's label of each.

        Raises:
            LeakageError: If one equals an example, whose answer fit has seen.
        """
        ids = ids_of(labels, self.classes[self.present])
        known = self._fitting(known)
        seen = shared(self.items, known, self._close)
        if len(seen):
            raise LeakageError(
                f"items of the calibration must be none of the examples of fit, got {len(seen)} of {len(known)} that equal "
                f"one, the first in row {seen[0]}; leave them out"
            )
        told = first_of_each(copies(known, self._close), ids)
        return split_sets(self.scores(known)[told], ids[told], self.scores(query), coverage)

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

    def extended(self, items: Any, labels: np.ndarray, columns: Columns | None = None) -> "Model":
        """A model with more examples, of new classes too where none were declared."""
        items = self._fitting(items)
        both = torch.cat([self.items, items]) if isinstance(items, Tensor) else np.concatenate([self.items, items])
        known = joined(self.labels, labels) if len(self.labels) else labels
        return replace(self, items=both, labels=known, stored=None, columns=self.columns or columns)

    def __getstate__(self) -> dict[str, Any]:
        """All but adapted learners, which are closures and are made again."""
        return {name: value for name, value in self.__dict__.items() if name not in ("answer", "_folds", "_weights")}
