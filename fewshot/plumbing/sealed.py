"""Files that carry their own SHA-256, so that damage inside a file of whole form is seen when it is read.

The digits lie in the header, behind ``MARK``. They are the SHA-256 of the whole file with zeros in their place, so that no
byte is left out. A file without the mark comes from elsewhere, or from version 0.1.0, and is read unchecked.
"""

import hashlib
import json
import mmap
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import IO

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fewshot.plumbing.files import write

KEY, BLANK = "fewshot-sha256", "0" * 64
MARK = f'"{KEY}":"'.encode()  # in JSON within JSON the quotes have backslashes: no text can match
REMEMBERED = 2**24  # bytes: a larger file is hashed once in a process as long as size and time stay


class Damaged(Exception):
    """A file is not what was written; says why. Callers turn it into their error, with what to do."""


def write_sealed(path: Path | str, fill: Callable[[IO[bytes]], object]) -> Path:
    """Write a file with its SHA-256 in one step; see `fewshot.plumbing.files.write`.

    Args:
        path: Where the file shall be.
        fill: Writes the content, with ``MARK`` and ``BLANK`` in its header, into the open binary file that it gets.
    """

    def sealed(file: IO[bytes]) -> None:
        fill(file)
        file.flush()
        with mmap.mmap(file.fileno(), 0) as content:
            at = content.find(MARK) + len(MARK)
            assert content[at : at + len(BLANK)] == BLANK.encode(), "the content has no place for its hash"
            content[at : at + len(BLANK)] = _hash(content, at).encode()
            content.flush()

    return write(path, sealed)


def carries_hash(path: Path | str) -> bool:
    """Whether a file carries its SHA-256, which then is the right one.

    Raises:
        Damaged: If it carries another one.
        OSError: If the file cannot be read.
    """
    stat = os.stat(path)
    if stat.st_size < REMEMBERED:
        return _carries_hash(path)
    return _remembered(path, stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=64)
def _remembered(path: Path | str, *unchanged: int) -> bool:
    return _carries_hash(path)


def _carries_hash(path: Path | str) -> bool:
    with Path(path).open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return False  # nothing to map
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = content.find(MARK)
            at = found + len(MARK)
            if found >= 0 and content[at : at + len(BLANK)] != _hash(content, at).encode():
                raise Damaged("bytes that its SHA-256 does not fit")
            return found >= 0


def _hash(content: mmap.mmap, at: int) -> str:
    """SHA-256 in hexadecimal digits of a content that has zeros in the place of these digits."""
    total = hashlib.sha256()
    with memoryview(content) as view, view[:at] as before, view[at + len(BLANK) :] as after:
        for chunk in (before, BLANK.encode(), after):
            total.update(chunk)
    return total.hexdigest()


def write_tensors(path: Path | str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Write a safetensors file that carries its SHA-256, in one step; any other reader can read it too.

    Args:
        path: Where the file shall be.
        tensors: By name; any memory format.
        metadata: Text by name; the names start with ``fewshot``.

    Raises:
        DataError: If the file cannot be written.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = memoryview(save(plain, {**metadata, KEY: BLANK}))
    end = 8 + int.from_bytes(content[:8], "little")
    header = _in_order(bytes(content[8:end]))
    parts = (len(header).to_bytes(8, "little"), header, content[end:])
    return write_sealed(path, lambda file: file.writelines(parts))


def _in_order(header: bytes) -> bytes:
    """The header with sorted metadata, which safetensors leaves in random order: the same bytes for the same content."""
    told = json.loads(header)
    told["__metadata__"] = dict(sorted(told["__metadata__"].items()))
    text = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    return text.ljust(-(-len(text) // 8) * 8)


def read_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file, its SHA-256 checked where it carries one.

    Raises:
        Damaged: If the file cannot be read, is no safetensors file, or is not as it was written.
    """
    try:
        sealed = carries_hash(path)
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  not a mapping
            metadata = dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise Damaged(str(error) or type(error).__name__) from None
    own = [name for name in metadata if name.startswith("fewshot")]
    if (
        not sealed and own and (len(metadata) > 1 or KEY in metadata)
    ):  # a file of 0.1.0 has one entry: here the mark itself is damaged
        raise Damaged("metadata in which its SHA-256 is not legible")
    metadata.pop(KEY, None)
    return tensors, metadata
