"""Zero-shot data in the layout of Xian et al.: features in one ``.mat`` file, attributes and splits in ``att_splits.mat``.

Xian, Schiele and Akata, "Zero-Shot Learning - the Good, the Bad and the Ugly", CVPR 2017, section 4.
"""

from pathlib import Path
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.conversion import require_finite
from fewshot.datasets.formats.matlab import from_one, names_of, numbers_of, read_mat
from fewshot.datasets.seen_unseen import seen_unseen
from fewshot.errors import DataError, MissingDataError

SPLITS = "att_splits.mat"


def load_xlsa17(
    path: str | Path, features: str | None = None, descriptors: str = "att", name: str | None = None
) -> Collection:
    """A collection with descriptors of its classes and the splits of zero-shot learning.

    Splits: ``trainval`` (items of seen classes to learn from), ``test`` (all items of the unseen classes), ``test-seen``
    (held-out items of the seen classes); and within ``trainval``, for choosing options on classes of their own,
    ``train``, ``val`` (other classes), ``train-fit`` and ``train-held-out``, every fifth item of each class of ``train``.
    The classes of ``val`` are the published ones, or every fifth seen class by name where the file names none.

    Args:
        path: Folder with ``att_splits.mat`` and a ``.mat`` file with ``features`` and ``labels``.
        features: Name of that file; needed where there are many.
        descriptors: ``"att"`` (as published, of unit length), ``"original_att"``, or a further ``.mat`` file of the folder with
            ``wv`` or ``att`` and ``allclasses_names``, whose classes are matched by name.
        name: What to call it in records; the name of the folder when left out.

    Raises:
        MissingDataError: If a file is not there.
        DataError: If a number does not count from 1, parts overlap that must not, or a class has no descriptor.
    """
    folder = Path(path)
    splits = read_mat(folder / SPLITS)
    data = read_mat(folder / (features or _only_features(folder)))
    x = numbers_of(data, "features", folder).T
    classes = numbers_of(splits, "att", folder).shape[1]
    labels = from_one(numbers_of(data, "labels", folder).ravel(), classes, "labels")
    names = names_of(splits, classes)
    if len(x) != len(labels):
        raise DataError(f"'{folder}' must have a label for each item, got {len(x)} features and {len(labels)} labels")
    with np.errstate(over="ignore"):  # what is too large for float32 is refused
        items = np.ascontiguousarray(x, np.float32)
    require_finite(items)
    return Collection(
        items,
        labels,
        names,
        name=name or folder.name,
        descriptors=described(folder, splits, descriptors, names),
        splits=seen_unseen(splits, labels, names),
    )


def _only_features(folder: Path) -> str:
    found = sorted(p.name for p in folder.glob("*.mat") if {"features", "labels"} <= set(read_mat(p)))
    if len(found) != 1:
        error = DataError if found else MissingDataError
        raise error(
            f"'{folder}' must hold one .mat file with 'features' and 'labels', got {found or 'none'}; "
            "put it there, or name it with features=..."
        )
    return found[0]


def described(folder: Path, splits: dict[str, Any], which: str, names: tuple[str, ...]) -> np.ndarray:
    """One row of numbers for each class.

    Raises:
        DataError: If there are no such descriptors, a class has none, or one is not finite.
    """
    if which.endswith(".mat"):
        other = read_mat(folder / which)
        table = numbers_of(other, "wv" if "wv" in other else "att", folder)
        of = dict(zip(names_of(other, table.shape[1]), table.T, strict=True))
        absent = [name for name in names if name not in of]
        if absent:
            raise DataError(f"every class needs a descriptor, got none for '{absent[0]}' in '{which}'")
        table = np.stack([of[name] for name in names])
    else:
        table = numbers_of(splits, which, folder).T
    with np.errstate(over="ignore"):
        table = np.ascontiguousarray(table, np.float32)
    if not np.isfinite(table).all():
        raise DataError(f"descriptors must be finite, got nan or infinity in '{which}'; replace or leave them out")
    return table
