"""``fewshot-bench classify``: your own examples make a classifier, which labels your other items."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.labelled import about, answer_table, answers_of, require_images, write_csv, write_sheet
from fewshot.cli.options import AsJson, parsed
from fewshot.cli.output import document, note, show_tables, stdout_kept
from fewshot.errors import DataError, FewShotError

if TYPE_CHECKING:
    from fewshot.datasets.unlabelled import Unlabelled
    from fewshot.estimator.classifier import FewShotClassifier

EXAMPLES = (
    "fewshot-bench classify photos new-photos --sheet answers.png",
    "fewshot-bench classify photos new-photos --save photos.safetensors --csv answers.csv",
    "fewshot-bench classify photos.safetensors one.jpg --json",
    "fewshot-bench classify questions.csv new-questions.txt --learner nearest-mean --reject-below 0.6 --coverage 0.9",
)
SAVED = ".safetensors"


def classify(
    support: Annotated[
        str, typer.Argument(help="Labelled examples: class folders, .zip, .csv, .jsonl, .npz, or a saved classifier.")
    ],
    query: Annotated[
        Path, typer.Argument(help="What to label: a folder of images, .zip, an image, .csv, .jsonl, .txt or .npz.")
    ],
    backbone: Annotated[
        str | None,
        typer.Option(help="Name of a backbone; left out: efficientnet-lite0, or all-MiniLM-L6-v2 for texts."),
    ] = None,
    learner: Annotated[str | None, typer.Option(help="Name of a learner.", show_default="logistic-regression")] = None,
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the learner; repeatable.")] = [],  # noqa: B006
    reject_below: Annotated[
        float | None, typer.Option(min=0, max=1, help="Give no label where its probability lies below.")
    ] = None,
    coverage: Annotated[
        float | None, typer.Option(help="Give also the set of labels that holds the true one this often: 0.9.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help=f"File for the classifier; ends in {SAVED}.")] = None,
    csv: Annotated[Path | None, typer.Option(help="File for the answers.")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Picture of all images with their labels, .png, .svg or .pdf.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Label your own images or texts from a few examples of each class.

    Prints a label for each item with its probability. Nothing is trained; examples are embedded, and a small
    classifier is fitted to them.
    """
    from fewshot.files import require_writable_files
    from fewshot.results.figures import require_ending
    from fewshot.training.memory import keep_freed_memory

    if save is not None and save.suffix != SAVED:
        raise FewShotError(f"--save must name a file that ends in {SAVED}, got '{save}'; rename it")
    if sheet is not None:
        require_ending(sheet)
    require_writable_files(save, csv, sheet)
    keep_freed_memory()  # an image network embeds twice as fast
    with stdout_kept():
        classifier = _classifier(support, backbone, learner, parsed(option, "--option"))
        if reject_below is not None:
            classifier.set_params(reject_below=reject_below)
        items = _queries(classifier, query)
        if sheet is not None:
            require_images(items)
        answers = answers_of(classifier, items, coverage)
    if save is not None:
        note(f"classifier: {classifier.save(save)}")
    if csv is not None:
        note(f"answers: {write_csv(csv, answers)}")
    if as_json:
        document({"classifier": about(classifier), "answers": answers})
    else:
        show_tables(answer_table(classifier, answers, coverage))
    if sheet is not None:  # last, so that no fault of a picture costs the answers
        note(f"contact sheet: {write_sheet(sheet, items, answers)}")


def _classifier(
    support: str, backbone: str | None, learner: str | None, options: dict[str, Any]
) -> "FewShotClassifier":
    """A saved classifier, or a new one from labelled examples."""
    from fewshot.estimator.classifier import FewShotClassifier

    if support.endswith(SAVED):
        if backbone or learner or options:
            raise FewShotError("a saved classifier has its backbone and learner, got others; leave those options out")
        return FewShotClassifier.load(support)
    from fewshot.cli.options import fitting
    from fewshot.learners.index import find_learner

    name = learner or "logistic-regression"
    fit = fitting(find_learner(name), options, "--option") or None
    made = FewShotClassifier(backbone, name, learner_options=fit)
    collection = _examples(support, backbone)
    names = [collection.class_names[k] for k in collection.labels]
    return made.fit(collection.items, names)


def _examples(support: str, backbone: str | None) -> Any:
    """Labelled examples; images as large as the backbone wants them."""
    from fewshot.datasets.index import is_path, load_dataset
    from fewshot.datasets.tables import item_column, read_table
    from fewshot.estimator.items import IMAGES, side_of
    from fewshot.estimator.parts import DEFAULTS, make_backbone

    path = Path(support)
    if path.suffix.lower() in (".csv", ".jsonl"):
        images = item_column(path, read_table(path), ("label",)) == "path"
    else:
        images = is_path(support) and path.suffix.lower() != ".npz"
    return load_dataset(
        support, **({"size": side_of(make_backbone(backbone or DEFAULTS[IMAGES], None))} if images else {})
    )


def _queries(classifier: "FewShotClassifier", query: Path) -> "Unlabelled":
    from fewshot.datasets.unlabelled import load_items
    from fewshot.estimator.items import kind_of, side_of

    items = load_items(query, side_of(classifier.model_.backbone))
    kind = kind_of(items.items)
    if kind != classifier.model_.kind:
        raise DataError(f"'{query}' must hold {classifier.model_.kind} as the examples are, got {kind}; give others")
    return items
