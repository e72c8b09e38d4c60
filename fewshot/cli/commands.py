"""The list of commands, each with its examples, in the order of the help."""

from collections.abc import Callable

from fewshot.cli import (
    audit,
    classify,
    compare,
    download,
    evaluate,
    listing,
    report,
    run,
    show,
    start,
    table,
    transfer,
    tune,
    verify,
)

COMMANDS: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "quickstart": (start.quickstart, start.EXAMPLES),
    "classify": (classify.classify, classify.EXAMPLES),
    "transfer": (transfer.transfer, transfer.EXAMPLES),
    "run": (run.run, run.EXAMPLES),
    "evaluate": (evaluate.evaluate, evaluate.EXAMPLES),
    "tune": (tune.tune, tune.EXAMPLES),
    "compare": (compare.compare, compare.EXAMPLES),
    "show": (show.show, show.EXAMPLES),
    "report": (report.report, report.EXAMPLES),
    "table": (table.table, table.EXAMPLES),
    "list": (listing.list_names, listing.EXAMPLES),
    "verify": (verify.verify, verify.EXAMPLES),
    "audit": (audit.audit, audit.EXAMPLES),
    "download": (download.download, download.EXAMPLES),
}
