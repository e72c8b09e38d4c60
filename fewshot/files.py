"""Files: the only writer, the cache folder, and the data that come with the package.

Everything that is written goes to a temporary file in the target's folder, is
flushed to the disk, and then takes the target's place in one step; so a file
is either whole or not there, also when two processes write it at once.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO, Any

from fewshot.errors import DataError

PACKAGE = Path(__file__).parent
NUMBERS = re.compile(r"\[\n([-+.\deE,\s]+)\n\s*\]")  # no text can match: its line ends are escaped


def write(path: Path | str, fill: Callable[[IO[bytes]], object]) -> Path:
    """Write a file in one step: whole, or not at all.

    Args:
        path: Where the file shall be; missing folders are made.
        fill: Writes the content into the open binary file that it gets.

    Returns:
        The path.

    Raises:
        DataError: If the disk is full, or the folder cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise DataError(
                f"'{path}' must be writable, got '{error.strerror or error}'; "
                "free some space or choose another folder (--out, or $FEWSHOT_CACHE for the cache)"
            ) from error
        raise
    return path


def write_bytes(path: Path | str, content: bytes) -> Path:
    """Write bytes in one step; see `write`."""
    return write(path, lambda file: file.write(content))


def write_text(path: Path | str, content: str) -> Path:
    """Write text as UTF-8 in one step; see `write`."""
    return write_bytes(path, content.encode())


def write_json(path: Path | str, content: Any) -> Path:
    """Write JSON in one step, NaN refused, a list of numbers on one line; see `write`."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return write_text(path, NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text) + "\n")


def cache_folder() -> Path:
    """Where decoded pixels, features and checkpoints live: ``$FEWSHOT_CACHE``, or the user's cache."""
    named = os.environ.get("FEWSHOT_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fewshot"


def packaged(*parts: str) -> Path:
    """A file of ``data/``, ``benchmarks/recipes/`` or ``benchmarks/results/``, from a wheel and from a checkout alike.

    Of the results, a wheel has the records that published tables cite.

    Args:
        parts: ``"data"``, ``"recipes"`` or ``"results"`` first, then the path below it.
    """
    return PACKAGE.joinpath(f"_{parts[0]}", *parts[1:])


def digest(chunks: Iterable[bytes | memoryview]) -> str:
    """SHA-256 of length-prefixed chunks, so that ("ab", "c") differs from ("a", "bc")."""
    total = hashlib.sha256()
    for chunk in chunks:
        size = chunk.nbytes if isinstance(chunk, memoryview) else len(chunk)
        total.update(size.to_bytes(8, "little"))
        total.update(chunk)
    return total.hexdigest()
