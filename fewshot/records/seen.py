"""What a record says of classes that were seen before it was made: in training, and by the backbone's weights."""

from fewshot.records.record import Record

NOTHING = "nothing"


def seen_cell(record: Record) -> str:
    """How many of the classes queried here were seen, or what is known instead; empty where nothing is known.

    ``"11 of 20 classes (ImageNet-1k)"`` from a list of classes, ``"not known (WebLI)"`` without one.
    """
    counts, classes = [], record.data.classes
    if record.pretraining_classes is not None:
        counts.append(f"{record.pretraining_classes.overlap} of {classes} classes")
    if record.exposure is not None:
        counts.append(f"{record.exposure.same} of {classes} classes ({record.exposure.data})")
    data = record.backbone.pretraining if record.backbone else None
    if counts or data in (None, NOTHING):
        return "; ".join(counts) or data or ""
    return f"not known ({data})"


def seen_sentence(record: Record) -> str:
    """The same in full; empty where no class is known to have been seen or not."""
    parts = []
    if record.pretraining_classes is not None:
        seen = record.pretraining_classes
        parts.append(f"{seen.count} classes, {seen.overlap} of them queried here")
    if record.exposure is not None:
        seen_by, classes = record.exposure, record.data.classes
        parts.append(
            f"{seen_by.same} of the {classes} classes queried here are among those of {seen_by.data}; "
            f"akin to one there: {seen_by.akin}"
        )
    return "; ".join(parts)
