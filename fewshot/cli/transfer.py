"""``fewshot-bench transfer``: labelled data of one kind answer for data of another kind without labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import AsJson, OnDevice, parsed
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept

if TYPE_CHECKING:
    import numpy as np

    from fewshot.datasets.collection import Collection
    from fewshot.datasets.unlabelled import Unlabelled
    from fewshot.estimator.target import Verdict

EXAMPLES = (
    "fewshot-bench transfer --source shop-photos --target phone-photos --csv answers.csv",
    "fewshot-bench transfer --source shop-photos --target phone-photos --labels few-labels.csv",
    "fewshot-bench transfer --source old.npz --target new.npz --learner tca --option dim=30 --json",
)
NOBODY = (
    "without labels of the target, nobody can say whether adaptation helps here; label some items and add --labels FILE"
)


def transfer(
    source: Annotated[str, typer.Option(help="Labelled data: class folders, .zip, .csv, .tsv, .jsonl or .npz.")],
    target: Annotated[
        Path, typer.Option(help="Data without labels: a folder, .zip, .csv, .tsv, .jsonl, .txt or .npz.")
    ],
    labels: Annotated[
        Path | None,
        typer.Option(help="Table with the columns item and label: some items of the target, for a verdict."),
    ] = None,
    learner: Annotated[str, typer.Option(help="Name of a learner of the family adaptation.")] = "coral",
    option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the learner; repeatable.")] = [],  # noqa: B006
    backbone: Annotated[
        str | None,
        typer.Option(
            help="Name of a backbone; without it: efficientnet-lite0, or all-MiniLM-L6-v2 for texts; none for rows."
        ),
    ] = None,
    common_classes: Annotated[
        bool,
        typer.Option(
            "--common-classes", help="With --labels: drop classes that one of the two lacks, instead of refusing them."
        ),
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="File for the answers.")] = None,
    device: OnDevice = "cpu",
    as_json: AsJson = False,
) -> None:
    """Answer for a target without labels, by a source with labels.

    The learner adapts to all items of the target. Some labels of the target only judge: they tell whether
    adaptation helps, hurts, or makes no difference that can be seen, compared with the same classifier without
    adaptation.
    """
    from fewshot.plumbing.files import require_writable_files

    require_writable_files(csv)
    with stdout_kept():
        known, items, name = _read(source, target, backbone)
        told = None if labels is None else _labels(labels)
        known, told = _common(known, told, common_classes)
        found = _found(known, items, str(target), name, told, learner, parsed(option, "--option"), device)
    if csv is not None:
        note(f"answers: {_write(csv, found['answers'])}")
    if as_json:
        document(found)
    else:
        _show(found)


def _common(
    known: "Collection", told: dict[str, str] | None, common: bool
) -> "tuple[Collection, dict[str, str] | None]":
    """The source and the labels; with ``--common-classes`` those of classes that both have.

    Raises:
        DataError: If there are no labels to tell the target's classes, or fewer than two classes are left.
    """
    import numpy as np

    from fewshot.errors import DataError

    if not common:
        return known, told
    if told is None:
        raise DataError("--common-classes needs --labels, which alone tell the target's classes; add --labels FILE")
    both = sorted(set(known.class_names) & set(told.values()))
    if len(both) < 2:
        raise DataError(
            f"source and labels must have two classes or more in common, got {both}; label more of the target"
        )
    for name in sorted(set(known.class_names) ^ set(told.values())):
        note(f"dropped, for one of the two lacks it: class '{name}'")
    kept = np.isin(np.array(known.class_names)[known.labels], both)
    return known.subset(np.flatnonzero(kept)), {item: label for item, label in told.items() if label in both}


def _found(
    known: "Collection",
    items: "Unlabelled",
    target: str,
    name: str,
    labels: dict[str, str] | None,
    learner: str,
    options: dict[str, Any],
    device: str,
) -> dict[str, Any]:
    """Everything that is printed."""
    from fewshot.estimator.parts import make_backbone
    from fewshot.estimator.target import answer_target, features_of_domains, matched, probabilities_of, verdict_of
    from fewshot.plumbing.device import device_named, moved, on_device

    place = device_named(device)
    told = None if labels is None else matched(items.names, labels, known.class_names)
    adapted, plain = _learners(learner, options)
    network = on_device(make_backbone(name, None), place)
    rows, others = (moved(part, place) for part in features_of_domains(known, items.items, network))
    way = len(known.class_names)
    scores, without = (answer_target(one, rows, known.labels, way, others) for one in (adapted, plain))
    verdict = None if told is None else verdict_of(scores[told[0]], without[told[0]], told[1])
    probable = probabilities_of(adapted, scores)
    return {
        "source": {"name": known.name, "items": len(known), "classes": list(known.class_names)},
        "target": {"name": target, "items": len(items.names)},
        "backbone": name,
        "learner": learner,
        "options": options,
        "verdict": None if verdict is None else _as_json(verdict),
        "unsupervised": _unsupervised(probable, probabilities_of(plain, without)),
        "changed": float((scores.argmax(1) != without.argmax(1)).mean()),
        "answers": _answers(known, items, scores, without, probable),
    }


def _read(source: str, target: Path, backbone: str | None) -> "tuple[Collection, Unlabelled, str]":
    """Both domains, and the name of the backbone that goes with their kind."""
    from fewshot.cli.classify import side_of_images
    from fewshot.datasets.index import load_dataset
    from fewshot.datasets.unlabelled import load_items
    from fewshot.errors import DataError
    from fewshot.estimator.items import kind_of
    from fewshot.estimator.parts import DEFAULTS

    side = side_of_images(source, backbone, {})
    sized: dict[str, Any] = {} if side is None else {"size": side}
    items, known = load_items(target, **sized), load_dataset(source, **sized)
    kind = kind_of(items.items)
    if kind_of(known.items) != kind:
        raise DataError(
            f"source and target must be of one kind, got {kind_of(known.items)} and {kind}; give one of the two anew"
        )
    return known, items, backbone or DEFAULTS[kind]


def _labels(path: Path) -> dict[str, str]:
    """Label of each item that the table names."""
    from fewshot.datasets.formats.tables import cell, read_table
    from fewshot.errors import DataError

    rows = read_table(path)
    told = {cell(path, row, "item"): cell(path, row, "label") for row in rows}
    if len(told) < len(rows):
        raise DataError(f"'{path}' must name each item once, got {len(rows)} lines for {len(told)} items")
    return told


def _learners(name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """The learner, and the one without adaptation that has the same head."""
    import inspect

    from fewshot.cli.terminal.options import fitting
    from fewshot.learners.index import find_learner, load_learner

    make = find_learner(name)
    fit = fitting(make, options, "--option")
    if "head" in inspect.signature(make).parameters:
        fit = {"head": "logistic-regression"} | fit
    shared = {key: fit[key] for key in ("head", "scaling") if key in fit}
    return load_learner(name, **fit), load_learner("source-only", **({"head": "logistic-regression"} | shared))


def _unsupervised(*probabilities: "np.ndarray | None") -> dict[str, Any] | None:
    """Scores that need no labels, of the learner and of the one without adaptation."""
    from fewshot.statistics.choosing.entropy import entropy
    from fewshot.statistics.choosing.information_maximisation import information_maximisation
    from fewshot.statistics.choosing.soft_neighbourhood_density import soft_neighbourhood_density

    rules = {
        "entropy": entropy,
        "information maximisation": information_maximisation,
        "soft neighbourhood density": soft_neighbourhood_density,
    }
    if any(one is None for one in probabilities):
        return None
    return {name: [rule(one) for one in probabilities] for name, rule in rules.items()}  # type: ignore[arg-type]


def _as_json(verdict: "Verdict") -> dict[str, Any]:
    interval = verdict.difference
    return {
        "word": verdict.word,
        "accuracy": verdict.accuracy,
        "without_adaptation": verdict.reference,
        "difference": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "labels": verdict.labels,
        "labels_needed": verdict.needed,
    }


def _answers(
    known: "Collection", items: "Unlabelled", scores: "np.ndarray", without: "np.ndarray", probable: "np.ndarray | None"
) -> list[dict[str, Any]]:
    sure = [None] * len(scores) if probable is None else probable.max(1).tolist()
    names = known.class_names
    pairs = zip(items.names, scores.argmax(1), without.argmax(1), sure, strict=True)
    return [
        {"item": item, "label": names[k], "confidence": p, "without_adaptation": names[j]} for item, k, j, p in pairs
    ]


def _write(path: Path, answers: list[dict[str, Any]]) -> Path:
    import csv
    import io

    from fewshot.plumbing.files import write_text

    text = io.StringIO()
    writer = csv.DictWriter(text, ["item", "label", "confidence", "without_adaptation"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(answers)
    return write_text(path, text.getvalue())


def _show(found: dict[str, Any]) -> None:
    """Answers by class, the verdict, and what can be said without labels."""
    from collections import Counter

    from fewshot.tables.record_tables import Table, percent

    counts, plain = (Counter(a[key] for a in found["answers"]) for key in ("label", "without_adaptation"))
    rows = tuple((name, str(counts[name]), str(plain[name])) for name in found["source"]["classes"])
    told = (
        f"{found['learner']} on {found['backbone']}: {found['target']['items']} items of '{found['target']['name']}' by "
        f"{found['source']['items']} of '{found['source']['name']}'; {percent(found['changed'])} % of the answers change",
    )
    show_tables(Table(("class", "answers", "without adaptation"), rows, "", told))
    scores = found["unsupervised"]
    if scores is not None:
        about = ("entropy: lower is better; the others: higher is better; all of them can be wrong",)
        cells = tuple((name, f"{ours:.4f}", f"{plain:.4f}") for name, (ours, plain) in scores.items())
        show_tables(Table(("without labels", found["learner"], "without adaptation"), cells, "", about))
    typer.echo(NOBODY if found["verdict"] is None else _sentence(found["verdict"]))


def _sentence(verdict: dict[str, Any]) -> str:
    points = ", ".join(f"{100 * verdict[end]:+.1f}" for end in ("low", "high"))
    needed = verdict["labels_needed"]
    more = (
        ""
        if verdict["word"] != "no difference seen"
        else (
            "; the two answer the labelled items alike"
            if needed is None
            else f"; if the difference stays, about {needed} labels show it"
        )
    )
    return (
        f"{verdict['word']}: {100 * verdict['difference']:+.1f} points [{points}] on {verdict['labels']} labelled items, "
        f"{100 * verdict['accuracy']:.1f} % with and {100 * verdict['without_adaptation']:.1f} % without adaptation{more}"
    )
