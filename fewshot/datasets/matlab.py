"""Arrays of MATLAB files, read without running anything that they hold."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from fewshot.errors import DataError, MissingDataError


def read_mat(path: Path) -> dict[str, Any]:
    """All variables of a ``.mat`` file.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it is no such file.
    """
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be a .mat file, got no file; check the path")
    try:
        return {key: value for key, value in loadmat(path).items() if not key.startswith("__")}
    except (ValueError, TypeError, NotImplementedError, LookupError, OSError, EOFError) as error:
        raise DataError(
            f"'{path}' must be a whole MATLAB file of version 7 or below, got: {error}; save it again"
        ) from None


def numbers_of(variables: dict[str, Any], key: str, path: Path | str = "att_splits.mat") -> np.ndarray:
    """A variable that must be there and hold numbers.

    Raises:
        DataError: If it is not, or does not.
    """
    value = variables.get(key)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        raise DataError(f"'{path}' must hold numbers called '{key}', got the variables {sorted(variables)}")
    return value


def names_of(variables: dict[str, Any], count: int) -> tuple[str, ...]:
    """Names of the classes, from ``allclasses_names``, or their numbers from 1 where the file has none.

    Raises:
        DataError: If there is not one for each class, or a name stands twice.
    """
    if "allclasses_names" not in variables:
        return tuple(str(k) for k in range(1, count + 1))
    names = tuple(
        str(cell.item() if isinstance(cell, np.ndarray) else cell) for cell in variables["allclasses_names"].ravel()
    )
    if len(names) != count or len(set(names)) != count:
        raise DataError(f"every class needs a name of its own, got {len(set(names))} names for {count} classes")
    return names


def from_one(numbers: np.ndarray, count: int, what: str) -> np.ndarray:
    """Whole numbers that count from 1, counted from 0.

    Raises:
        DataError: If one lies outside 1..count.
    """
    whole = numbers.astype(np.int64)
    if not len(whole) or int(whole.min()) < 1 or int(whole.max()) > count:
        got = f"{whole.min()}..{whole.max()}" if len(whole) else "none"
        raise DataError(f"{what} must count from 1 to {count}, got {got}; add 1 if they count from 0")
    return whole - 1
