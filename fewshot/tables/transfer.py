"""Transfer between domains as tables: accuracy of every learner on every task, and paired differences to one of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from fewshot.records.compare import compare
from fewshot.records.record import Record
from fewshot.statistics.mean_accuracy import t_interval
from fewshot.tables.record_tables import ABSENT, Table, accuracy_cell, percent, with_interval

READING = (
    "%: accuracy on the queries of the target; ± or [low, high]: 95 % interval over items of the target, or over draws of "
    "the source",
    "mean: over the tasks, without interval, for tasks share domains",
)


def transfer_tables(
    records: Mapping[tuple[str, str], Record], reference: str | None = None, about: str = ""
) -> list[Table]:
    """Accuracy of every learner on every task, and paired differences where there is a reference.

    Args:
        records: By task and label of the learner.
        reference: Label that all others are compared with, chosen before the numbers were seen.
        about: Title of the first table.
    """
    tasks, labels = (list(dict.fromkeys(key[k] for key in records)) for k in (0, 1))
    rows = tuple(
        (label, *(_accuracy(records.get((task, label))) for task in tasks), _mean(records, tasks, label))
        for label in labels
    )
    tables = [Table(("learner", *tasks, "mean"), rows, about, READING)]
    return tables if reference is None else [*tables, _differences(records, tasks, labels, reference)]


def _accuracy(record: Record | None) -> str:
    return ABSENT if record is None else accuracy_cell(record)


def _mean(records: Mapping[tuple[str, str], Record], tasks: Sequence[str], label: str) -> str:
    known = [records[task, label].accuracy for task in tasks if (task, label) in records]
    return percent(float(np.mean(known))) if len(known) == len(tasks) else ABSENT


def _differences(
    records: Mapping[tuple[str, str], Record], tasks: Sequence[str], labels: Sequence[str], reference: str
) -> Table:
    """A paired difference for each task, in points, and their mean with an interval over the tasks."""
    rows = []
    for label in (label for label in labels if label != reference):
        found = [
            compare({reference: records[task, reference], label: records[task, label]}, reference)[0] for task in tasks
        ]
        cells = [
            with_interval(one.difference.estimate, one.difference.low, one.difference.high, signed=True)
            for one in found
        ]
        rows.append((label, *cells, _over_tasks([one.difference.estimate for one in found])))
    note = f"accuracy minus that of '{reference}' on the same items, in points, with 95 % intervals; * over tasks, as if they were new ones"
    return Table(("learner", *tasks, "mean *"), tuple(rows), f"Difference to {reference}", (note,))


def _over_tasks(differences: Sequence[float]) -> str:
    if len(differences) < 2:
        return ABSENT
    interval = t_interval(np.array(differences))
    return with_interval(interval.estimate, interval.low, interval.high, signed=True)
