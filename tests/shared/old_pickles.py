"""Pickles as Python 2 and NumPy 1 wrote them: byte strings, ``numpy.core`` and truth values that are 0 and 1."""

import io
import pickle

import numpy as np


class _Old(pickle._Pickler):
    """Texts and bytes become Python 2's ``str``; dtypes are named with 0 and 1."""

    dispatch = pickle._Pickler.dispatch.copy()

    def _string(self, value):
        raw = value if isinstance(value, bytes) else value.encode("latin1")
        self.write(b"T" + len(raw).to_bytes(4, "little") + raw)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = _string

    def reducer_override(self, value):
        if not isinstance(value, np.dtype):
            return NotImplemented
        call, (spec, align, copy), state = value.__reduce__()
        return call, (spec, int(align), int(copy)), state


def old_pickle(content):
    """The bytes of a Python 2 pickle of dicts, lists, numbers, texts and arrays."""
    file = io.BytesIO()
    _Old(file, protocol=2).dump(content)
    return file.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")
