"""``fewshot-bench evaluate``: one learner on one data set."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import Again, AsJson, Out, parsed
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept
from fewshot.errors import FewShotError

if TYPE_CHECKING:
    from fewshot.cli.objects.setting import Setting
    from fewshot.datasets.collection import Collection
    from fewshot.episodes import EpisodeSpec
    from fewshot.records.choice import Choice
    from fewshot.records.record import Record

EXAMPLES = (
    "fewshot-bench evaluate --data digits --learner nearest-mean --way 5 --shot 1",
    "fewshot-bench evaluate --data omniglot --learner nearest-mean --backbone conv4-omniglot --way 20 --ci both",
    "fewshot-bench evaluate --data ./my-photos --learner logistic-regression --backbone efficientnet-lite0 --json",
    "fewshot-bench evaluate --data digits --learner nearest-mean --option metric=cosine --out cosine",
    "fewshot-bench evaluate --data omniglot --learner nearest-mean --backbone conv4-omniglot --open-classes 5",
)


class Ci(StrEnum):
    """Which interval of the mean accuracy is asked for."""

    closed = "closed"
    open = "open"
    both = "both"


def evaluate(
    data: Annotated[str, typer.Option(help="Name of a data set, a folder of class folders, .zip, .npz or .csv.")],
    learner: Annotated[str, typer.Option(help="Name of a learner; see: fewshot-bench list learners.")],
    backbone: Annotated[
        str | None,
        typer.Option(help="Name of a backbone; left out: pixels and arrays in one row; 'none': items as they are."),
    ] = None,
    way: Annotated[int, typer.Option(help="Classes of an episode.")] = 5,
    shot: Annotated[int, typer.Option(help="Support items of each class; 0 is zero-shot.")] = 1,
    query: Annotated[int, typer.Option(min=1, help="Queries of each class.")] = 15,
    open_classes: Annotated[
        int, typer.Option(min=0, help="Further classes of an episode that are only asked: adds AUROC and FPR95.")
    ] = 0,
    open_query: Annotated[
        int | None, typer.Option(min=1, help="Queries of each open class; as many as of the others when left out.")
    ] = None,
    episodes: Annotated[int | None, typer.Option(help="Number of episodes.", show_default="1000")] = None,
    seed: Annotated[int, typer.Option(help="Names the list of episodes.")] = 0,
    split: Annotated[
        str | None,
        typer.Option(
            help="Which classes; left out: test where the data have splits, and what --tuned left; 'all': every item."
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Other data with the same classes, for queries: photos, then drawings."),
    ] = None,
    base: Annotated[str | None, typer.Option(help="Split whose classes the learner sees beforehand.")] = None,
    ci: Annotated[
        Ci, typer.Option(help="Interval for these episodes' images (closed), for new images (open), or both.")
    ] = Ci.closed,
    half_width: Annotated[
        float | None, typer.Option(help="As many episodes as this half width needs, a fraction: 0.005 is half a point.")
    ] = None,
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the learner; repeatable.")] = [],  # noqa: B006
    data_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the data.")] = [],  # noqa: B006
    tuned: Annotated[
        Path | None, typer.Option(help="A choice of options on other classes, written by fewshot-bench tune.")
    ] = None,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Let classes be asked that were trained on.")
    ] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Keep the scores of every query.")] = False,
    out: Out = None,
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Judge one learner on one data set.

    Prints its mean accuracy over episodes with intervals that say what they speak of, and writes a record.
    """
    from fewshot.cli.objects.setting import Setting
    from fewshot.episodes import EpisodeSpec
    from fewshot.records.choice import Choice

    if episodes is not None and half_width is not None:
        raise FewShotError("either --episodes or --half-width decides how many episodes, got both; leave one out")
    spec = EpisodeSpec(way, shot, query, open_way=open_classes, open_query=open_query)
    setting = Setting(
        data, learner, parsed(data_option, "--data-option"), split, parsed(option, "--option"), backbone, base, queries
    )
    extra = {"episodes": 1000 if episodes is None else episodes, "half_width": half_width, "seed": seed,
             "open_interval": ci != Ci.closed, "keep_scores": scores, "allow_seen": allow_seen}  # fmt: skip
    with stdout_kept():
        chosen = None if tuned is None else Choice.load(tuned)
        path, record = _finished_or_new(setting, spec, extra, chosen, out, again)
    if as_json:
        document(record.as_json())
    else:
        _show(record, path, ci)


def _finished_or_new(
    setting: "Setting",
    spec: "EpisodeSpec",
    extra: dict[str, Any],
    chosen: "Choice | None",
    out: Path | None,
    again: bool,
) -> "tuple[Path, Record]":
    """The record of an earlier run with the same settings and data, or a new one."""
    from fewshot.cli.objects.judge import judge
    from fewshot.cli.objects.setting import named_settings
    from fewshot.plumbing.files import content_hash, require_writable
    from fewshot.records.record import ANYTHING, Record

    setting = setting if chosen is None else _beside(setting, chosen)
    whole, asked = setting.load()
    queries = setting.load_queries(whole)
    if chosen is not None:
        setting, extra = _tuned(setting, chosen, whole), extra | {"selection": chosen.selection}
    settings, name = named_settings(setting, spec, extra, whole)
    path = (out or Path("fewshot-results") / name) / f"{name}.json"
    if path.exists() and not again:
        record = Record.load(path)
        hashes = record.data.hash, record.target and record.target.hash
        same = record.settings == settings and hashes == (asked.hash, queries and queries.hash)
        if same and _is_whole(record, path.parent):
            note(f"already done, printed again from '{path}' (--again computes it anew)")
            return path, record
    replaces = ANYTHING if again else content_hash(path)
    require_writable(path.parent)
    record = judge(setting, spec, extra, whole, asked, chosen, queries).model_copy(update={"settings": settings})
    return path, record.save(path, replaces)


def _is_whole(record: "Record", folder: Path) -> bool:
    """Whether the answers beside a record are there, and its own."""
    try:
        record.check_answers(folder)
    except FewShotError as error:
        note(f"not done: {error}")
        return False
    return True


def _beside(setting: "Setting", chosen: "Choice") -> "Setting":
    """The setting with the other half of the classes, where half of those of the same data made the choice."""
    from dataclasses import replace

    from fewshot.datasets.class_splits import HALF

    half = HALF.fullmatch(chosen.data.split or "")
    if half is None or setting.split is not None or Path(setting.data).resolve() != Path(chosen.data.name).resolve():
        return setting
    note(f"split: test:{half[2]}, the classes of '{setting.data}' that did not help to choose the options")
    return replace(setting, split=f"test:{half[2]}")


def _tuned(setting: "Setting", chosen: "Choice", whole: "Collection") -> "Setting":
    """The setting with the chosen options.

    Raises:
        FewShotError: If the choice is for another learner or backbone, or an option is given twice.
    """
    from dataclasses import replace

    backbone = chosen.backbone.name if chosen.backbone else None
    if (chosen.learner, backbone) != (setting.learner, setting.backbone_name(whole)):
        raise FewShotError(
            f"--tuned must be a choice for '{setting.learner}' on the backbone '{setting.backbone_name(whole)}', "
            f"got one for '{chosen.learner}' on '{backbone}'"
        )
    twice = sorted(set(setting.options) & set(chosen.options))
    if twice:
        raise FewShotError(f"an option comes from --tuned or from --option, got '{twice[0]}' in both; leave one out")
    return replace(setting, options=setting.options | chosen.options)


def _show(record: "Record", path: Path, ci: Ci) -> None:
    from dataclasses import replace

    from fewshot.statistics.interval import CLOSED, OPEN
    from fewshot.tables.facts import interval_table, open_set_table
    from fewshot.tables.record_tables import results_table

    hidden = {Ci.closed: OPEN, Ci.open: CLOSED, Ci.both: None}[ci]
    intervals = interval_table(record)
    rows = tuple(row for row in intervals.rows if row[0] != hidden)
    opened = [open_set_table(record)] if record.open_set else []
    size = record.data.options.get("size")
    notes = [f"images: {size} x {size} pixels; another size: --data-option size=..."] if size else []
    show_tables(
        results_table({path.stem: record}), *opened, replace(intervals, rows=rows, notes=(*record.notes, *notes))
    )
    note(f"record: {path}")
