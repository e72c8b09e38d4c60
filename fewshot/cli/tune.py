"""``fewshot-bench tune``: choose a learner's options on validation classes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import Again, AsJson, Out, parsed, parsed_lists
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept
from fewshot.errors import EpisodeError, LeakageError

if TYPE_CHECKING:
    from fewshot.cli.objects.setting import Setting
    from fewshot.datasets.collection import Collection
    from fewshot.episodes import EpisodeSpec
    from fewshot.records.choice import Choice

EXAMPLES = (
    "fewshot-bench tune --data omniglot --learner logistic-regression --backbone conv4-omniglot --option C=0.01,0.1,1,10",
    "fewshot-bench tune --data caltech101 --learner nearest-mean --option metric=squared-euclidean,cosine --out chosen",
)
VALIDATION = ("val", "validation")


def tune(
    data: Annotated[
        str, typer.Option(help="Name of a data set, or a path; half of the classes validate without splits.")
    ],
    learner: Annotated[str, typer.Option(help="Name of a learner; see: fewshot-bench list learners.")],
    option: Annotated[
        list[str], typer.Option(metavar="KEY=VALUE,...", help="Values of an option of the learner; repeatable.")
    ],
    backbone: Annotated[
        str | None,
        typer.Option(help="Name of a backbone; left out: pixels and arrays in one row; 'none': items as they are."),
    ] = None,
    way: Annotated[int, typer.Option(help="Classes of an episode.")] = 5,
    shot: Annotated[int, typer.Option(help="Support items of each class; 0 is zero-shot.")] = 1,
    query: Annotated[int, typer.Option(min=1, help="Queries of each class.")] = 15,
    episodes: Annotated[int, typer.Option(min=2, help="Number of episodes; all candidates get the same.")] = 600,
    seed: Annotated[int, typer.Option(help="Names the list of episodes.")] = 0,
    split: Annotated[
        str | None, typer.Option(help="Validation classes; left out: val, or val:SEED without splits. Never test.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Split whose classes the learner sees beforehand.")] = None,
    data_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the data.")] = [],  # noqa: B006
    out: Out = None,
    again: Again = False,
    as_json: AsJson = False,
) -> None:
    """Choose options on validation classes.

    Every combination of the values answers the same episodes; the best mean accuracy is taken, of equal ones the first.
    Writes the choice for evaluate --tuned, which refuses to test on the same classes. Data without splits are halved by
    class, by the hash of the seed and the name of a class; evaluate --tuned then asks the other half.
    """
    from fewshot.cli.objects.setting import Setting
    from fewshot.episodes import EpisodeSpec

    setting = Setting(data, learner, parsed(data_option, "--data-option"), split, {}, backbone, base)
    asked = {"grid": parsed_lists(option, "--option"), "episodes": episodes, "seed": seed}
    with stdout_kept():
        path, choice = _finished_or_new(setting, EpisodeSpec(way, shot, query), asked, out, again)
    if as_json:
        document(choice.model_dump(mode="json") | {"file": str(path)})
    else:
        _show(choice, path)


def _finished_or_new(
    setting: "Setting", spec: "EpisodeSpec", asked: dict[str, Any], out: Path | None, again: bool
) -> "tuple[Path, Choice]":
    """The choice of an earlier run with the same settings and data, or a new one."""
    from fewshot.cli.objects.setting import named_settings
    from fewshot.plumbing.files import require_writable
    from fewshot.records.choice import Choice

    setting, whole = _on_validation(setting, asked["seed"])
    told = _halves_told(setting, whole, spec)
    classes = whole.split(str(setting.split))
    settings, name = named_settings(setting, spec, asked, whole)
    name = f"tuned-{name}"
    path = (out or Path("fewshot-results") / name) / f"{name}.json"
    if path.exists() and not again:
        choice = Choice.load(path)
        if choice.settings == settings and choice.data.hash == classes.hash:
            note(f"already done, printed again from '{path}' (--again computes it anew)")
            return path, choice
    require_writable(path.parent)
    choice = _choose(setting, spec, asked, whole, classes)
    choice = choice.model_copy(update={"settings": settings, "notes": [*told, *choice.notes]})
    choice.save(path)
    return path, choice


def _on_validation(setting: "Setting", seed: int) -> "tuple[Setting, Collection]":
    """The setting with its validation split, and all of the data; by the seed they are halved where they have no splits.

    Raises:
        LeakageError: As `_validation_split`.
    """
    from dataclasses import replace

    from fewshot.datasets.class_splits import halved

    whole = setting.load_whole()
    if not whole.splits and setting.split in (None, *VALIDATION):
        setting, whole = replace(setting, split=f"val:{seed}"), halved(whole, seed)
    return replace(setting, split=_validation_split(setting, whole)), whole


def _halves_told(setting: "Setting", whole: "Collection", spec: "EpisodeSpec") -> list[str]:
    """What there is to say of the halves of data without splits.

    Raises:
        EpisodeError: If half of the classes are too few for an episode.
    """
    from fewshot.datasets.class_splits import HALF

    split = str(setting.split)
    if HALF.fullmatch(split) is None:
        return []
    classes, every = whole.split(split).class_names, len(whole.class_names)
    if isinstance(spec.way, int) and len(classes) < spec.way:
        raise EpisodeError(
            f"half of the classes must be enough for --way {spec.way}, got {len(classes)} of {every} in '{setting.data}', "
            "which has no splits; lower --way, or sort the classes into folders train, val and test"
        )
    return [
        f"'{setting.data}' has no splits, so {split} is half of its classes, cut by rule: {', '.join(classes)}",
        f"the other {every - len(classes)} classes are untouched: evaluate --tuned asks those",
    ]


def _validation_split(setting: "Setting", whole: "Collection") -> str:
    """The split that is asked for, or ``val``; never one that holds test classes.

    Raises:
        LeakageError: If it holds test classes, or the data have no such split.
    """
    known = [name for name in VALIDATION if name in whole.splits]
    split = setting.split or (known[0] if known else "")
    if not split or split == "all":
        raise LeakageError(
            f"options must be chosen on validation classes, got '{split or 'no split'}' of '{setting.data}' with the "
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
    setting: "Setting", spec: "EpisodeSpec", asked: dict[str, Any], whole: "Collection", classes: "Collection"
) -> "Choice":
    from dataclasses import replace

    from fewshot.cli.objects.judge import ask_once, check_base, unfit_items_told
    from fewshot.cli.terminal.progress import progress_line
    from fewshot.evaluation.choose import candidates, choose

    make = setting.maker(whole)
    with unfit_items_told(setting, whole):
        first = make(**candidates(asked["grid"])[0])
    check_base(setting, first, whole, classes, allowed=False)
    ask_once(replace(setting, options=candidates(asked["grid"])[0]), first, classes, spec)
    with progress_line("candidates") as report:
        choice = choose(make, asked["grid"], classes, spec, asked["episodes"], asked["seed"], report=report)
    return setting.named_choice(choice, whole)


def _show(choice: "Choice", path: Path) -> None:
    from fewshot.tables.choice import choice_table

    show_tables(choice_table(choice))
    note(f"choice: {path}; to use it: fewshot-bench evaluate --tuned {path} ...")
