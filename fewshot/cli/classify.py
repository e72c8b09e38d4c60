"""``fewshot-bench classify``: your own examples make a classifier, which labels your other items."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.labelled import (
    about,
    about_items,
    answer_table,
    answers_of,
    require_images,
    write_csv,
    write_sheet,
)
from fewshot.cli.terminal.options import AsJson, OnDevice, parsed
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept
from fewshot.errors import DataError, FewShotError

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.datasets.unlabelled import Unlabelled
    from fewshot.estimator.classifier import FewShotClassifier

EXAMPLES = (
    "fewshot-bench classify photos new-photos --sheet answers.png",
    "fewshot-bench classify photos new-photos --save photos.safetensors --csv answers.csv",
    "fewshot-bench classify photos.safetensors one.jpg --json",
    "fewshot-bench classify questions.csv new-questions.txt --learner nearest-mean --reject-below 0.6 --coverage 0.9",
)
SAVED = ".safetensors"
OF_TABLES = ("delimiter", "text", "image")  # options that items without labels have, too


def classify(
    support: Annotated[
        str,
        typer.Argument(help="Labelled examples: class folders, .zip, .csv, .tsv, .jsonl, .npz, or a saved classifier."),
    ],
    query: Annotated[
        Path,
        typer.Argument(help="Items to label: a folder of images, .zip, an image, .csv, .tsv, .jsonl, .txt or .npz."),
    ],
    backbone: Annotated[
        str | None,
        typer.Option(help="Name of a backbone; without it: efficientnet-lite0, or all-MiniLM-L6-v2 for texts."),
    ] = None,
    learner: Annotated[str | None, typer.Option(help="Name of a learner.", show_default="logistic-regression")] = None,
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the learner; repeatable.")] = [],  # noqa: B006
    data_option: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE", help="How tables are read: delimiter, text, label, image (their columns); repeatable."
        ),
    ] = [],  # noqa: B006
    reject_below: Annotated[
        float | None, typer.Option(min=0, max=1, help="Give no label with a probability below this.")
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(help="Also give a set of labels that holds the true one this often, such as 0.9.")
    ] = None,
    device: OnDevice = "cpu",
    save: Annotated[Path | None, typer.Option(help=f"File for the classifier; ends in {SAVED}.")] = None,
    csv: Annotated[Path | None, typer.Option(help="File for the answers.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Picture of all images with their labels, .png, .svg or .pdf.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Label your own images or texts from a few examples of each class.

    Prints a label for each item, with its probability. No network is trained: examples are embedded, and a small
    classifier is fitted to them.
    """
    from fewshot.figures.accuracy import require_ending
    from fewshot.plumbing.device import device_named
    from fewshot.plumbing.files import require_writable_files
    from fewshot.training.memory import keep_freed_memory

    if save is not None and save.suffix != SAVED:
        raise FewShotError(f"--save must name a file that ends in {SAVED}, got '{save}'; rename it")
    if sheet is not None:
        require_ending(sheet)
    require_writable_files(save, csv, sheet)
    keep_freed_memory()  # an image network embeds twice as fast
    with stdout_kept():
        options, how = parsed(option, "--option"), parsed(data_option, "--data-option")
        made, examples, items = _read(support, query, backbone, learner, options, how, str(device_named(device)))
        if sheet is not None:
            require_images(items)
        classifier = made if examples is None else _fitted(made, examples)
        if reject_below is not None:
            classifier.set_params(reject_below=reject_below)
        answers = answers_of(classifier, items, coverage)
    if save is not None:
        note(f"classifier: {classifier.save(save)}")
    if csv is not None:
        note(f"answers: {write_csv(csv, answers)}")
    if as_json:
        document({"classifier": about(classifier), "items": about_items(classifier, items), "answers": answers})
    else:
        show_tables(answer_table(classifier, items, answers, coverage))
    if sheet is not None:  # last, so that no fault of a picture costs the answers
        note(f"contact sheet: {write_sheet(sheet, items, answers)}")


def _read(
    support: str,
    query: Path,
    backbone: str | None,
    learner: str | None,
    options: dict[str, Any],
    how: dict[str, Any],
    device: str,
) -> "tuple[FewShotClassifier, Collection | None, Unlabelled]":
    """A classifier, its examples unless it was saved, and the items to label, which are read before anything is embedded."""
    from fewshot.estimator.classifier import FewShotClassifier
    from fewshot.estimator.items import SIDE, kind_of, side_of

    if support.endswith(SAVED):
        if backbone or learner or options:
            raise FewShotError("a saved classifier has its backbone and learner, got others; leave those options out")
        saved = FewShotClassifier.load(support, device)
        items = _queries(query, side_of(saved.model_.backbone), how)
        _require_kind(query, items, saved.model_.kind)
        return saved, None, items
    from fewshot.cli.terminal.options import fitting
    from fewshot.datasets.index import load_dataset
    from fewshot.learners.index import find_learner

    name = learner or "logistic-regression"
    fit = fitting(find_learner(name), options, "--option") or None
    size = how.get("size") or side_of_images(support, backbone, how)
    items = _queries(query, size or SIDE, how)
    sized = {"size": size} if size else {}
    examples = load_dataset(support, **_of_examples(support, how) | sized)
    _require_kind(query, items, kind_of(examples.items))
    return FewShotClassifier(backbone, name, learner_options=fit, device=device), examples, items


def _fitted(made: "FewShotClassifier", examples: "Collection") -> "FewShotClassifier":
    return made.fit(examples.items, [examples.class_names[k] for k in examples.labels])


def side_of_images(support: str, backbone: str | None, how: dict[str, Any]) -> int | None:
    """Side of images, as large as the backbone wants them; nothing for examples that are no images."""
    from fewshot.datasets.formats.tables import TABLES, item_column, read_table
    from fewshot.datasets.index import is_own
    from fewshot.estimator.items import IMAGES, side_of
    from fewshot.estimator.parts import DEFAULTS, make_backbone

    path = Path(support)
    if path.suffix.lower() in TABLES:
        names = {key: str(how[key]) for key in ("text", "image") if key in how}
        rows = read_table(path, how.get("delimiter"))
        images = item_column(path, rows, **names, others=(str(how.get("label", "label")),)) == names.get(
            "image", "path"
        )
    else:
        images = is_own(support) and path.suffix.lower() != ".npz"
    return side_of(make_backbone(backbone or DEFAULTS[IMAGES], None)) if images else None


def _of_examples(support: str, how: dict[str, Any]) -> dict[str, Any]:
    """Options of the examples: those that only tables know go to the queries alone where the examples are none."""
    from fewshot.datasets.formats.tables import TABLES

    return how if Path(support).suffix.lower() in TABLES else {k: v for k, v in how.items() if k not in OF_TABLES}


def _queries(query: Path, size: int, how: dict[str, Any]) -> "Unlabelled":
    """Items to label; a column may have the name that was given, or the usual one."""
    from fewshot.datasets.formats.tables import TABLES, read_table
    from fewshot.datasets.unlabelled import load_items

    options: dict[str, Any] = {}
    if query.suffix.lower() in TABLES and query.is_file():
        options = {"delimiter": how["delimiter"]} if "delimiter" in how and query.suffix.lower() != ".jsonl" else {}
        columns = {name for _, cells in read_table(query, **options)[:1] for name in cells}
        options |= {key: str(how[key]) for key in ("text", "image") if str(how.get(key)) in columns}
    return load_items(query, size, **options)


def _require_kind(query: Path, items: "Unlabelled", wanted: str) -> None:
    from fewshot.estimator.items import kind_of

    kind = kind_of(items.items)
    if kind != wanted:
        raise DataError(f"'{query}' must hold {wanted} as the examples are, got {kind}; give others")
