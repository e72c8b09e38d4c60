"""Arrays in a ``.npz`` file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.folder import split_rows
from fewshot.errors import DataError, MissingDataError
from fewshot.plumbing.reading import in_one_sentence

KNOWN = ("x", "y", "split", "descriptors", "groups", "class_names")


def load_arrays(path: str | Path, name: str | None = None, ignore: str | Sequence[str] = ()) -> Collection:
    """A collection from a ``.npz`` with items ``x`` and labels ``y``; nothing is unpickled.

    Further arrays are used where they are there: ``split`` (name of each item's split),
    and ``descriptors`` and ``groups`` of the classes, in the order of ``class_names``, or, without these, in sorted order of the
    labels. With the splits ``trainval``, ``test``
    and ``test-seen`` of generalised zero-shot data come those for choosing options; see `fewshot.datasets.seen_unseen`.

    Args:
        path: The file.
        name: What to call it in records; the name of the file when left out.
        ignore: Name or names of other arrays in the file, which are passed over.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it is no such file, an array has an unknown name, or ``x``, ``y`` and ``split`` do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be a .npz file with 'x' and 'y', got no file; check the path")
    arrays = read_arrays(path)
    if not {"x", "y"} <= set(arrays):
        raise DataError(
            f"'{path}' must hold the arrays 'x' and 'y', got {sorted(arrays)}; np.savez(path, x=..., y=...)"
        )
    _require_known(path, arrays, [ignore] if isinstance(ignore, str) else list(ignore))
    known: dict[str, Any] = {key: arrays[key] for key in ("descriptors", "groups", "class_names") if key in arrays}
    splits = split_rows(_split(path, arrays)) if "split" in arrays else {}
    return Collection.from_arrays(arrays["x"], arrays["y"], name=name or path.stem, splits=splits, **known)


def _require_known(path: Path, arrays: dict[str, np.ndarray], ignore: list[str]) -> None:
    odd = sorted(set(arrays) - set(KNOWN) - set(ignore))
    absent = sorted(set(ignore) - set(arrays))
    if odd:
        raise DataError(
            f"arrays in '{path}' must be called {', '.join(KNOWN)}, got {odd}; rename them, or pass over them with "
            f"ignore=[{','.join(odd)}]"
        )
    if absent:
        raise DataError(f"ignore must name arrays in '{path}', got '{absent[0]}', which is not among {sorted(arrays)}")


def _split(path: Path, arrays: dict[str, np.ndarray]) -> list[str]:
    """Name of each item's split, empty for none."""
    split, count = arrays["split"], np.shape(arrays["y"])
    if split.shape != count or split.dtype.kind not in "UT":
        raise DataError(
            f"'split' in '{path}' must have one text an item, shape {count}, got {split.dtype} of shape {split.shape}"
        )
    return [str(one) for one in split.tolist()]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a ``.npz`` file; nothing is unpickled.

    Raises:
        DataError: If it is no such file.
    """
    with (
        in_one_sentence(f"'{path}' must be a whole .npz file without Python objects", "save it again"),
        path.open("rb") as file,
        np.load(file, allow_pickle=False) as archive,
    ):
        arrays = dict(archive)
    odd = [name for name, value in arrays.items() if not isinstance(value, np.ndarray)]
    if odd:
        raise DataError(f"'{path}' must hold arrays only, got other bytes in '{odd[0]}'; save it again")
    return arrays
