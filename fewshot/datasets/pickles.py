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

DAMAGED = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    ImportError,
    MemoryError,
    OverflowError,
)  # what bytes that are no pickle, or a pickle cut short, bring forth


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
        return _Arrays(file, encoding="latin1").load()
    except DataError as error:
        raise DataError(f"'{name}' is not read: {error}; fetch it from its publisher") from None
    except DAMAGED as error:
        raise DataError(f"'{name}' must be a whole pickle of arrays, got: {error!r}; fetch it again") from None


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


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
