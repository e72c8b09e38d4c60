"""Tables: pure functions from records to rows, and from rows to aligned text or Markdown.

Accuracies are fractions in records and per cent in every cell here. An interval
is printed as ``48.21 ± 0.77`` where both arms are equal as printed, and as
``99.40 [98.71, 99.72]`` where they are not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fewshot.records.record import DataInfo, EpisodesInfo, IntervalInfo, LearnerInfo, MeanInfo, Record
from fewshot.records.seen import NOTHING, seen_cell
from fewshot.statistics.interval import CLOSED
from fewshot.statistics.paired import Comparison
from fewshot.tables.balance import balance_lines

ABSENT = "–"
RESULT_COLUMNS = ("record", "learner", "backbone", "data", "way", "shot", "episodes", "accuracy %", "5th percentile %")
OPEN_SET_NOTE = "accuracy: of known classes only; AUROC, FPR95: by the classifier's own measure, or its largest score"
NO_NUMBER = ("", ABSENT, "reference", "chosen")  # may stand in a column of numbers


@dataclass(frozen=True)
class Table:
    """Cells as text.

    Attributes:
        columns: Headings.
        rows: One tuple of cells a row, as long as ``columns``.
        title: Line above, if any.
        notes: Lines below.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    notes: tuple[str, ...] = ()

    def right(self) -> tuple[bool, ...]:
        """Which columns hold numbers only, and are therefore set flush right."""
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.columns)
        return tuple(any(map(_is_number, c)) and all(_is_number(x) or x in NO_NUMBER for x in c) for c in columns)


def percent(fraction: float) -> str:
    """A fraction as per cent with two decimals, without the sign: 0.4821 gives ``48.21``."""
    return f"{100 * fraction:.2f}"


def with_interval(estimate: float, low: float, high: float, signed: bool = False) -> str:
    """Per cent with its interval: ``48.21 ± 0.77``, or ``99.40 [98.71, 99.72]`` where the arms differ.

    Args:
        estimate: A fraction, or a difference of fractions.
        low: Lower end.
        high: Upper end.
        signed: Whether a positive estimate gets a plus sign, as differences do.
    """
    mean = f"{100 * estimate:+.2f}" if signed else percent(estimate)
    below, above = percent(estimate - low), percent(high - estimate)
    return f"{mean} ± {above}" if below == above else f"{mean} [{percent(low)}, {percent(high)}]"


def accuracy_cell(record: Record) -> str:
    """Accuracy of a record with its first interval."""
    return with_interval(record.accuracy, record.summary.low, record.summary.high)


def results_table(records: Mapping[str, Record]) -> Table:
    """One row a record: what was judged, on what, and how it did; AUROC and FPR95 where open classes are queried."""
    columns: tuple[str, ...] = RESULT_COLUMNS
    rows = tuple(_result_row(name, record) for name, record in records.items())
    notes = _speaks_of([record.summary for record in records.values()])
    if any(record.open_set for record in records.values()):
        columns, notes = (*columns, "AUROC %", "FPR95 %"), (*notes, OPEN_SET_NOTE)
        rows = tuple((*row, *_open_cells(record)) for row, record in zip(rows, records.values(), strict=True))
    columns, rows = with_queries(columns, rows, list(records.values()))
    seen = [seen_cell(record) for record in records.values()]
    if set(seen) - {"", NOTHING}:
        columns, rows = (*columns, "seen before"), tuple((*r, s or ABSENT) for r, s in zip(rows, seen, strict=True))
    return Table(columns, rows, notes=(*notes, *balance_lines(records)))


def with_queries(
    columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...], records: Sequence[Record]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """A further column with the queries, where some are unbalanced or a learner looks at all of them together."""
    cells = [queries_cell(record) for record in records]
    if not any(record.learner.transductive for record in records) and set(cells) <= {"balanced"}:
        return columns, rows
    return (*columns, "queries"), tuple((*row, cell) for row, cell in zip(rows, cells, strict=True))


def queries_cell(record: Record) -> str:
    """How the queries of an episode are spread over its classes, and what else it holds without labels."""
    spec = record.episodes.spec
    pool = f", pool of {spec['unlabelled']} a class" if spec.get("unlabelled") else ""
    others = f" and {spec['distractors']} other classes" if spec.get("distractors") else ""
    return record.episodes.query_distribution + pool + others


def mean_cell(mean: MeanInfo, signed: bool = False) -> str:
    """A mean over episodes with its interval, in per cent; a positive one with a sign if ``signed``."""
    return with_interval(mean.mean, mean.low, mean.high, signed)


def _open_cells(record: Record) -> tuple[str, str]:
    first = record.open_set[:1]
    return (mean_cell(first[0].auroc), mean_cell(first[0].fpr95)) if first else (ABSENT, ABSENT)


def _result_row(name: str, record: Record) -> tuple[str, ...]:
    e = record.episodes
    return (
        name,
        record.learner.name,
        record.backbone_name or ABSENT,
        data_name(record),
        whole(e.way),
        shot_cell(e),
        str(e.count),
        accuracy_cell(record),
        percent(record.summary.fifth_percentile),
    )


def error_lines(records: Sequence[Record]) -> list[str]:
    """Error rates over published lists of episodes, which is how their papers report."""
    return [_error_line(record) for record in records if not record.episodes.spec]


def _error_line(record: Record) -> str:
    counts = [record.queries] * len(record.correct) if isinstance(record.queries, int) else record.queries
    asked, wrong = sum(counts), sum(counts) - sum(record.correct)
    return f"{data_name(record)}: {100 * wrong / asked:.1f} % error ({wrong} of {asked} queries)"


def data_name(record: Record) -> str:
    """Data, split and options: ``omniglot/test rotations=none``; an arrow leads to those of the queries where they are others."""
    return " → ".join(_named(data) for data in (record.data, record.target) if data is not None)


def _named(data: DataInfo) -> str:
    name = data.name + (f"/{data.split}" if data.split else "")
    return " ".join([name, *(f"{option}={value}" for option, value in data.options.items())])


def comparison_table(records: Mapping[str, Record], reference: str, comparisons: Sequence[Comparison]) -> Table:
    """Accuracies and paired differences to the reference; a difference above 0 is better than the reference.

    Args:
        records: By name; all on the same episodes.
        reference: One of the names.
        comparisons: What `fewshot.records.compare.compare` made of them.
    """
    by_name = {c.name: c for c in comparisons}
    ordered = [reference, *(name for name in records if name != reference)]
    rows = tuple(_comparison_row(name, records[name], by_name.get(name)) for name in ordered)
    columns: tuple[str, ...] = ("record", "learner", "accuracy %", "difference", "p", "p (Holm)")
    if all(c.p_value is None for c in comparisons):
        columns, rows = columns[:-2], tuple(row[:-2] for row in rows)
    if any(records[name].learner.transductive for name in ordered):
        columns = (*columns, "looks at queries")
        rows = tuple((*row, looks_cell(records[name].learner)) for row, name in zip(rows, ordered, strict=True))
    columns, rows = with_queries(columns, rows, [records[name] for name in ordered])
    tests = dict.fromkeys(_test_note(c.test) for c in comparisons)
    level = comparisons[0].difference.level if comparisons else records[reference].summary.level
    notes = (
        *_speaks_of([records[name].summary for name in ordered]),
        f"difference: accuracy minus that of {reference} on the same {records[reference].episodes.count} episodes, "
        f"in percentage points, with its {level:.0%} interval for {_differs_over(records[reference], comparisons)}; "
        "above 0 is better",
        *tests,
        *balance_lines({name: records[name] for name in ordered}),
    )
    return Table(columns, rows, notes=notes)


def looks_cell(learner: LearnerInfo) -> str:
    """Whether a learner answers query by query, or looks at all of them together, which makes it transductive."""
    return "all at once" if learner.transductive else "one by one"


def _differs_over(reference: Record, comparisons: Sequence[Comparison]) -> str:
    """What the intervals of the differences speak of: with episodes as the unit, what the record draws anew in each."""
    estimand = comparisons[0].difference.estimand if comparisons else CLOSED
    return reference.summary.estimand if estimand == CLOSED else estimand


def _test_note(test: str) -> str:
    kind, _, reason = test.partition(": ")
    return f"no p-value: {reason}" if kind == "none" else f"p-value: {test}"


def _comparison_row(name: str, record: Record, comparison: Comparison | None) -> tuple[str, ...]:
    start = (name, record.learner.name, accuracy_cell(record))
    if comparison is None:
        return (*start, "reference", ABSENT, ABSENT)
    d = comparison.difference
    return (
        *start,
        with_interval(d.estimate, d.low, d.high, signed=True),
        _p(comparison.p_value),
        _p(comparison.adjusted),
    )


def plain(table: Table) -> str:
    """Aligned text, columns two spaces apart, numbers flush right."""
    widths = [max(len(cell) for cell in column) for column in zip(table.columns, *table.rows, strict=True)]
    right = table.right()

    def line(cells: Sequence[str]) -> str:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
        return "  ".join(padded).rstrip()

    headed = any(table.columns)
    head = [line(table.columns), "  ".join("-" * w for w in widths)] if headed else []
    return "\n".join([*([table.title] if table.title else []), *head, *map(line, table.rows), *table.notes])


def markdown(table: Table) -> str:
    """A table in Markdown, with ``|`` in cells escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "|".join("---:" if r else "---" for r in table.right()) + "|"
    parts = [f"**{table.title}**\n"] if table.title else []
    notes = ["", *(f"{note}  " for note in table.notes)] if table.notes else []
    return "\n".join([*parts, line(table.columns), rule, *map(line, table.rows), *notes])


def _speaks_of(intervals: Sequence[IntervalInfo]) -> tuple[str, ...]:
    kinds = dict.fromkeys((i.level, i.estimand) for i in intervals)
    return tuple(f"accuracy: mean over episodes, {level:.0%} interval for {estimand}" for level, estimand in kinds)


def whole(count: int | list[int]) -> str:
    """A count, or the ends of a range: ``5``, ``5-20``."""
    return str(count) if isinstance(count, int) else f"{count[0]}-{count[-1]}"


def shot_cell(episodes: EpisodesInfo) -> str:
    """Shots of an episode, unequal ones one by one: ``1/2/5``."""
    unequal = episodes.spec.get("shots")
    return "/".join(map(str, unequal)) if unequal else whole(episodes.shot)


def _p(value: float | None) -> str:
    if value is None:
        return ABSENT
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-<[ ")[:1].isdigit()
