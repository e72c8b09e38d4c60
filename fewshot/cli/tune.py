"""``fewshot-bench tune``: choose a learner's options on validation classes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import Again, AsJson, OnDevice, Out, fitting, parsed, parsed_lists
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept
from fewshot.errors import EpisodeError, LeakageError

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.recipes.schema import Recipe
    from fewshot.records.choice import Choice

EXAMPLES = (
    "fewshot-bench tune --data omniglot --learner logistic-regression --backbone conv4-omniglot --option C=0.01,0.1,1,10",
    "fewshot-bench tune --data caltech101 --learner nearest-mean --option metric=squared-euclidean,cosine --out chosen",
)
VALIDATION = ("val", "validation")


def tune(
    data: Annotated[
        str, typer.Option(help="Name of a data set, or a path; without splits, half of the classes validate.")
    ],
    learner: Annotated[str, typer.Option(help="Name of a learner; see: fewshot-bench list learners.")],
    option: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE,...", help="Values of an option of the learner; repeatable.")
    ],
    backbone: Annotated[
        str | None,
        typer.Option(help="Name of a backbone; without it: pixels and arrays as rows; 'none': items as they are."),
    ] = None,
    way: Annotated[int, typer.Option(help="Classes of an episode.")] = 5,
    shot: Annotated[int, typer.Option(help="Support items of each class; 0 is zero-shot.")] = 1,
    query: Annotated[int, typer.Option(min=1, help="Queries of each class.")] = 15,
    episodes: Annotated[int, typer.Option(min=2, help="Number of episodes; all candidates get the same.")] = 600,
    seed: Annotated[int, typer.Option(help="Names the list of episodes.")] = 0,
    split: Annotated[
        str | None,
        typer.Option(help="Validation classes; without it: val, or val:SEED for data without splits. Never test."),
    ] = None,
    base: Annotated[str | None, typer.Option(help="Split with the base classes of the learner.")] = None,
    backbone_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the backbone.")] = [],  # noqa: B006
    data_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the data.")] = [],  # noqa: B006
    device: OnDevice = "cpu",
    out: Out = None,
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Choose options on validation classes.

    Every combination of the values answers the same episodes; the best mean accuracy is taken, of equal ones the first.
    Writes the choice for evaluate --tuned, which refuses to test on the same classes. Data without splits are halved by
    class, by the hash of the seed and the name of a class; evaluate --tuned then queries the other half.
    """
    from fewshot.cli.objects.one_row import one_row
    from fewshot.episodes import EpisodeSpec
    from fewshot.plumbing.device import device_named
    from fewshot.plumbing.number_checks import seed_number

    grid, place = parsed_lists(option, "--option"), str(device_named(device))
    recipe = one_row(
        data,
        learner,
        EpisodeSpec(way, shot, query),
        data_options=parsed(data_option, "--data-option"),
        backbone_options=parsed(backbone_option, "--backbone-option"),
        base=base,
        split=split,
        episodes=episodes,
        seed=seed_number(seed),
    )
    with stdout_kept():
        path, choice = _finished_or_new(recipe, grid, backbone, place, out, again)
    if as_json:
        document(choice.model_dump(mode="json") | {"file": str(path)})
    else:
        _show(choice, path)


def _finished_or_new(
    recipe: "Recipe", grid: dict[str, list[Any]], backbone: str | None, device: str, out: Path | None, again: bool
) -> "tuple[Path, Choice]":
    """The choice of an earlier run with the same settings and data, or a new one."""
    from fewshot.cli.objects.one_row import completed, name_of
    from fewshot.plumbing.files import require_writable
    from fewshot.recipes.rows import resolved
    from fewshot.records.choice import Choice

    recipe, whole = _on_validation(recipe)
    recipe = completed(recipe, whole, recipe.evaluation.split, backbone)
    told = _halves_told(recipe, whole)
    classes = whole.split(str(recipe.evaluation.split))
    settings = resolved(recipe, recipe.evaluation.rows[0]) | {"choose": grid}
    name = f"tuned-{name_of(recipe, grid, device)}"
    path = (out or Path("fewshot-results") / name) / f"{name}.json"
    if path.exists() and not again:
        choice = Choice.load(path)
        if choice.settings == settings and choice.data.hash == classes.hash:
            note(f"already done, printed again from '{path}' (--again computes it anew)")
            return path, choice
    require_writable(path.parent)
    choice = _choose(recipe, grid, whole, classes, device)
    choice = choice.model_copy(update={"settings": settings, "notes": [*told, *choice.notes]})
    choice.save(path)
    return path, choice


def _on_validation(recipe: "Recipe") -> "tuple[Recipe, Collection]":
    """The recipe with its validation split, and all of the data; by the seed they are halved where they have no splits.

    Raises:
        LeakageError: As `_validation_split`.
    """
    from fewshot.cli.objects.one_row import load_whole
    from fewshot.datasets.class_splits import halved

    whole, section = load_whole(recipe), recipe.evaluation
    split = section.split
    if not whole.splits and split in (None, *VALIDATION):
        split, whole = f"val:{section.seed}", halved(whole, section.seed)
    split = _validation_split(recipe.data, split, whole)
    return recipe.model_copy(update={"evaluation": section.model_copy(update={"split": split})}), whole


def _halves_told(recipe: "Recipe", whole: "Collection") -> list[str]:
    """What there is to say of the halves of data without splits.

    Raises:
        EpisodeError: If half of the classes are too few for an episode.
    """
    from fewshot.datasets.class_splits import HALF

    split, way = str(recipe.evaluation.split), recipe.evaluation.rows[0].way
    if HALF.fullmatch(split) is None:
        return []
    classes, every = whole.split(split).class_names, len(whole.class_names)
    if len(classes) < way:
        raise EpisodeError(
            f"half of the classes must be enough for --way {way}, got {len(classes)} of {every} in '{recipe.data}', "
            "which has no splits; lower --way, or sort the classes into folders train, val and test"
        )
    return [
        f"'{recipe.data}' has no splits, so {split} is half of its classes, cut by rule: {', '.join(classes)}",
        f"the other {every - len(classes)} classes are untouched: evaluate --tuned queries those",
    ]


def _validation_split(data: str, split: str | None, whole: "Collection") -> str:
    """The split that is named, or ``val``; never one that holds test classes.

    Raises:
        LeakageError: If it holds test classes, or the data have no such split.
    """
    known = [name for name in VALIDATION if name in whole.splits]
    split = split or (known[0] if known else "")
    if not split or split == "all":
        raise LeakageError(
            f"options must be chosen on validation classes, got '{split or 'no split'}' of '{data}' with the "
            f"splits {sorted(whole.splits) or 'none'}; name a split of other classes than the test's with --split"
        )
    for test in (name for name in whole.splits if name.partition(":")[0] == "test"):
        overlap = set(whole.split(split).qualified_names()) & set(whole.split(test).qualified_names())
        if overlap:
            raise LeakageError(
                f"options must be chosen on validation classes, got split '{split}', which shares {len(overlap)} classes "
                "with the test split; choose another split, such as val"
            )
    return split


def _choose(
    recipe: "Recipe", grid: dict[str, list[Any]], whole: "Collection", classes: "Collection", device: str
) -> "Choice":
    from fewshot.cli.objects.judge import query_once, unfit_items_told
    from fewshot.cli.objects.one_row import build, named_choice
    from fewshot.cli.terminal.progress import progress_line
    from fewshot.evaluation.choose import candidates, choose
    from fewshot.learners.index import find_learner
    from fewshot.plumbing.device import placed
    from fewshot.recipes.build import load_backbone_of
    from fewshot.recipes.data import RowData
    from fewshot.recipes.rows import base_seen

    made: list[Any] = []  # the backbone, once it is loaded

    def make(**options: Any) -> Any:
        fit = fitting(find_learner(recipe.learner), options, "--option")  # refused before weights are loaded
        made.extend([] if made else [load_backbone_of(recipe)])
        return build(recipe, whole, made[0], fit)

    data, section = RowData(whole, classes), recipe.evaluation
    with unfit_items_told(recipe, whole):
        first, _ = placed(make(**candidates(grid)[0]), device)
    base_seen(recipe, first, data)
    query_once(recipe, first, data, section.spec(section.rows[0]))
    assert isinstance(section.episodes, int)
    with progress_line("candidates") as report:
        choice = choose(
            make,
            grid,
            classes,
            section.spec(section.rows[0]),
            section.episodes,
            section.seed,
            device=device,
            report=report,
        )
    return named_choice(choice, recipe)


def _show(choice: "Choice", path: Path) -> None:
    from fewshot.tables.choice import choice_table

    show_tables(choice_table(choice))
    note(f"choice: {path}; to use it: fewshot-bench evaluate --tuned {path} ...")
