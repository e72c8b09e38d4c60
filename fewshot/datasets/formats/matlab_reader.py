"""The process that reads MATLAB files for `fewshot.datasets.formats.matlab`: SciPy's reader can end it on damaged bytes.

Takes a line of JSON for each file, the paths of the ``.mat`` and of an ``.npz`` to write, and answers with a line of JSON: what went wrong, or
nothing. It imports NumPy and SciPy only, and ends when its input does.
"""

import json
import sys
import warnings
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.sparse import issparse

PREFIX = "variable "  # before names in the .npz, of which one may be that of an argument of NumPy


def main() -> None:
    """Answer line after line."""
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        try:
            source, target = json.loads(line)
            _convert(source, target)
            told = ""
        except Exception as error:
            told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        print(json.dumps(told), flush=True)


def _convert(source: str, target: str) -> None:
    known = {PREFIX + key: _plain(value) for key, value in loadmat(source).items() if not key.startswith("__")}
    np.savez(target, **known)  # type: ignore[arg-type]  # names of arrays, of which none is that of an argument


def _plain(value: Any) -> np.ndarray:
    """Numbers, sparse ones too, and texts as they are, cells of single texts or numbers as texts; a remark in place of what else MATLAB knows."""
    array = value.toarray() if issparse(value) else np.asarray(value)
    if array.dtype.kind in "biufU":
        return array
    cells = [cell.item() if isinstance(cell, np.ndarray) and cell.size == 1 else cell for cell in array.ravel()]
    if array.dtype.kind != "O" or not all(isinstance(cell, (str, int, float, np.number)) for cell in cells):
        return np.array("neither numbers nor texts")
    return np.array([str(cell) for cell in cells], dtype=np.str_).reshape(array.shape)


if __name__ == "__main__":
    main()
