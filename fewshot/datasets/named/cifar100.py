"""CIFAR-FS and FC100: the 60,000 images of CIFAR-100, 32 x 32, in two splits of its 100 classes.

Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009, cs.toronto.edu/~kriz/cifar.html; no licence is stated.
Splits: Bertinetto et al., ICLR 2019 (CIFAR-FS), and Oreshkin et al., NeurIPS 2018 (FC100), whose parts share no superclass.
"""

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.datasets.class_splits import load_class_split
from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.pickles import entry, read_arrays_of, read_pickle, texts, whole_numbers
from fewshot.datasets.location import data_root
from fewshot.datasets.parts import Part, check_images
from fewshot.errors import DataError, MissingDataError
from fewshot.plumbing.reading import in_one_sentence

ARCHIVE, INSIDE = "cifar-100-python.tar.gz", "cifar-100-python"
IMAGES = {"train": 500, "test": 100}  # of each class, in the two published files


def load_cifar_fs() -> Collection:
    """CIFAR-FS from ``$FEWSHOT_DATA/cifar-100`` as RGB ``(60000, 3, 32, 32)``, 64 / 16 / 20 classes with 600 images each.

    The folder has ``cifar-100-python.tar.gz``, or ``train``, ``test`` and ``meta`` in ``cifar-100-python/``. Groups are the superclasses.

    Raises:
        MissingDataError: If neither is there.
        DataError: If the files are not those of CIFAR-100.
    """
    return _split("cifar-fs")


def load_fc100() -> Collection:
    """FC100 from the same files as `load_cifar_fs`: 60 / 20 / 20 classes, of 12 / 4 / 4 superclasses.

    Raises:
        MissingDataError: If the files are not there.
        DataError: If they are not those of CIFAR-100.
    """
    return _split("fc100")


def _split(name: str) -> Collection:
    whole = _read(data_root("cifar-100"))
    return replace(whole, name=name, splits=load_class_split(name).rows(whole.labels, whole.class_names))


def _read(folder: Path) -> Collection:
    """All images, those of ``train`` first; class ids are those of CIFAR-100, whose names are sorted."""
    contents = _contents(folder)
    names, groups = (_texts(contents["meta"], f"{level}_label_names") for level in ("fine", "coarse"))
    files = {file: _file(contents[file], file, len(names)) for file in IMAGES}
    fine, coarse = (np.concatenate([one[k] for one in files.values()]) for k in (1, 2))
    for file, (_, labels, _) in files.items():
        check_images({file: Part([names[c] for c in labels], [])}, IMAGES[file])
    of_class = np.array([coarse[fine == c][0] for c in range(len(names))])
    if not (of_class[fine] == coarse).all() or of_class.min() < 0 or of_class.max() >= len(groups):
        raise DataError(f"every class of CIFAR-100 must have one superclass, got more in '{folder}'; fetch it again")
    return Collection(
        np.concatenate([one[0] for one in files.values()]),
        fine,
        tuple(names),
        origin="cifar-100",
        item_names=[f"{file}/{row}" for file, one in files.items() for row in range(len(one[1]))],
        groups=of_class,
    )


def _contents(folder: Path) -> dict[str, Any]:
    files = ("train", "test", "meta")
    if (folder / INSIDE).is_dir():
        return {file: read_pickle(folder / INSIDE / file) for file in files}
    if not (folder / ARCHIVE).is_file():
        raise MissingDataError(
            f"'{folder}' must hold {ARCHIVE} or the folder {INSIDE}, got neither; fetch it from https://www.cs.toronto.edu/~kriz/cifar.html"
        )
    with (
        in_one_sentence(f"'{folder / ARCHIVE}' must be a whole archive", "fetch it again"),
        tarfile.open(folder / ARCHIVE) as archive,
    ):
        return {file: _member(archive, f"{INSIDE}/{file}", folder / ARCHIVE) for file in files}


def _member(archive: tarfile.TarFile, name: str, path: Path) -> Any:
    try:
        file = archive.extractfile(name)
    except KeyError:
        file = None
    if file is None:
        raise DataError(f"'{path}' must hold '{name}', got no such file; fetch it again")
    return read_arrays_of(io.BytesIO(file.read()), f"{path}:{name}")


def _texts(content: Any, key: str) -> list[str]:
    return texts(entry(content, key, "meta"), key, "meta")


def _file(content: Any, name: str, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels ``(n, 3, 32, 32)``, classes and superclasses of one of the two files."""
    with in_one_sentence(f"'{name}' of CIFAR-100 must hold pixels", "fetch it again"):
        pixels = np.asarray(entry(content, "data", name))
    fine, coarse = (
        whole_numbers(entry(content, f"{level}_labels", name), f"{level}_labels", name) for level in ("fine", "coarse")
    )
    if pixels.dtype != np.uint8 or pixels.shape != (len(fine), 3 * 32 * 32) or fine.shape != coarse.shape:
        raise DataError(
            f"'{name}' of CIFAR-100 must hold uint8 rows of 3,072 pixels with as many labels, got {pixels.dtype}{pixels.shape}, "
            f"{len(fine)} and {len(coarse)} labels; fetch it again"
        )
    if len(np.unique(fine)) != classes or fine.min() < 0 or fine.max() >= classes:
        raise DataError(
            f"'{name}' of CIFAR-100 must number {classes} classes from 0, got {len(np.unique(fine))}; fetch it again"
        )
    return pixels.reshape(-1, 3, 32, 32), fine, coarse
