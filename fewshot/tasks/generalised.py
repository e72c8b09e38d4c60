"""Generalised zero-shot classification: seen classes compete with the unseen ones.

Papers: Xian, Schiele and Akata, "Zero-Shot Learning - the Good, the Bad and the Ugly", CVPR 2017, section 4 (harmonic mean);
    Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object Recognition in the Wild",
    ECCV 2016 (calibrated stacking).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.episodes import IndexEpisodes
from fewshot.episodes.without_support import without_support
from fewshot.errors import DataError
from fewshot.plumbing.number_checks import finite_number, seed_number
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.tasks.answered import OfClasses
from fewshot.tasks.guarded import Guarded
from fewshot.tasks.parts import CALIBRATE, TEST, Parts
from fewshot.tasks.required import require_collection
from fewshot.tasks.zero_shot import check_parts, class_data, class_figures


@dataclass(frozen=True, eq=False)
class Generalised:
    """Items of unseen classes and held-out items of seen ones, among the classes of both.

    U and S are mean accuracies over unseen and seen classes, H is their harmonic mean. All classes of ``parts.base``
    compete; S is the mean over those with held-out items.

    Attributes:
        collection: Items, class descriptors and splits.
        parts: Which splits: as for `fewshot.ZeroShot`, and ``seen`` with held-out items of the classes of ``base``.
        gamma: What scores of seen classes lose; chosen on ``calibrate`` when left out.
        calibrate: Splits that choose it; None leaves it at 0. Those that the data lack are cut from ``trainval``, see
            `fewshot.datasets.seen_unseen.with_choosing`.
        seed: Of the bootstrap.

    Raises:
        DataError: If the data are no collection, or no split has items of seen classes.
        FewShotError: If γ or the seed are no such numbers.
    """

    collection: Collection
    parts: Parts = TEST
    gamma: float | None = None
    calibrate: Parts | None = CALIBRATE
    seed: int = 0
    queries: ClassVar[None] = None

    def __post_init__(self) -> None:
        require_collection(self.collection)
        if self.gamma is not None:
            object.__setattr__(self, "gamma", finite_number("gamma", self.gamma))
        object.__setattr__(self, "seed", seed_number(self.seed))
        if not self.parts.seen:
            raise DataError(
                "in Generalised seen classes compete, got seen=''; name a split with items of them, or take ZeroShot"
            )

    @property
    def listed(self) -> "Generalised":
        """What is put to the learner: this task itself."""
        return self

    @property
    def items(self) -> Collection:
        """All items."""
        return self.collection

    @property
    def first(self) -> IndexEpisodes:
        """Items that the claims of a learner's backbone are checked on."""
        rows = self.collection.rows_of(self.parts.unseen)
        return without_support(rows, np.unique(self.collection.labels[rows]))

    def check(self, learner: Any) -> Guarded:
        """Compare the classes of all parts, and those that trained the learner.

        Raises:
            LeakageError: If an unseen class was learned from, a seen one was not, or an item is in two parts.
        """
        return check_parts(learner, self.collection, self.parts)

    def figures(self, found: OfClasses, level: float) -> dict[str, Any]:
        """Counts of classes and means with their intervals, field by field of a record."""
        fields = class_figures(self.collection, self.parts, found, level, self.seed)
        return fields | {"notes": self._notes()}

    def _notes(self) -> list[str]:
        """What a reader of S must know: which seen classes compete without being queried."""
        data, parts = self.collection, self.parts
        seen, asked = (len(np.unique(data.labels[data.rows_of(name)])) for name in (parts.base, parts.seen))
        if seen == asked:
            return []
        return [
            f"{seen - asked} of {seen} seen classes have no held-out item: they compete, and S is the mean over the others"
        ]

    def described(self) -> dict[str, Any]:
        """Data and descriptors, field by field of a record."""
        return class_data(self.collection, self.parts)

    def record(self, found: OfClasses, fields: dict[str, Any]) -> ZeroShotRecord:
        """The record, which holds its answers."""
        return ZeroShotRecord(**fields)
