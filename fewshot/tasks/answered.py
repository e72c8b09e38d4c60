"""What a task makes its figures of: the answers to it."""

from dataclasses import dataclass, field

import numpy as np

from fewshot.records.answers import Answers
from fewshot.records.record import DataInfo
from fewshot.statistics.per_class import ClassCounts
from fewshot.statistics.stacking import JointAnswers


@dataclass(frozen=True, eq=False)
class OfEpisodes:
    """Answers to the queries of episodes.

    Attributes:
        answers: To the task's own list.
        disjoint: To disjoint episodes of the same shape, for an interval that speaks of new images.
    """

    answers: Answers
    disjoint: Answers | None = None


@dataclass(frozen=True, eq=False)
class OfClasses:
    """Answers to the items of classes that descriptors name.

    Attributes:
        unseen: Right answers where unseen classes alone compete.
        joint: Answers where seen classes compete, too.
        gamma: What scores of seen classes lose.
        gamma_from: Where it was chosen.
        known: How known items of unseen classes are, and items of no known class, by each measure.
        base: What the learner learned from, where it did.
    """

    unseen: ClassCounts
    joint: JointAnswers | None = None
    gamma: float = 0.0
    gamma_from: str = ""
    known: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    base: DataInfo | None = None
