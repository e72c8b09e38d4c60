"""Images in class folders, or a zip of them."""

from pathlib import Path, PurePosixPath

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.image_files import images_in
from fewshot.datasets.formats.resizing import read_images
from fewshot.datasets.formats.trees import Tree
from fewshot.errors import DataError, MissingDataError

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


def load_folder(path: str | Path, size: int = 84, name: str | None = None) -> Collection:
    """A collection from a tree with one folder a class, as RGB squares ``(n, 3, size, size)``.

    The class of an image is the folder that holds it. Folders ``train``, ``val`` (``valid``,
    ``validation``) and ``test`` on top become ``splits``; beside two of them, any further folder on top is a split of its own name.
    What is an image is decided by a known ending, else by content. Hidden files are passed over, and so are files that are no
    images, which are counted by ending in a `FewShotWarning`. Pixels are decoded once and memory-mapped from the cache.

    Args:
        path: The folder, or a ``.zip`` of it.
        size: Side of the images in pixels: the shorter side is resized, then the centre cut out.
        name: What to call it in records; the name of the folder when left out.

    Raises:
        MissingDataError: If the folder is not there, or holds no image.
        DataError: If an image is unreadable, lies outside the class folders, or a class folder has none.
    """
    path = Path(path)
    if not path.exists():
        raise MissingDataError(
            f"'{path}' must be a folder of class folders or a zip of one, got nothing; check the path"
        )
    tree = Tree(path)
    images = images_in(tree)
    classes, splits = _places(path, images)
    _no_empty_folder(tree, images)
    known, labels = np.unique(classes, return_inverse=True)
    return Collection(
        read_images(tree, images, size),
        labels.astype(np.int64),
        tuple(known.tolist()),
        name or (path.stem if path.is_file() else path.resolve().name),
        item_names=images,
        splits=split_rows(splits),
    )


def split_rows(names: list[str]) -> dict[str, np.ndarray]:
    """Rows of each split, from the name of each row's split; none from empty names."""
    return {name: np.flatnonzero(np.asarray(names) == name) for name in dict.fromkeys(names) if name}


def _places(path: Path, images: list[str]) -> tuple[list[str], list[str]]:
    """Class and split of each image, without the folders that all share."""
    if not images:
        raise MissingDataError(f"'{path}' must hold class folders with images, got no image; check the path")
    parts = [PurePosixPath(image).parts for image in images]
    while all(len(p) > 2 and p[0] == parts[0][0] for p in parts) and parts[0][0].lower() not in SPLITS:
        parts = [p[1:] for p in parts]
    splits = _splits(parts)
    inside = [p[1:] if splits else p for p in parts]
    for image, p in zip(images, inside, strict=True):
        if len(p) < 2:
            beside = f" of a split, as in {sorted(splits)}" if splits else ""
            raise DataError(
                f"every image must lie in a class folder{beside}, got '{image}' outside of one in '{path}'; move it"
            )
    return ["/".join(p[:-1]) for p in inside], [splits.get(p[0], "") for p in parts]


def _splits(parts: list[tuple[str, ...]]) -> dict[str, str]:
    """Name of the split of each folder on top; none where these are classes.

    They are splits where all are called so, or two of them are and hold class folders, or one is that shares a class with others.
    """
    shallow = {p[0] for p in parts if len(p) < 3}
    named = {p[0]: SPLITS[p[0].lower()] for p in parts if p[0].lower() in SPLITS and p[0] not in shallow}
    tops = {p[0] for p in parts}
    inside = [{p[1:-1] for p in parts if (p[0] in named) == known} for known in (True, False)]
    if named and (tops == set(named) or len(set(named.values())) > 1 or inside[0] & inside[1] - {()}):
        return {top: named.get(top, top) for top in tops}
    return {}


def _no_empty_folder(tree: Tree, images: list[str]) -> None:
    filled = {str(parent) for image in images for parent in PurePosixPath(image).parents}
    empty = [folder for folder in tree.folders if folder not in filled]
    if empty:
        raise DataError(
            f"every class folder in '{tree.path}' needs an image, got none in '{empty[0]}' "
            f"({len(empty)} such folders); add images or remove the folder"
        )
