"""The table of few-shot results."""

from collections.abc import Sequence

from fewshot.records.record import MeanInfo, Record
from fewshot.records.seen import seen_cell
from fewshot.report.cells import Cell, Column, SortableTable, count, make_table, share, words
from fewshot.report.results import Result
from fewshot.tables.record_tables import data_name, looks_cell, queries_cell, shot_cell, whole


def _accuracy(result: Result) -> Cell:
    summary = result.record.summary
    return share(summary.accuracy, summary.low, summary.high)


def _mean(mean: MeanInfo | None) -> Cell:
    return share(None) if mean is None else share(mean.mean, mean.low, mean.high)


def _first(record: Record, figure: str) -> MeanInfo | None:
    return getattr(record.open_set[0], figure) if record.open_set else None


def selection_head(record: Record) -> str:
    """How options or weights were chosen, in a few words; the whole sentence stands in the record."""
    return record.selection.partition(":")[0] if record.selection else "nothing chosen"


COLUMNS: tuple[Column[Result], ...] = (
    Column("method", "what was judged", lambda r: words(r.method), shown=True),
    Column("accuracy %", "mean over episodes with its interval; higher is better", _accuracy, True, True),
    Column("shot", "labelled examples of each class", lambda r: count(shot_cell(r.record.episodes)), True),
    Column("way", "classes in an episode", lambda r: count(whole(r.record.episodes.way)), True),
    Column("queries", "items to classify, of each class", lambda r: count(whole(r.record.episodes.query)), True),
    Column("spread of queries", "over the classes of an episode", lambda r: words(queries_cell(r.record))),
    Column("looks at queries", "whether an answer may depend on the other queries", lambda r: words(looks_cell(r.record.learner))),
    Column("5th percentile %", "95 % of the episodes are above", lambda r: share(r.record.summary.fifth_percentile), True, True),
    Column("learner", "what adapts to the examples", lambda r: words(r.record.learner.name)),
    Column("backbone", "what turns items into features", lambda r: words(r.record.backbone_name or "")),
    Column("data", "data set, split and options", lambda r: words(data_name(r.record))),
    Column("episodes", "small problems, drawn at random", lambda r: count(f"{r.record.episodes.count:,}"), True),
    Column("AUROC %", "known classes told from open ones; 50 is chance", lambda r: _mean(_first(r.record, "auroc")), True),
    Column("FPR95 %", "open queries that pass; lower is better", lambda r: _mean(_first(r.record, "fpr95")), True),
    Column("interval for", "what the interval imagines drawn again", lambda r: words(f"{r.record.summary.level:.0%}, {r.record.summary.estimand}")),
    Column("batch norm", "where its statistics come from", lambda r: words(r.record.learner.batch_norm)),
    Column("selection", "how options or weights were chosen", lambda r: words(selection_head(r.record))),
    Column("classes seen before", "in training or by the backbone", lambda r: words(seen_cell(r.record))),
)  # fmt: skip


def few_shot_table(results: Sequence[Result]) -> SortableTable:
    """One row a record, in the order given."""
    return make_table(COLUMNS, results)
