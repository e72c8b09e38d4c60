"""Animals with Attributes: 30,475 photos of 50 animals as features, 85 attributes of each animal.

Lampert, Nickisch and Harmeling, "Learning to Detect Unseen Object Classes by Between-Class Attribute Transfer", CVPR 2009;
splits of Xian et al. (2017). The images are no longer distributed; no licence is stated for features and attributes.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.location import data_root
from fewshot.datasets.named.xlsa17 import load_xlsa17
from fewshot.datasets.seen_unseen import choosing
from fewshot.errors import DataError, MissingDataError
from fewshot.plumbing.reading import in_one_sentence

SPLITS = ("proposed", "2009")


def load_awa1(split: str = "proposed", descriptors: str = "att", features: str | None = None) -> Collection:
    """Animals with Attributes from ``$FEWSHOT_DATA/awa1``, in the layout of Xian et al.

    Args:
        split: ``"proposed"``, whose ten unseen classes are not among ImageNet's, with held-out items of the seen ones; or
            ``"2009"``, the ten of ``testclasses.txt``, without such items. Splits are named as in
            `fewshot.datasets.named.xlsa17.load_xlsa17`.
        descriptors: ``"att"``, ``"original_att"`` (0 to 100, -1 where unknown), ``"binary"`` (the table of 2009), or a ``.mat`` file.
        features: Name of the ``.mat`` file with the features; needed where there are many.

    Raises:
        MissingDataError: If a file is not there.
        DataError: If the split is not known, or the files do not fit each other.
    """
    if split not in SPLITS:
        raise DataError(f"the split of AwA1 must be one of {', '.join(SPLITS)}, got '{split}'")
    folder = data_root("awa1")
    whole = load_xlsa17(folder, features, "att" if descriptors == "binary" else descriptors, "awa1")
    if descriptors == "binary":
        whole = replace(whole, descriptors=_binary(folder, whole.class_names))
    return whole if split == "proposed" else replace(whole, splits=_of_2009(folder, whole))


def _binary(folder: Path, names: tuple[str, ...]) -> np.ndarray:
    """The table of 2009, whose rows are in the order of ``classes.txt``, by name."""
    listed = [line.split()[-1] for line in _lines(folder / "classes.txt") if line.strip()]
    with in_one_sentence("predicate-matrix-binary.txt must be a table of numbers", "fetch it again"):
        table = np.array([line.split() for line in _lines(folder / "predicate-matrix-binary.txt")], np.float32)
    if sorted(listed) != sorted(names) or len(table) != len(listed):
        raise DataError(f"classes.txt must list the classes of att_splits.mat, got {len(listed)} and {len(names)}")
    return table[[listed.index(name) for name in names]]


def _of_2009(folder: Path, whole: Collection) -> dict[str, np.ndarray]:
    """All items of the 40 classes, and of the ten; every fourth of the 40 in order of the names validates."""
    listed = [name for name in _lines(folder / "testclasses.txt") if name.strip()]
    odd = sorted(set(listed) - set(whole.class_names))
    if odd or not listed:
        raise DataError(f"testclasses.txt must list classes of att_splits.mat, got {odd[:1] or 'none'}; fetch it again")
    unseen = [whole.class_names.index(name) for name in listed]
    rows = np.flatnonzero(~np.isin(whole.labels, unseen))
    by_name = sorted(np.unique(whole.labels[rows]).tolist(), key=lambda c: whole.class_names[c])
    test = np.flatnonzero(np.isin(whole.labels, unseen))
    return {"trainval": rows, "test": test} | choosing(rows, whole.labels, np.sort(by_name[3::4]))


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise MissingDataError(f"AwA1 needs the file '{path}', got none; it is part of the attributes of 2009")
    with in_one_sentence(f"'{path}' must be text in UTF-8", "fetch it again"):
        return path.read_text(encoding="utf-8").splitlines()
