"""Calibrated stacking: seen classes lose γ of their scores, and what every γ would give.

Paper: Chao, Changpinyo, Gong and Sha, "An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object
    Recognition in the Wild", ECCV 2016, eq. 6 (stacking) and section 4 (area under the curve of U against S).

Nothing is swept on a grid. An item is answered by a seen class exactly while γ is below the difference of its best seen and its
best unseen score, so the accuracies are step functions with one step an item.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Integer

from fewshot.errors import StatisticsError
from fewshot.statistics.per_class import ClassCounts, harmonic_mean


@dataclass(frozen=True, eq=False)
class JointAnswers:
    """Answers of items of seen and unseen classes, where all classes compete.

    Attributes:
        classes: Class of each item.
        seen: Whether that class is a seen one.
        right: Whether the best class among those of the same kind is the right one.
        advantage: Best score among seen classes minus best score among unseen ones.

    Raises:
        StatisticsError: If there is no item of either kind, or an advantage is nan.
    """

    classes: Integer[np.ndarray, " items"]
    seen: Bool[np.ndarray, " items"]
    right: Bool[np.ndarray, " items"]
    advantage: Float[np.ndarray, " items"]

    def __post_init__(self) -> None:
        if not 0 < self.seen.sum() < len(self.seen):
            raise StatisticsError(
                f"stacking needs items of seen and of unseen classes, got {int(self.seen.sum())} of {len(self.seen)} seen"
            )
        if np.isnan(self.advantage).any():
            raise StatisticsError("scores must be numbers, got nan; look for nan in items or descriptors")

    def counts(self, gamma: float) -> tuple[ClassCounts, ClassCounts]:
        """Right answers of unseen and of seen classes with γ taken from the scores of the seen ones."""
        right = self.right & (self.seen == (self.advantage > gamma))
        return self._counted(right, ~self.seen), self._counted(right, self.seen)

    def _counted(self, right: np.ndarray, kind: np.ndarray) -> ClassCounts:
        return ClassCounts.of(right[kind], self.classes[kind])


@dataclass(frozen=True, eq=False)
class Curve:
    """U and S for every γ, from the least, where only seen classes answer, to the largest.

    Attributes:
        gamma: A value between two steps; the first is -inf, the last inf.
        unseen: Mean accuracy of the unseen classes, rising.
        seen: Mean accuracy of the seen classes, falling.
    """

    gamma: Float[np.ndarray, " points"]
    unseen: Float[np.ndarray, " points"]
    seen: Float[np.ndarray, " points"]

    @property
    def area(self) -> float:
        """Area under S against U (AUSUC), by trapezoids; higher is better."""
        return float(np.trapezoid(self.seen, self.unseen))

    def best_gamma(self) -> float:
        """The finite γ with the largest harmonic mean; of equal ones the nearest to 0."""
        h = np.asarray(harmonic_mean(self.unseen, self.seen))[1:-1]
        if not len(h):
            return 0.0
        best = np.flatnonzero(h == h.max())
        inner = self.gamma[1:-1]
        return float(inner[best[np.abs(inner[best]).argmin()]])


def curve(answers: JointAnswers) -> Curve:
    """All values that U and S take."""
    steps, place = np.unique(answers.advantage, return_inverse=True)
    between = (steps[:-1] + steps[1:]) / 2
    ids = np.unique(answers.classes, return_inverse=True)[1]
    weight = answers.right / np.bincount(ids)[ids]  # of an item within its class
    kinds = [np.unique(answers.classes[kind]).size for kind in (~answers.seen, answers.seen)]
    gained = np.bincount(place, np.where(answers.seen, 0.0, weight), len(steps)).cumsum() / kinds[0]
    lost = np.bincount(place, np.where(answers.seen, weight, 0.0), len(steps)).cumsum() / kinds[1]
    unseen, seen = np.concatenate([[0.0], gained]), lost[-1] - np.concatenate([[0.0], lost])
    seen[-1] = 0.0
    return Curve(np.concatenate([[-np.inf], between, [np.inf]]), unseen, np.maximum(seen, 0.0))
