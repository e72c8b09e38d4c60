"""Records of one kind against a reference, as a table and as JSON."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fewshot.errors import RecordError
from fewshot.plumbing.names import unknown
from fewshot.records.compare import compare
from fewshot.records.differences import differences
from fewshot.records.load import AnyRecord
from fewshot.records.record import Record
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.tables.record_tables import Table, comparison_table
from fewshot.tables.zero_shot import label_of, zero_shot_table


@dataclass(frozen=True)
class EpisodesCompared:
    """Records of one list of episodes; the reference is the name of one of them, or the path of its file."""

    records: Mapping[str, Record]
    reference: str | None
    level: float

    @property
    def base(self) -> str:
        """Name of the reference; the first record where none is given."""
        given = self.reference
        if given is None:
            return next(iter(self.records))
        return given if given in self.records or Path(given).suffix != ".json" else Path(given).stem

    def table(self) -> Table:
        """Accuracies, differences, p-values."""
        found = compare(self.records, self.base, level=self.level)
        return comparison_table(self.records, self.base, found)

    def as_json(self) -> dict[str, Any]:
        """The same in full."""
        found = compare(self.records, self.base, level=self.level)
        summaries = {k: {"learner": r.learner.name, **r.summary.model_dump()} for k, r in self.records.items()}
        return {"reference": self.base, "records": summaries, "comparisons": [asdict(c) for c in found]}


@dataclass(frozen=True)
class ZeroShotCompared:
    """Records of zero-shot learning; the reference is a learner of every setting, by its label."""

    records: Mapping[str, ZeroShotRecord]
    reference: str | None
    level: float

    @property
    def base(self) -> str:
        """Label of the reference; that of the first record where none is given."""
        labels = [label_of(record) for record in self.records.values()]
        base = labels[0] if self.reference is None else self.reference
        if base not in labels:
            raise unknown("reference", base, labels)
        return base

    def table(self) -> Table:
        """Accuracies and differences."""
        return zero_shot_table(list(self.records.values()), self.base, self.level)

    def as_json(self) -> dict[str, Any]:
        """Differences, setting by setting."""
        every = [(r.setting, label_of(r), r) for r in self.records.values()]
        of = {setting: r for setting, label, r in every if label == self.base}
        others = [one for one in every if one[0] in of and one[1] != self.base]
        found = [
            {"setting": setting, "learner": label, **self._differences(record, of[setting])}
            for setting, label, record in others
        ]
        return {"reference": self.base, "comparisons": found}

    def _differences(self, record: ZeroShotRecord, reference: ZeroShotRecord) -> dict[str, Any]:
        found = differences(record, reference, self.level)
        return {name: asdict(interval) for name, interval in found.items()}


KINDS: dict[type, type] = {Record: EpisodesCompared, ZeroShotRecord: ZeroShotCompared}


def compared(records: Mapping[str, AnyRecord], reference: str | None, level: float) -> Any:
    """What `fewshot-bench compare` says of records: an object with ``table()`` and ``as_json()``.

    Args:
        records: By name, all of one kind.
        reference: What the others are compared with; the first when left out.
        level: Of the intervals of the differences.

    Raises:
        RecordError: If the records are of two kinds.
    """
    first = next(iter(records.values()))
    other = next((name for name, record in records.items() if type(record) is not type(first)), None)
    if other is not None:
        raise RecordError(
            f"records must all be of few-shot or all of zero-shot learning, got '{next(iter(records))}' and '{other}'; "
            "compare them apart"
        )
    return KINDS[type(first)](records, reference, level)
