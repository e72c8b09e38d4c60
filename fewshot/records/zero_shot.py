"""The record of a zero-shot evaluation: one fixed test set, counts of each class, the harmonic mean where classes are mixed."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fewshot.errors import RecordError
from fewshot.plumbing.files import write_json
from fewshot.plumbing.reading import of_form
from fewshot.records.record import (
    ANYTHING,
    BackboneInfo,
    DataInfo,
    Figure,
    LearnerInfo,
    OpenSetInfo,
    SeenClasses,
    Whole,
    read_content,
    replacing,
)
from fewshot.statistics.interval import Interval
from fewshot.statistics.per_class import ClassCounts

FORMAT: Literal[1] = 1
MARK = "zero_shot"
"""The key that every zero-shot record has, of any version."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Counts(_Part):
    """Right answers and items of each class of one kind.

    Attributes:
        classes: Their names.
        correct: Right answers.
        items: Items that were asked.
        answers: Every single answer, one bit an item, 1 if right, in hexadecimal digits: class after class, items as in the split.
    """

    classes: list[str]
    correct: list[Whole]
    items: list[Whole]
    answers: str | None = None

    @model_validator(mode="after")
    def _fit(self) -> "Counts":
        if not len(self.classes) == len(self.correct) == len(self.items):
            raise ValueError(
                f"every class needs two counts, got {len(self.correct)} and {len(self.items)} for {len(self.classes)} classes"
            )
        if self.answers is not None and not re.fullmatch(f"[0-9a-f]{{{2 * -(-sum(self.items) // 8)}}}", self.answers):
            raise ValueError(
                f"answers must be one bit for each of {sum(self.items)} items, got {len(self.answers)} digits"
            )
        _ = self.counts  # which add up, or say why not
        return self

    @classmethod
    def of(cls, classes: list[str], counts: ClassCounts) -> "Counts":
        """Of arrays."""
        answers = None if counts.answers is None else np.packbits(counts.answers).tobytes().hex()
        return cls(classes=classes, correct=counts.correct.tolist(), items=counts.items.tolist(), answers=answers)

    @property
    def counts(self) -> ClassCounts:
        """As arrays."""
        correct, items = np.array(self.correct), np.array(self.items)
        if self.answers is None:
            return ClassCounts(correct, items)
        bits = np.unpackbits(np.frombuffer(bytes.fromhex(self.answers), np.uint8))
        return ClassCounts(correct, items, bits[: items.sum()].astype(bool))


class Generalised(_Part):
    """Seen and unseen classes compete.

    Attributes:
        gamma: What the scores of seen classes lose.
        gamma_from: Where it was chosen.
        unseen: Counts at that gamma.
        seen: Counts at that gamma.
        area: Area under the accuracy of seen against that of unseen classes, over all gammas (AUSUC); higher is better.
        curve: Some points (unseen, seen) of it.
        plain: Accuracies of unseen and of seen classes without stacking.
    """

    gamma: float
    gamma_from: str
    unseen: Counts
    seen: Counts
    area: float
    curve: Annotated[list[tuple[float, float]], Field(min_length=1)]
    plain: tuple[float, float]


class ZeroShotRecord(_Part):
    """One result, complete; a JSON file on disk.

    Attributes:
        zero_shot: Version of this file's format.
        base: Items that the learner learned from.
        descriptors: How many numbers describe a class, and their hash.
        unseen: Counts of the unseen classes where no other class competes.
        figures: Means over classes with their intervals, for new images and for new classes.
        generalised: Where seen classes compete.
        open_set: How well items of no known class are told from those of the unseen classes, where there are such items.
        selection: How options were chosen.
        seconds: Time of fitting and evaluation, in seconds.
    """

    zero_shot: Literal[1] = FORMAT
    recipe: str | None = None
    settings: dict[str, Any] | None = None
    learner: LearnerInfo
    backbone: BackboneInfo | None = None
    data: DataInfo
    base: DataInfo | None = None
    descriptors: str
    unseen: Counts
    figures: Annotated[list[Figure], Field(min_length=1)]
    generalised: Generalised | None = None
    open_set: list[OpenSetInfo] = []
    pretraining_classes: SeenClasses | None = None
    selection: str | None = None
    notes: list[str] = []
    versions: dict[str, str]
    code: str
    device: str
    seconds: float

    @property
    def accuracy(self) -> float:
        """Mean accuracy of the unseen classes where no other class competes, a fraction."""
        return self.unseen.counts.mean

    @property
    def setting(self) -> str:
        """What the recipe calls the row, or else the data."""
        rows = ((self.settings or {}).get("zero_shot") or {}).get("rows") or [{}]
        return str(rows[0].get("label") or self.data.name)

    def figure(self, name: str, estimand: str) -> Figure:
        """The figure of a name with the interval for an estimand.

        Raises:
            RecordError: If there is none.
        """
        for one in self.figures:
            if (one.name, one.estimand) == (name, estimand):
                return one
        raise RecordError(
            f"the record must have a figure '{name}' for {estimand}, got {[f.name for f in self.figures]}"
        )

    def save(self, path: Path | str, replaces: str | None = ANYTHING) -> "ZeroShotRecord":
        """Write the JSON file; see `fewshot.records.record.Record.save`."""
        with replacing(Path(path), replaces):
            write_json(path, self.as_json())
        return self

    def as_json(self) -> dict[str, Any]:
        """What the file holds."""
        return self.model_dump(mode="json")

    def check_answers(self, folder: Path | str) -> None:
        """No file lies beside the record: it holds its answers, and reading it compares them with its counts."""

    @classmethod
    def load(cls, path: Path | str) -> "ZeroShotRecord":
        """Read a record.

        Raises:
            RecordError: If the file is missing, torn, or no such record.
        """
        return cls.of_content(path, read_content(path, "a record of a zero-shot evaluation"))

    @classmethod
    def of_content(cls, path: Path | str, content: Any) -> "ZeroShotRecord":
        """The record that a file holds.

        Args:
            path: Of the file, for messages.
            content: What its JSON says.

        Raises:
            RecordError: If it is no such record.
        """
        needed = f"'{path}' must be a record of a zero-shot evaluation"
        record: ZeroShotRecord = of_form(cls, content, needed, "run it again with --again", RecordError)
        return record


def figures_of(name: Any, *intervals: Interval) -> list[Figure]:
    """A figure for each interval of one mean."""
    return [
        Figure(
            name=name, value=i.estimate, low=i.low, high=i.high, level=i.level, interval=i.method,
            estimand=i.estimand, count=i.count,
        )
        for i in intervals
    ]  # fmt: skip
