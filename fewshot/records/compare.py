"""Comparing records: only on equal episodes, and always against a reference named beforehand."""

from collections.abc import Mapping

import numpy as np

from fewshot.errors import RecordError, StatisticsError
from fewshot.plumbing.names import unknown
from fewshot.records.record import Record
from fewshot.statistics.interval import CLOSED, NEW_CLASSES, OPEN
from fewshot.statistics.paired import Comparison, compare_all


def compare(records: Mapping[str, Record], reference: str, *, level: float = 0.95) -> list[Comparison]:
    """Paired differences of every record to the reference, on the same episodes.

    A p-value is given only where it speaks of new data: here for disjoint episodes, and
    over classes in `compare_over_classes`. Holm's correction covers all comparisons.

    Args:
        records: Records by a name of your choice; all with the same manifest.
        reference: The name of the reference, chosen before the numbers were seen.
        level: Of the intervals.

    Returns:
        One comparison for each other record: accuracy minus the reference's, above 0 is better.

    Raises:
        UnknownNameError: If no record has the reference's name.
        RecordError: If there is only one record, or the manifests or the collections of the queries differ.
    """
    if reference not in records:
        raise unknown("reference", reference, records)
    if len(records) < 2:
        raise RecordError(f"a comparison needs at least two records, got {len(records)}; name another one")
    base = records[reference]
    for name, record in records.items():
        if _hash(record) != _hash(base):
            raise RecordError(
                f"records can be compared only on the same queries, got those of {_target(record)} in {name} and of "
                f"{_target(base)} in {reference}; evaluate both with the very same queries="
            )
        if record.episodes.manifest != base.episodes.manifest:
            raise RecordError(
                "records can be compared only on the same episodes, got "
                f"'{record.episodes.manifest}' in {name} and '{base.episodes.manifest}' in {reference}; "
                "compare the records of one list of episodes at a time"
            )
    others = {name: record.accuracies for name, record in records.items() if name != reference}
    if base.episodes.spec.get("disjoint"):
        return compare_all(base.accuracies, others, OPEN, rng=np.random.default_rng(0), level=level)
    return compare_all(base.accuracies, others, CLOSED, level=level)


def _hash(record: Record) -> str:
    return "" if record.target is None else record.target.hash


def _target(record: Record) -> str:
    return "no second collection" if record.target is None else f"'{record.target.name}' ({record.target.hash[:12]})"


def compare_over_classes(
    records: Mapping[str, Record], reference: str, classes: np.ndarray, *, level: float = 0.95
) -> list[Comparison]:
    """The same with classes as the unit: what would happen with new classes.

    Args:
        records: As for `compare`.
        reference: As for `compare`.
        classes: Class ids of each episode ``(episodes, way)``, from the answers of any of the records.
        level: Of the intervals.

    Raises:
        StatisticsError: If the classes do not allow it, such as one that is in every episode.
    """
    compare(records, reference, level=level)  # the same refusals
    others = {name: record.accuracies for name, record in records.items() if name != reference}
    if len(classes) != len(records[reference].accuracies):
        raise StatisticsError(f"classes must have a row an episode, got {len(classes)} rows")
    return compare_all(records[reference].accuracies, others, NEW_CLASSES, classes=classes, level=level)
