"""What ``fewshot-bench classify`` gives out: answers as a table, as CSV, as JSON, as a picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewshot.errors import DataError

if TYPE_CHECKING:
    from fewshot.datasets.unlabelled import Unlabelled
    from fewshot.estimator.classifier import FewShotClassifier
    from fewshot.tables.record_tables import Table

Answer = dict[str, Any]  # item, label (None: rejected), confidence, probabilities by label, set if requested


def answers_of(classifier: "FewShotClassifier", items: "Unlabelled", coverage: float | None) -> list[Answer]:
    """An answer an item; the label is None where its probability lies below the classifier's ``reject_below``.

    Args:
        classifier: Fitted.
        items: Of the kind of its examples.
        coverage: Of the sets, if sets are wanted.
    """
    probabilities = classifier.predict_proba(items.items)
    sets = None if coverage is None else classifier.predict_set(items.items, coverage)
    labels = classifier.classes_.tolist()
    answers: list[Answer] = []
    for k, (name, row) in enumerate(zip(items.names, probabilities, strict=True)):
        sure = float(row.max())
        given = classifier.reject_below is None or sure >= classifier.reject_below
        answer = {"item": name, "label": labels[row.argmax()] if given else None, "confidence": sure}
        answer |= {"probabilities": dict(zip(map(str, labels), row.tolist(), strict=True))}
        answers.append(answer if sets is None else answer | {"set": list(sets[k])})
    return answers


def about(classifier: "FewShotClassifier") -> dict[str, Any]:
    """What answered, for JSON and for the line below the table."""
    from fewshot.evaluation.describe import assumptions

    model = classifier.model_
    return {
        "kind": model.kind,
        "backbone": str(getattr(model.backbone, "name", "none")),
        "learner": classifier.learner,
        "options": classifier.learner_options or {},
        "classes": classifier.classes_.tolist(),
        "examples": len(model.labels),
        "left_out": {"right": model.calibration.right, "asked": model.calibration.asked},
        "temperature": model.calibration.temperature,
        "notes": assumptions(model.learner),
    }


def about_items(classifier: "FewShotClassifier", items: "Unlabelled") -> dict[str, Any]:
    """How the items were read: height and width of images in pixels, and how many texts are longer than the backbone reads."""
    backbone, shape = classifier.model_.backbone, items.items.shape
    long = classifier.model_.kind == "texts" and hasattr(backbone, "too_long")
    return {
        "count": len(items.names),
        "image_size": list(shape[2:]) if len(shape) == 4 else None,
        "too_long": backbone.too_long(items.items) if long else 0,
    }


def write_csv(path: Path, answers: list[Answer]) -> Path:
    """One row an item: item, label (empty: rejected), confidence, and the set with bars between labels."""
    import csv
    import io

    from fewshot.plumbing.files import write_text

    text = io.StringIO()
    columns = ["item", "label", "confidence", *(["set"] if "set" in answers[0] else [])]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(answer | {"set": "|".join(map(str, answer.get("set", ())))} for answer in answers)
    return write_text(path, text.getvalue())


def require_images(items: "Unlabelled") -> None:
    """Let only images pass, which a contact sheet can show.

    Raises:
        DataError: If the items are no images.
    """
    if items.items.ndim != 4:
        raise DataError("a contact sheet shows images, got items that are none; leave --sheet out")


def write_sheet(path: Path, items: "Unlabelled", answers: list[Answer]) -> Path:
    """Picture of all images with their labels."""
    from fewshot.figures.accuracy import save_figure
    from fewshot.figures.contact_sheet import contact_sheet

    best = [max(answer["probabilities"], key=answer["probabilities"].get) for answer in answers]
    rejected = [answer["label"] is None for answer in answers]
    return save_figure(contact_sheet(items.items, best, [answer["confidence"] for answer in answers], rejected), path)


def answer_table(
    classifier: "FewShotClassifier", items: "Unlabelled", answers: list[Answer], coverage: float | None
) -> "Table":
    """One row an item; below, what answered, and how it did on examples that were left out."""
    from fewshot.tables.record_tables import Table

    columns = ("item", "label", "confidence %", *(("set",) if coverage is not None else ()))
    notes = (*_made(classifier, items), *_limits(classifier, answers, coverage))
    return Table(columns, tuple(_row(answer) for answer in answers), notes=notes)


def _made(classifier: "FewShotClassifier", items: "Unlabelled") -> list[str]:
    """What answered, on what, and how sure it can be."""
    known, read = about(classifier), about_items(classifier, items)
    made = str(known["learner"]) + (f" on {known['backbone']}" if known["backbone"] != "none" else "")
    notes = [f"{made}, from {known['examples']} examples of {len(known['classes'])} classes"]
    if read["image_size"]:
        notes.append("images: {} x {} pixels".format(*read["image_size"]))
    if read["too_long"]:
        notes.append(
            f"{read['too_long']} of {read['count']} texts are longer than the backbone reads: their ends are cut off"
        )
    if known["left_out"]["asked"]:
        notes.append("left-out examples answered correctly: {right} of {asked}".format(**known["left_out"]))
    else:
        reason = "no class has a second example that could be left out" if classifier.calibrate else "calibrate=False"
        notes.append(f"confidence is not calibrated: {reason}")
    return [*notes, *known["notes"]]


def _limits(classifier: "FewShotClassifier", answers: list[Answer], coverage: float | None) -> list[str]:
    """What rejected labels and sets mean."""
    notes = []
    if classifier.reject_below is not None:
        notes.append(f"no label where its probability lies below {100 * classifier.reject_below:g} %")
    if coverage is not None:
        notes.append(f"set: the labels that cannot be ruled out, with coverage {100 * coverage:g} %")
        lacking = sum(answer["label"] is not None and answer["label"] not in answer["set"] for answer in answers)
        if lacking:
            notes.append(
                f"{lacking} of {len(answers)} sets lack the item's label: it is the likeliest one, and yet less clear than "
                f'it was for {100 * coverage:g} % of the examples; take such a set as "I don\'t know"'
            )
    return notes


def _row(answer: Answer) -> tuple[str, ...]:
    from fewshot.tables.record_tables import ABSENT, percent

    label = ABSENT if answer["label"] is None else one_line(str(answer["label"]))
    held = (", ".join(one_line(str(one)) for one in answer["set"]) or ABSENT,) if "set" in answer else ()
    return (_short(one_line(answer["item"])), label, percent(answer["confidence"]), *held)


def one_line(text: str) -> str:
    """A text with a space for each run of line ends, tabs and other marks that do not print."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _short(text: str, most: int = 60) -> str:
    """A long text without its middle: texts are told apart by their beginning, paths by their end."""
    return text if len(text) <= most else f"{text[: most - 21]}…{text[-20:]}"
