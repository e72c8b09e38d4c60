"""All that a record says, as tables."""

from collections.abc import Callable

from fewshot.records.record import Record
from fewshot.records.seen import seen_sentence
from fewshot.tables.record_tables import Table, accuracy_cell, data_name, mean_cell, percent, shot_cell, whole


def interval_table(record: Record) -> Table:
    """Every interval of a record's mean accuracy with what it speaks of."""
    rows = tuple(
        (i.estimand, f"[{percent(i.low)}, {percent(i.high)}]", percent((i.high - i.low) / 2), f"{i.level:.0%}", i.interval, str(i.count))
        for i in (record.summary, *record.intervals)
    )  # fmt: skip
    return Table(("speaks of", "interval %", "half width", "level", "method", "units"), rows)


def open_set_table(record: Record) -> Table:
    """AUROC and FPR95 of a record by each measure of how known a query is."""
    rows = tuple((m.known_by, mean_cell(m.auroc), mean_cell(m.fpr95)) for m in record.open_set)
    kinds = dict.fromkeys((m.auroc.level, m.auroc.estimand) for m in record.open_set)
    notes = tuple(
        f"AUROC, FPR95: each episode's own value, mean over episodes, {level:.0%} intervals for {estimand}"
        for level, estimand in kinds
    )
    return Table(("known by", "AUROC %", "FPR95 %"), rows, notes=notes)


def facts_table(record: Record) -> Table:
    """All else that made a record, a fact a row."""
    return Table(("", ""), tuple((name, text) for name, read in FACTS.items() if (text := read(record))))


def _learner(record: Record) -> str:
    options = ", ".join(f"{k}={v}" for k, v in record.learner.options.items())
    kind = ", transductive" if record.learner.transductive else ""
    return record.learner.name + (f" ({options})" if options else "") + kind


def _backbone(record: Record) -> str:
    if record.backbone is None:
        return ""
    return f"{record.backbone.name} ({record.backbone.fingerprint or 'no fingerprint'})"


def _data(record: Record) -> str:
    both = [record.data.items, *([] if record.target is None else [record.target.items])]
    return f"{data_name(record)}: {record.data.classes} classes, {' and '.join(map(str, both))} items"


def _episodes(record: Record) -> str:
    e = record.episodes
    opened = e.spec.get("open_way", 0)
    extra = f", {opened} open class{'es' * (opened > 1)}" if opened else ""
    return f"{e.count} of {whole(e.way)}-way {shot_cell(e)}-shot, {whole(e.query)} queries a class, {e.query_distribution}{extra}, seed {e.seed}"


def _calibration(record: Record) -> str:
    error = record.summary.calibration_error
    return (
        "not given: the scores only rank" if error is None else f"{error:.4f} (expected calibration error, 0 is best)"
    )


def _training(record: Record) -> str:
    if record.training is None:
        return ""
    budget = ", ".join(f"{k}={v}" for k, v in record.training.budget.items())
    return f"on {record.training.split} ({budget}), seed {record.training.seed}"


FACTS: dict[str, Callable[[Record], str]] = {
    "recipe": lambda r: r.recipe or "",
    "learner": _learner,
    "backbone": _backbone,
    "data": _data,
    "episodes": _episodes,
    "accuracy": lambda r: accuracy_cell(r) + " %",
    "5th percentile": lambda r: f"{percent(r.summary.fifth_percentile)} % (95 % of the episodes are above)",
    "calibration": _calibration,
    "training": _training,
    "pretraining": lambda r: (r.backbone.pretraining if r.backbone else None) or "",
    "seen before": seen_sentence,
    "selection": lambda r: r.selection or "",
    "manifest": lambda r: r.episodes.manifest,
    "software": lambda r: ", ".join(f"{k} {v}" for k, v in r.versions.items()) + f", code {r.code}, on {r.device}",
    "seconds": lambda r: f"{r.seconds:.1f}",
}
