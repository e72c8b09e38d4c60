"""Caltech-101: 8,677 photos of 101 kinds of things, 31 to 800 each, without the background class.

Li, Andreetto, Ranzato and Perona, "Caltech 101", CaltechDATA 2022 (collected 2003), CC BY 4.0,
data.caltech.edu/records/mzrjq-6wc02.
"""

from dataclasses import replace
from pathlib import Path

from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.folder import load_folder
from fewshot.datasets.location import data_root
from fewshot.errors import DataError, MissingDataError

CLASSES, IMAGES = 101, 8677
FORMS = ("caltech101_84px.zip", "101_ObjectCategories", "101_ObjectCategories.zip")
BACKGROUND = "BACKGROUND_Google"


def load_caltech101(size: int = 84) -> Collection:
    """Caltech-101 as RGB squares ``(n, 3, size, size)``, with classes split by rule into 61 / 20 / 20.

    Classes that show the same kind of thing (faces twice, the head of an animal and all of it)
    are in one part: see ``data/splits/caltech101.yaml``.

    Args:
        size: Side of the images in pixels: the shorter side is resized, then the centre cut out.

    Raises:
        MissingDataError: If the images are not below ``$FEWSHOT_DATA/caltech101``.
        DataError: If they are not the 8,677 images of 101 classes.
    """
    whole = load_folder(find_images(data_root("caltech101")), size, "caltech101")
    if BACKGROUND in whole.class_names:
        whole = whole.with_classes([name for name in whole.class_names if name != BACKGROUND])
    if (len(whole.class_names), len(whole)) != (CLASSES, IMAGES):
        raise DataError(
            f"Caltech-101 must have {IMAGES} images of {CLASSES} classes, "
            f"got {len(whole)} of {len(whole.class_names)}; extract it again"
        )
    names = ["/".join(Path(name).parts[-2:]) for name in whole.item_names or ()]
    rows = load_class_split("caltech101").rows(whole.labels, whole.class_names)
    return replace(whole, name="caltech101", origin="caltech101", item_names=names, splits=rows)


def find_images(folder: Path) -> Path:
    """The zip or folder of class folders, whichever is there.

    Raises:
        MissingDataError: If none is.
    """
    found = [folder / form for form in FORMS if (folder / form).exists()]
    if not found:
        raise MissingDataError(
            f"Caltech-101 needs one of {', '.join(FORMS)} in '{folder}', got none; "
            "extract 101_ObjectCategories from https://data.caltech.edu/records/mzrjq-6wc02 there"
        )
    return found[0]
