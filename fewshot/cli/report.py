"""``fewshot-bench report``: one HTML page about records, to be opened or sent."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fewshot.cli.terminal.options import AsJson, RecordPaths
from fewshot.cli.terminal.output import document, note, stdout_kept

if TYPE_CHECKING:
    from fewshot.report.build import Beside
    from fewshot.report.contents import Contents
    from fewshot.report.learning_curve import LearningCurve
    from fewshot.report.plots import Plot
    from fewshot.report.results import Result

EXAMPLES = (
    "fewshot-bench report fewshot-results/quickstart/1-shot fewshot-results/quickstart/5-shot --out quickstart.html",
    "fewshot-bench report fewshot-results/awa1-gzsl --reference eszsl --out awa1.html",
    "fewshot-bench report fewshot-results/omniglot-maml --episodes 5 --recompute --figures figures",
)
MOST_VIEWERS = 4


def report(
    records: RecordPaths,
    out: Annotated[Path, typer.Option(help="The page.")] = Path("report.html"),
    reference: Annotated[
        str | None,
        typer.Option(help="Method to compare the others with; without it: the recipe's, or the first."),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Title of the page; without it, made from the data.")] = None,
    episodes: Annotated[
        int, typer.Option(min=0, help="Number of episodes to show, from the hardest to the easiest.")
    ] = 3,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute answers of shown episodes that are not beside the record.")
    ] = False,
    training: Annotated[
        list[Path], typer.Option(help="A run's training.csv; repeatable. Those beside records are taken anyway.")
    ] = [],  # noqa: B006
    figures: Annotated[Path | None, typer.Option(help="Folder for the figures as PNG, SVG and PDF.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make one HTML page about records.

    Tables, figures, paired differences, episodes to look at and the origin of every number, in one file that loads nothing
    from anywhere.
    """
    from fewshot.plumbing.files import require_writable, require_writable_files, write_text
    from fewshot.report.build import build_page
    from fewshot.report.page import render

    require_writable_files(out)
    if figures is not None:
        require_writable(figures)
    contents = read_contents(records)
    reference = reference or _reference_of(contents)
    contents.check_reference(reference)
    with stdout_kept():
        curves = _curves(training, [*(r.folder for r in contents.few_shot), *records])
        beside = _beside(contents.few_shot, curves, reference, episodes, recompute)
        page = build_page(contents, beside, reference, title, _made(len(contents)))
        write_text(out, render(page))
        drawn = [] if figures is None else _save(page.plots, figures)
    shown = sum(len(viewer.episodes) for viewer in page.viewers)
    if as_json:
        document({"report": str(out), "records": len(contents), "episodes": shown, "figures": drawn})
    else:
        note(f"report: '{out}'" + (f", {len(drawn)} figures in '{figures}'" if figures else ""))


def read_contents(paths: list[Path]) -> "Contents":
    """The records of files and folders, with the names that the page gives them."""
    from fewshot.cli.terminal.reading import named_files
    from fewshot.records.load import load_record
    from fewshot.report.contents import Contents

    files = named_files(paths)
    return Contents.of(
        {name: load_record(file) for name, file in files.items()}, {name: file.parent for name, file in files.items()}
    )


def _reference_of(contents: "Contents") -> str | None:
    """What the packaged recipe compares its learners with, where all records come from it and that learner is among them."""
    from fewshot.recipes.load import load_recipe, recipe_names

    recipes = {record.recipe for record in contents.records}
    recipe = recipes.pop() if len(recipes) == 1 else None
    reference = load_recipe(recipe).reference if recipe in recipe_names() else None
    return reference if reference in contents.methods else None


def _beside(
    results: "Sequence[Result]", curves: "list[LearningCurve]", reference: str | None, episodes: int, recompute: bool
) -> "Beside":
    """Episodes, hardest classes and the classes of all episodes, from answers and data where they are."""
    from fewshot.cli.objects.at_hand import Known
    from fewshot.cli.objects.episodes_beside import view, worst_classes
    from fewshot.report.build import Beside
    from fewshot.report.results import group_results

    groups = group_results(results)
    known = [(group, Known.of(group.find(reference) or group.results[0])) for group in groups]
    classes = {
        g.first.episodes.manifest: ids for g, k in known if len(g.results) > 1 and (ids := k.classes()) is not None
    }
    shown = known[:MOST_VIEWERS]
    viewers = [view(k, group, episodes, recompute) for group, k in shown] if episodes else []
    return Beside(classes, curves, viewers, [worst_classes(k, group) for group, k in shown])


def _curves(given: list[Path], beside: list[Path]) -> "list[LearningCurve]":
    from fewshot.report.learning_curve import curves_in, read_curve

    found = [path for folder in dict.fromkeys(beside) for path in curves_in(folder)]
    return [read_curve(path) for path in dict.fromkeys([*given, *found])]


def _made(count: int) -> str:
    import fewshot

    return (
        f"From {count} record{'s' * (count > 1)}, by fewshot {fewshot.__version__}. Records do not tell when they were made; "
        "which sources, packages and data made them stands under Provenance."
    )


def _save(plots: "list[Plot]", folder: Path) -> list[str]:
    from fewshot.figures.accuracy import ENDINGS, save_figure

    return [str(save_figure(plot.figure, folder / f"{plot.name}{ending}")) for plot in plots for ending in ENDINGS]
