"""Which images are in which part: three tables of file names, or three folders of class folders."""

from pathlib import Path, PurePosixPath

from fewshot.datasets.formats.folder import SPLITS
from fewshot.datasets.formats.image_files import SUFFIXES, is_file
from fewshot.datasets.formats.tables import cell, read_table
from fewshot.datasets.formats.trees import Tree
from fewshot.datasets.parts import PARTS, Part
from fewshot.errors import DataError, MissingDataError

COLUMNS = (("label", "filename"), ("class_name", "image_name"))  # Ravi's, and those of lists with ILSVRC's own names


def read_lists(folder: Path, images: Path) -> tuple[dict[str, Part], list[str]]:
    """Parts by ``train.csv``, ``val.csv`` and ``test.csv``, with ``filename,label`` or ``class_name,image_name``.

    Args:
        folder: Holds the tables.
        images: Holds the images: all in one folder, or in a folder a class.

    Returns:
        The parts, and the files below ``images`` in their order.

    Raises:
        MissingDataError: If a table, or an image that it names, is not there.
        DataError: If a table lacks a column or a cell.
    """
    parts = {part: _listed(folder / f"{part}.csv") for part in PARTS}
    pairs = [pair for part in parts.values() for pair in zip(*part, strict=True)]
    flat = images.name == "images" and is_file(images / pairs[0][1])
    files = [name if flat else f"{label}/{name}" for label, name in pairs]
    absent = next((file for file in files if not is_file(images / file)), None)
    if absent is not None:
        raise MissingDataError(
            f"the lists in '{folder}' must name images below '{images}', got '{absent}', which is not there; Ravi's names "
            "(n0153282900000005.jpg) belong to 'images/', class folders of ILSVRC need lists with its own names "
            "(n01532829_7.JPEG), 600 of each class, in the columns class_name,image_name"
        )
    return parts, files


def _listed(path: Path) -> Part:
    rows = read_table(path)
    if not rows:
        raise DataError(f"'{path}' must have a row for each image, got none; fetch it again")
    columns = next((pair for pair in COLUMNS if set(pair) <= set(rows[0][1])), None)
    if columns is None:
        raise DataError(
            f"'{path}' must have the columns filename,label or class_name,image_name, got {list(rows[0][1])}"
        )
    return Part(*([cell(path, row, column) for row in rows] for column in columns))


def read_folders(tree: Tree) -> tuple[dict[str, Part], list[str]]:
    """Parts by the folders ``train``, ``val`` (or ``validation``) and ``test``, each with a folder of images for each class.

    Returns:
        The parts, and the files below the tree in their order.

    Raises:
        DataError: If an image lies elsewhere in one of them.
    """
    files: dict[str, list[str]] = {part: [] for part in PARTS}
    for file in tree.files:
        where = PurePosixPath(file).parts
        if file.lower().endswith(SUFFIXES) and where[0].lower() in SPLITS:
            if len(where) != 3:
                raise DataError(
                    f"every image must lie in the class folder of a part, got '{file}' in '{tree.path}'; move it"
                )
            files[SPLITS[where[0].lower()]].append(file)
    parts = {part: Part([PurePosixPath(f).parts[1] for f in names], names) for part, names in files.items()}
    return parts, [file for names in files.values() for file in names]
