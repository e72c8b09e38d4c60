"""A choice of hyper-parameters: the candidates, how each did on validation classes, and which was taken; a JSON file."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fewshot.errors import LeakageError, RecordError
from fewshot.plumbing.files import write_json
from fewshot.plumbing.reading import of_form
from fewshot.records.record import BackboneInfo, DataInfo, EpisodesInfo, MeanInfo, read_content

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Candidate(_Part):
    """One set of options.

    Attributes:
        options: Of the learner.
        accuracy: Mean over the validation episodes; higher is better.
        difference: Accuracy minus that of the chosen candidate on the same episodes, with its paired
            interval; nothing for the chosen one. The intervals are not corrected for the choice.
    """

    options: dict[str, Any]
    accuracy: MeanInfo
    difference: MeanInfo | None = None


class Choice(_Part):
    """The options with the best mean accuracy on validation classes; of equal ones, the first.

    Attributes:
        choice: Version of this file's format.
        learner: Name of the learner.
        backbone: What made the features.
        data: Where the validation classes come from.
        episodes: Which episodes all candidates were judged on.
        candidates: In the order in which they were given.
        options: Those of the chosen one.
        classes: Qualified names of the validation classes.
        notes: What a reader must know of the learner.
        settings: The command line's settings, if it made the choice.
        seconds: Time of all evaluations, in seconds.
    """

    choice: int = FORMAT
    learner: str
    backbone: BackboneInfo | None = None
    data: DataInfo
    episodes: EpisodesInfo
    candidates: list[Candidate]
    options: dict[str, Any]
    classes: list[str]
    notes: list[str] = []
    settings: dict[str, Any] | None = None
    versions: dict[str, str]
    code: str
    seconds: float

    @property
    def selection(self) -> str:
        """What a record says of it: split, candidates with their accuracies, the chosen one, and the episodes."""
        tried = ", ".join(f"{as_text(c.options)} {100 * c.accuracy.mean:.2f} %" for c in self.candidates)
        where = f"split '{self.data.split}' of {self.data.name}" if self.data.split else self.data.name
        return (
            f"{as_text(self.options)}: best of {len(self.candidates)} on {where}, {self.data.classes} classes ({tried}); "
            f"{self.episodes.manifest}"
        )

    def require_new(self, classes: Iterable[str]) -> None:
        """Let classes pass only if none of them has helped to choose.

        Args:
            classes: Qualified names: ``collection.qualified_names()``.

        Raises:
            LeakageError: If one was a validation class.
        """
        overlap = sorted(set(self.classes) & set(classes))
        if overlap:
            raise LeakageError(
                f"options must be chosen on other classes than those tested, got {len(overlap)} in both, such as "
                f"'{overlap[0]}'; test on another split, or choose on another"
            )

    def save(self, path: Path | str) -> None:
        """Write the JSON file."""
        write_json(Path(path), self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path | str) -> "Choice":
        """Read a choice.

        Raises:
            RecordError: If the file is missing, torn, or no choice.
        """
        what = "a choice that fewshot-bench tune has written"
        content = read_content(path, what)
        choice: Choice = of_form(cls, content, f"'{path}' must be {what}", "run it again with --again", RecordError)
        return choice


def as_text(options: dict[str, Any]) -> str:
    """Options as one reads them: ``C=1.0 metric=cosine``."""
    return " ".join(f"{name}={value}" for name, value in options.items()) or "no option"
