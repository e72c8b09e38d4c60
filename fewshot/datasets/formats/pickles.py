"""Published pickles of arrays, read without running anything: only what rebuilds NumPy's arrays is looked up.

A pickle may name any function of any module and have it called. Caches of data sets need four names; every other one is refused.
"""

import pickle
from collections.abc import Callable
from importlib import import_module
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from fewshot.errors import DataError, MissingDataError
from fewshot.plumbing.reading import in_one_sentence


class _Damaged(DataError):
    """Bytes that are no pickle, or a pickle cut short; other errors are of a whole one."""


class _Call(tuple[Callable[..., Any]]):
    """A function that a pickle may call; it has no attribute that a pickle could set."""

    __slots__ = ()

    def __call__(self, *arguments: Any) -> Any:
        return self[0](*arguments)


def _dtype(spec: Any, align: Any = False, copy: Any = False) -> np.dtype:
    """``numpy.dtype`` for pickles of Python 2, whose truth values are 0 and 1."""
    made: np.dtype = np.dtype(spec, align=bool(align), copy=bool(copy))
    return made


def _encode(text: str, encoding: str) -> bytes:
    """``_codecs.encode`` as bytes are pickled for Python 2; other codecs would be imported by name."""
    if encoding != "latin1":
        raise DataError(f"a pickle must encode bytes as latin1, got '{encoding}'")
    return text.encode("latin1")


ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _Call([_dtype]),
    ("_codecs", "encode"): _Call([_encode]),
    **{
        (f"numpy.{core}.{module}", name): _Call([getattr(import_module(f"numpy._core.{module}"), name)])
        for core in ("core", "_core")
        for module, name in (("multiarray", "_reconstruct"), ("numeric", "_frombuffer"))
    },
}
"""What a pickle may name: arrays as NumPy 1 and 2 write them, under both of their module names."""


class _Arrays(pickle.Unpickler):
    """An unpickler that looks up nothing but ``ADMITTED``."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise DataError(f"a pickle of a data set may hold arrays, numbers and texts only, got '{module}.{name}'")
        return ADMITTED[module, name]


def read_pickle(path: Path) -> Any:
    """The content of a published pickle; texts and bytes of Python 2 come as text, a byte a character.

    Raises:
        MissingDataError: If the file is not there.
        DataError: If it names anything but arrays, or is no whole pickle; nothing of it has run.
    """
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be a file of the data set, got none; fetch it")
    with path.open("rb") as file:
        return read_arrays_of(file, str(path))


def read_arrays_of(file: BufferedIOBase, name: str) -> Any:
    """The same of an open file.

    Args:
        file: At the start of the pickle.
        name: What errors call it.

    Raises:
        DataError: As of `read_pickle`.
    """
    try:
        with in_one_sentence(f"'{name}' must be a whole pickle of arrays", "fetch it again", _Damaged):
            return _Arrays(file, encoding="latin1").load()
    except _Damaged:
        raise
    except DataError as error:
        raise DataError(f"'{name}' is not read: {error}; fetch it from its publisher") from None


def entry(content: Any, key: str, name: str) -> Any:
    """An entry of a dict that was read; keys of Python 3 may be bytes.

    Raises:
        DataError: If it is no dict, or has no such entry.
    """
    known = {_text(k): v for k, v in content.items()} if isinstance(content, dict) else {}
    if key not in known:
        raise DataError(
            f"'{name}' must hold a dict with '{key}', got {sorted(known) or type(content).__name__}; fetch it again"
        )
    return known[key]


def whole_numbers(value: Any, key: str, name: str) -> np.ndarray:
    """A list or array of whole numbers as a vector.

    Raises:
        DataError: If it is another.
    """
    with in_one_sentence(f"'{name}' must hold whole numbers in '{key}'", "fetch it again"):
        numbers = np.asarray(value)
        vector = numbers.astype(np.int64) if numbers.size else np.zeros(0, np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iuf" or (vector != numbers).any():
        raise DataError(
            f"'{name}' must hold a list of whole numbers in '{key}', got {numbers.dtype} of shape {numbers.shape}; fetch it again"
        )
    return vector


def texts(value: Any, key: str, name: str) -> list[str]:
    """A list of texts, or of bytes, as texts.

    Raises:
        DataError: If it is another.
    """
    if not isinstance(value, (list, tuple, np.ndarray)) or not all(isinstance(one, (str, bytes)) for one in value):
        raise DataError(f"'{name}' must hold a list of texts in '{key}', got {type(value).__name__}; fetch it again")
    return [_text(one) for one in value]


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
