"""Arrays in a ``.npz`` file."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.folder import split_rows
from fewshot.errors import DataError, MissingDataError


def load_arrays(path: str | Path, name: str | None = None) -> Collection:
    """A collection from a ``.npz`` with items ``x`` and labels ``y``; nothing is unpickled.

    Further arrays are used where they are there: ``split`` (name of each item's split),
    and, in sorted order of the labels, ``descriptors`` and ``groups`` of the classes.

    Args:
        path: The file.
        name: What to call it in records; the name of the file when left out.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it is no such file, or ``x`` and ``y`` do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be a .npz file with 'x' and 'y', got no file; check the path")
    arrays = read_arrays(path)
    if not {"x", "y"} <= set(arrays):
        raise DataError(
            f"'{path}' must hold the arrays 'x' and 'y', got {sorted(arrays)}; np.savez(path, x=..., y=...)"
        )
    splits = split_rows(arrays["split"].tolist()) if "split" in arrays else {}
    known = {key: arrays[key] for key in ("descriptors", "groups") if key in arrays}
    return Collection.from_arrays(arrays["x"], arrays["y"], name=name or path.stem, splits=splits, **known)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of a ``.npz`` file; nothing is unpickled.

    Raises:
        DataError: If it is no such file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (ValueError, OSError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(
            f"'{path}' must be a whole .npz file without Python objects, got: {error}; save it again"
        ) from None
