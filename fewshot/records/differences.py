"""Paired differences of two records of one kind, figure by figure."""

from functools import singledispatch
from typing import Any

from fewshot.errors import RecordError, StatisticsError
from fewshot.records.compare import compare
from fewshot.records.record import Record
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.records.zero_shot_paired import PairCounts, paired_bootstrap
from fewshot.statistics.interval import Interval


def differences(record: Any, reference: Any, level: float = 0.95) -> dict[str, Interval]:
    """Each figure of a record minus that of a reference, paired; above 0 is better than the reference.

    Args:
        record: What `fewshot.load_record` or `fewshot.evaluate` gave.
        reference: Of the same kind: on the same episodes, or on the same items of the same classes.
        level: Of the intervals.

    Returns:
        ``"accuracy"`` for episodes; ``"zero-shot"`` without examples and, where seen classes compete in both, ``"harmonic"``.

    Raises:
        RecordError: If the records are of two kinds, or of different episodes.
        StatisticsError: If records without examples have other items, or do not hold single answers.
    """
    if type(record) is not type(reference):
        raise RecordError(
            f"records can be compared only within a kind, got {type(record).__name__} and {type(reference).__name__}"
        )
    return _differences(record, reference, level)


@singledispatch
def _differences(record: Any, reference: Any, level: float) -> dict[str, Interval]:
    raise RecordError(f"only records can be compared, got {type(record).__name__}; load one with load_record(path)")


@_differences.register
def _(record: Record, reference: Record, level: float) -> dict[str, Interval]:
    (found,) = compare({"record": record, "reference": reference}, "reference", level=level)
    return {"accuracy": found.difference}


@_differences.register
def _(record: ZeroShotRecord, reference: ZeroShotRecord, level: float) -> dict[str, Interval]:
    if record.data.hash != reference.data.hash:
        raise StatisticsError(
            f"records can be compared only on the same items, got other ones in '{record.setting}' and "
            f"'{reference.setting}'"
        )
    unseen = PairCounts.of(record.unseen.counts, reference.unseen.counts)
    pairs = {"zero-shot": paired_bootstrap(unseen, level=level)}
    mine, other = record.generalised, reference.generalised
    if mine is not None and other is not None:
        kinds = [PairCounts.of(getattr(mine, k).counts, getattr(other, k).counts) for k in ("unseen", "seen")]
        pairs["harmonic"] = paired_bootstrap(*kinds, level=level)
    return pairs
