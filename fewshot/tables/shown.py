"""All that a record of either kind says, as tables."""

from dataclasses import replace
from functools import singledispatch
from typing import Any

from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.tables.facts import facts_table, interval_table, open_set_table
from fewshot.tables.record_tables import Table
from fewshot.tables.zero_shot import classes_table, figures_table, open_table


@singledispatch
def tables_of(record: Any) -> list[Table]:
    """Facts and figures with their intervals; AUROC and FPR95 where items of other classes were queried."""
    opened = [open_set_table(record)] if record.open_set else []
    return [facts_table(record), *opened, replace(interval_table(record), notes=tuple(record.notes))]


@tables_of.register
def _(record: ZeroShotRecord) -> list[Table]:
    opened = [open_table(record)] if record.open_set else []
    return [figures_table(record), *opened, classes_table(record)]
