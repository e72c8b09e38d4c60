"""What a page is about: results over episodes, and records of zero-shot learning."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fewshot.records.load import AnyRecord
from fewshot.records.record import Record
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.report.results import Result, check_reference, name_results
from fewshot.tables.zero_shot import label_of


@dataclass(frozen=True)
class Contents:
    """Records of both kinds, each in the part of the page that shows it.

    Attributes:
        few_shot: Results over episodes.
        zero_shot: Records of zero-shot learning, by name.
    """

    few_shot: Sequence[Result] = ()
    zero_shot: Mapping[str, ZeroShotRecord] = field(default_factory=dict)

    @classmethod
    def of(cls, records: Mapping[str, AnyRecord], folders: Mapping[str, Path] | None = None) -> "Contents":
        """Sort records by kind.

        Args:
            records: By name or path.
            folders: Where each lies; needed for their answers only.
        """
        few = {name: record for name, record in records.items() if isinstance(record, Record)}
        without = {name: record for name, record in records.items() if isinstance(record, ZeroShotRecord)}
        return cls(name_results(few, folders), without)

    def __len__(self) -> int:
        """Number of records."""
        return len(self.few_shot) + len(self.zero_shot)

    @property
    def records(self) -> list[AnyRecord]:
        """All of them, those over episodes first."""
        return [*(result.record for result in self.few_shot), *self.zero_shot.values()]

    @property
    def methods(self) -> set[str]:
        """What tables and figures call them."""
        return {*(result.method for result in self.few_shot), *map(label_of, self.zero_shot.values())}

    def check_reference(self, reference: str | None) -> None:
        """Raise unless some result has the name.

        Raises:
            UnknownNameError: With the nearest name.
        """
        check_reference(reference, self.few_shot, self.methods)
