"""Arrays of MATLAB files, read in a process of its own without running anything that they hold."""

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import numpy as np

from fewshot.datasets.formats.matlab_reader import PREFIX
from fewshot.errors import DataError, MissingDataError

READER = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from fewshot.datasets.formats.matlab_reader import main; main()"
ONE_AT_A_TIME = threading.Lock()
ENDED = "bytes that end the process which reads them"


def read_mat(path: Path) -> dict[str, np.ndarray]:
    """All variables of a ``.mat`` file: numbers, and texts, also of cells.

    SciPy reads them in a process of its own, which damaged bytes can end.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it is no such file.
    """
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be a .mat file, got no file; check the path")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "variables.npz"
        wrong = _converted(path, target)
        if wrong:
            raise DataError(f"'{path}' must be a whole MATLAB file of version 7 or below, got: {wrong}; save it again")
        with np.load(target, allow_pickle=False) as variables:
            return {key.removeprefix(PREFIX): value for key, value in variables.items()}


def _converted(path: Path, target: Path) -> str:
    """What went wrong when the reader wrote the variables to the target; nothing if all went well."""
    with ONE_AT_A_TIME:
        reader = _reader(os.getpid())
        assert reader.stdin is not None and reader.stdout is not None
        try:
            print(json.dumps([str(path.absolute()), str(target)]), file=reader.stdin, flush=True)
            answer = reader.stdout.readline()
        except OSError:  # it ended before
            answer = ""
        if not answer:
            _reader.cache_clear()
            return ENDED
    told: str = json.loads(answer)
    return told


@lru_cache(maxsize=1)
def _reader(of: int) -> subprocess.Popen[str]:
    """The process that serves a process, until this one ends: it takes longer to start than to read."""
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, json.dumps(sys.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(_end, reader)
    return reader


def _end(reader: subprocess.Popen[str]) -> None:
    """Close its input, at which it ends, and wait; the input of one that has ended cannot be closed."""
    with suppress(OSError), reader:
        pass


def numbers_of(variables: dict[str, np.ndarray], key: str, path: Path | str = "att_splits.mat") -> np.ndarray:
    """A variable that must be there and hold numbers.

    Raises:
        DataError: If it is not, or does not.
    """
    value = variables.get(key)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iufb":
        raise DataError(f"'{path}' must hold numbers called '{key}', got the variables {sorted(variables)}")
    return value


def names_of(variables: dict[str, np.ndarray], count: int) -> tuple[str, ...]:
    """Names of the classes, from ``allclasses_names``, or their numbers from 1 where the file has none.

    Raises:
        DataError: If there is not one for each class, or a name stands twice.
    """
    if "allclasses_names" not in variables:
        return tuple(str(k) for k in range(1, count + 1))
    names = tuple(map(str, variables["allclasses_names"].ravel().tolist()))
    if len(names) != count or len(set(names)) != count:
        raise DataError(f"every class needs a name of its own, got {len(set(names))} names for {count} classes")
    return names


def from_one(numbers: np.ndarray, count: int, what: str) -> np.ndarray:
    """Whole numbers that count from 1, counted from 0.

    Raises:
        DataError: If one lies outside 1..count.
    """
    known = numbers.ravel()
    if not len(known) or not (np.isfinite(known) & (known == np.floor(known)) & (known >= 1) & (known <= count)).all():
        got = f"{known.min()}..{known.max()}" if len(known) else "none"
        raise DataError(f"{what} must count from 1 to {count}, got {got}; add 1 if they count from 0")
    return known.astype(np.int64) - 1
