"""``fewshot-bench evaluate``: one learner on one data set."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import Again, AsJson, OnDevice, Out, fitting, parsed
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept
from fewshot.errors import FewShotError

if TYPE_CHECKING:
    from fewshot.recipes.data import RowData
    from fewshot.recipes.schema import Recipe
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
    """Which interval of the mean accuracy is reported."""

    closed = "closed"
    open = "open"
    both = "both"


def evaluate(
    data: Annotated[str, typer.Option(help="Name of a data set, a folder of class folders, .zip, .npz or .csv.")],
    learner: Annotated[str, typer.Option(help="Name of a learner; see: fewshot-bench list learners.")],
    backbone: Annotated[
        str | None,
        typer.Option(help="Name of a backbone; without it: pixels and arrays as rows; 'none': items as they are."),
    ] = None,
    way: Annotated[int, typer.Option(help="Classes of an episode.")] = 5,
    shot: Annotated[int, typer.Option(help="Support items of each class; 0 is zero-shot.")] = 1,
    query: Annotated[int, typer.Option(min=1, help="Queries of each class.")] = 15,
    query_distribution: Annotated[
        str | None,
        typer.Option(
            metavar="dirichlet:A",
            help="Share the way x query queries out by Dirichlet(A), such as dirichlet:2; equal shares when left out.",
        ),
    ] = None,
    open_classes: Annotated[
        int, typer.Option(min=0, help="Further classes of an episode that are only queried: adds AUROC and FPR95.")
    ] = 0,
    open_query: Annotated[
        int | None, typer.Option(min=1, help="Queries of each open class; without it: as many as of the others.")
    ] = None,
    episodes: Annotated[int | None, typer.Option(help="Number of episodes.", show_default="1000")] = None,
    seed: Annotated[int, typer.Option(help="Names the list of episodes.")] = 0,
    split: Annotated[
        str | None,
        typer.Option(
            help="Which classes; without it: test for data with splits, and what --tuned left; 'all': every item."
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Other data with the same classes, for queries: photos, then drawings."),
    ] = None,
    min_items: Annotated[
        int, typer.Option(min=0, help="Leave out classes with fewer items; the record says how many there were.")
    ] = 0,
    base: Annotated[str | None, typer.Option(help="Split with the base classes of the learner.")] = None,
    ci: Annotated[
        Ci, typer.Option(help="Interval for these episodes' images (closed), for new images (open), or both.")
    ] = Ci.closed,
    half_width: Annotated[
        float | None,
        typer.Option(help="Draw as many episodes as this half width needs, a fraction: 0.005 is half a point."),
    ] = None,
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the learner; repeatable.")] = [],  # noqa: B006
    backbone_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the backbone.")] = [],  # noqa: B006
    data_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the data.")] = [],  # noqa: B006
    tuned: Annotated[
        Path | None, typer.Option(help="A choice of options on other classes, written by fewshot-bench tune.")
    ] = None,
    allow_seen: Annotated[
        bool, typer.Option("--allow-seen", help="Let classes be queried that were trained on.")
    ] = False,
    scores: Annotated[bool, typer.Option("--scores", help="Keep the scores of every query.")] = False,
    device: OnDevice = "cpu",
    out: Out = None,
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Judge one learner on one data set.

    Prints its mean accuracy over episodes with intervals that say what they speak of, and writes a record.
    """
    from fewshot.cli.objects.one_row import one_row
    from fewshot.episodes import EpisodeSpec
    from fewshot.plumbing.device import device_named
    from fewshot.plumbing.number_checks import finite_number, seed_number
    from fewshot.records.choice import Choice

    if episodes is not None and half_width is not None:
        raise FewShotError("either --episodes or --half-width decides how many episodes, got both; leave one out")
    place = str(device_named(device))
    recipe = one_row(
        data,
        learner,
        EpisodeSpec(
            way, shot, query, dirichlet=_dirichlet(query_distribution), open_way=open_classes, open_query=open_query
        ),
        data_options=parsed(data_option, "--data-option"),
        options=parsed(option, "--option"),
        backbone_options=parsed(backbone_option, "--backbone-option"),
        base=base,
        queries=queries,
        split=split,
        episodes=1000 if episodes is None else episodes,
        half_width=None if half_width is None else finite_number("half_width", half_width, "(0, inf)"),
        seed=seed_number(seed),
        min_items=min_items,
        open_interval=ci != Ci.closed,
        keep_scores=scores,
        allow_seen=allow_seen,
    )
    with stdout_kept():
        chosen = None if tuned is None else Choice.load(tuned)
        path, record = _finished_or_new(recipe, backbone, chosen, place, out, again)
    if as_json:
        document(record.as_json())
    else:
        _show(record, path, ci)


def _dirichlet(distribution: str | None) -> float | None:
    """The concentration of ``dirichlet:2``; nothing for equal shares."""
    if distribution in (None, "balanced"):
        return None
    kind, _, number = str(distribution).partition(":")
    try:
        if kind == "dirichlet":
            return float(number)
    except ValueError:
        pass
    raise FewShotError(f"--query-distribution must be balanced or dirichlet:NUMBER, got '{distribution}'")


def _finished_or_new(
    recipe: "Recipe", backbone: str | None, chosen: "Choice | None", device: str, out: Path | None, again: bool
) -> "tuple[Path, Record]":
    """The record of an earlier run with the same settings and data, or a new one."""
    from fewshot.cli.objects.judge import judge
    from fewshot.cli.objects.one_row import completed, load_whole, name_of
    from fewshot.plumbing.files import content_hash, require_writable
    from fewshot.recipes.data import RowData
    from fewshot.records.record import ANYTHING

    recipe = recipe if chosen is None else _beside(recipe, chosen)
    whole = load_whole(recipe)
    recipe = _fitting(completed(recipe, whole, recipe.evaluation.split, backbone), chosen)
    data = RowData.of(recipe, recipe.evaluation.rows[0], whole)
    for told in data.notes:
        note(told)
    name = name_of(recipe, None if chosen is None else chosen.selection, device)
    path = (out or Path("fewshot-results") / name) / f"{name}.json"
    if path.exists() and not again and (record := _finished(path, recipe, data, chosen)) is not None:
        note(f"already done, printed again from '{path}' (--again computes it anew)")
        return path, record
    replaces = ANYTHING if again else content_hash(path)
    require_writable(path.parent)
    return path, judge(recipe, data, chosen, device).save(path, replaces)


def _finished(path: Path, recipe: "Recipe", data: "RowData", chosen: "Choice | None") -> "Record | None":
    """The record that is there, if it has these settings and data, and its answers are whole."""
    from fewshot.recipes.rows import resolved
    from fewshot.records.record import Record

    record = Record.load(path)
    hashes = record.data.hash, record.target and record.target.hash
    same = record.settings == resolved(recipe, recipe.evaluation.rows[0])
    same = same and hashes == (data.novel.hash, data.queries and data.queries.hash)
    same = same and record.selection == (chosen and chosen.selection)
    return record if same and _is_whole(record, path.parent) else None


def _is_whole(record: "Record", folder: Path) -> bool:
    """Whether the answers beside a record are there, and its own."""
    try:
        record.check_answers(folder)
    except FewShotError as error:
        note(f"not done: {error}")
        return False
    return True


def _beside(recipe: "Recipe", chosen: "Choice") -> "Recipe":
    """The recipe with the other half of the classes, where half of those of the same data made the choice."""
    from fewshot.datasets.class_splits import HALF

    half, section = HALF.fullmatch(chosen.data.split or ""), recipe.evaluation
    if half is None or section.split is not None or Path(recipe.data).resolve() != Path(chosen.data.name).resolve():
        return recipe
    split = f"test:{half[2]}"
    note(f"split: {split}, the classes of '{recipe.data}' that did not help to choose the options")
    return recipe.model_copy(update={"evaluation": section.model_copy(update={"split": split})})


def _fitting(recipe: "Recipe", chosen: "Choice | None") -> "Recipe":
    """The recipe with the chosen options, all of the kinds that the learner takes.

    Raises:
        FewShotError: If the choice is for another learner or backbone, an option is given twice, or of another kind.
    """
    from fewshot.learners.index import find_learner

    options = recipe.learner_options if chosen is None else _tuned(recipe, chosen)
    return recipe.model_copy(update={"learner_options": fitting(find_learner(recipe.learner), options, "--option")})


def _tuned(recipe: "Recipe", chosen: "Choice") -> dict[str, Any]:
    backbone = chosen.backbone.name if chosen.backbone else None
    if (chosen.learner, backbone) != (recipe.learner, recipe.backbone):
        raise FewShotError(
            f"--tuned must be a choice for '{recipe.learner}' on the backbone '{recipe.backbone}', "
            f"got one for '{chosen.learner}' on '{backbone}'"
        )
    twice = sorted(set(recipe.learner_options) & set(chosen.options))
    if twice:
        raise FewShotError(f"an option comes from --tuned or from --option, got '{twice[0]}' in both; leave one out")
    return recipe.learner_options | chosen.options


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
