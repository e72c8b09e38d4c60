"""What a recipe is made of: units of work, each a learner with the records that come of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fewshot.errors import RecordError
from fewshot.records.load import AnyRecord, load_record
from fewshot.training.memory import keep_freed_memory
from fewshot.training.progress import Progress

Announce = Callable[[str], None]
Report = Callable[[Progress], None]
Replaces = Mapping[str, str | None]
"""Names of records to make, and of each the `fewshot.plumbing.files.content_hash` that it may replace."""


@runtime_checkable
class Unit(Protocol):
    """One learner of a recipe, and what is evaluated with it; it can be sent to another process."""

    @property
    def label(self) -> str:
        """What the table calls the learner."""

    @property
    def names(self) -> list[str]:
        """Of its records, in the order of the recipe."""

    @property
    def trains(self) -> bool:
        """Whether it writes checkpoints."""

    def is_same(self, record: Any, name: str) -> bool:
        """Whether a record was made with the settings of the one of this name."""

    def run(self, folder: Path, replaces: Replaces, report: Report, announce: Announce) -> str:
        """Make the records of these names; the label of the learner comes back."""

    def finish(self, folder: Path) -> None:
        """Write what lies beside the records, where it is missing."""


@dataclass(frozen=True)
class Single:
    """A learner that is not trained beforehand, on one setting: one record.

    Attributes:
        label: What the table calls the learner.
        name: Of the record.
        settings: All that decide it.
        make: Makes the record.
    """

    label: str
    name: str
    settings: dict[str, Any]
    make: Callable[[], AnyRecord]
    trains: bool = False

    @property
    def names(self) -> list[str]:
        """Of its one record."""
        return [self.name]

    def is_same(self, record: Any, name: str) -> bool:
        """Whether a record was made with these settings."""
        return bool(record.settings == self.settings)

    def run(self, folder: Path, replaces: Replaces, report: Report, announce: Announce) -> str:
        """Make the record; the label of the learner comes back."""
        keep_freed_memory()
        announce(f"evaluating {self.name}")
        self.make().save(path_of(folder, self.name), replaces[self.name])
        return self.label

    def finish(self, folder: Path) -> None:
        """Nothing lies beside the record."""


def path_of(folder: Path, name: str) -> Path:
    """Where a record of a recipe is."""
    return folder / f"{name}.json"


def has_record(unit: Unit, folder: Path, name: str) -> bool:
    """Whether a record is there, with the settings of the unit."""
    path = path_of(folder, name)
    return path.exists() and unit.is_same(load_record(path), name)


def is_done(unit: Unit, folder: Path, name: str) -> bool:
    """Whether a record is there, with the settings of the unit, and its answers are whole."""
    if not has_record(unit, folder, name):
        return False
    try:
        load_record(path_of(folder, name)).check_answers(folder)
    except RecordError:
        return False
    return True
