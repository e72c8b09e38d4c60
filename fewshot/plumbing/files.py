"""Files: the only writer, the cache folder, and the data that come with the package.

Everything that is written goes to a temporary file in the target's folder, is
flushed to the disk, and then takes the target's place in one step; so a file
is either whole or not there, also when two processes write it at once.

A process that is killed while it writes leaves its temporary file. Its lock is gone
with it, so the next one that writes to the folder sees that, and removes the file.
"""

import contextlib
import hashlib
import json
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from fewshot.errors import DataError

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed by others
    fcntl = None  # type: ignore[assignment]

PACKAGE = Path(__file__).parents[1]
NUMBERS = re.compile(r"\[\n([-+.\deE,\s]+)\n\s*\]")  # no text can match: its line ends are escaped
BEGINS, ENDS = ".fewshot-", ".part"
"""How the name of a temporary file begins and ends."""
TRIED = 2**16  # bytes


def write(path: Path | str, fill: Callable[[IO[bytes]], object]) -> Path:
    """Write a file in one step: whole, or not at all.

    A new file has the permissions that the umask leaves; one that is replaced keeps its own.

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
        remove_left_over(path.parent)
        descriptor, temporary = open_temporary(path.parent)
        with os.fdopen(descriptor, "w+b") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
            if path.exists():
                os.chmod(temporary, path.stat().st_mode & 0o777)
            if fcntl is None:
                file.close()  # Windows moves no open file; elsewhere the lock holds until the file has its name
            os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise _unwritable(path, error) from error
        raise
    return path


def _unwritable(path: Path | str, error: OSError) -> DataError:
    return DataError(
        f"'{path}' must be writable, got '{error.strerror or error}'; "
        "free some space or choose another folder (--out, or $FEWSHOT_CACHE for the cache)"
    )


def open_temporary(folder: Path) -> tuple[int, str]:
    """A new file in a folder, locked as long as this process has it open: its descriptor and its path."""
    while True:
        path = folder / f"{BEGINS}{secrets.token_hex(6)}{ENDS}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            lock(descriptor)
        except BlockingIOError:  # in the instant before, another process took it for left over
            os.close(descriptor)
            continue
        except OSError:  # a file system without locks: then no other process removes the file
            pass
        if path.exists():
            return descriptor, str(path)
        os.close(descriptor)


def remove_left_over(folder: Path) -> None:
    """Remove the temporary files of processes that ended while they wrote to this folder."""
    for path in folder.glob(f"{BEGINS}*{ENDS}"):
        with contextlib.suppress(OSError):  # being written, gone meanwhile, or of another user
            descriptor = os.open(path, os.O_RDWR)
            try:
                lock(descriptor)
                path.unlink()
            finally:
                os.close(descriptor)


def lock(descriptor: int) -> None:
    """Lock an open file until it is closed; an OSError where another process has locked it."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def locked(folder: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a folder; the kernel lets go of it when this process ends.

    Args:
        folder: Is there.
        wait: Until another process lets go; otherwise that is a ``BlockingIOError``.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Make the folder, and wait until no other process is in such a block for it.

    Raises:
        DataError: If the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    with locked(folder, wait=True):
        yield


def require_writable(path: Path | str) -> None:
    """Try whether files can be written to a folder, before hours of work; the folder is not made.

    Args:
        path: The folder, which need not be there yet.

    Raises:
        DataError: If it cannot be made, cannot be written, or the disk is full.
    """
    folder = Path(path)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise DataError(
            f"'{path}' must be writable, got the file '{folder}' where a folder should be; choose another folder (--out)"
        )
    try:
        with tempfile.TemporaryFile(dir=folder) as tried:  # has no name: who is killed here leaves nothing
            os.write(tried.fileno(), bytes(TRIED))
            os.fsync(tried.fileno())
    except OSError as error:
        raise _unwritable(path, error) from error


def require_writable_files(*paths: Path | None) -> None:
    """Try whether files can be written, each where there is one to write; see `require_writable`.

    Raises:
        DataError: If one cannot, or is a folder.
    """
    for path in paths:
        if path is not None and path.is_dir():
            raise DataError(f"'{path}' must be a file to write, got a folder; name a file in it")
        if path is not None:
            require_writable(path.parent)


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


def content_hash(path: Path | str) -> str | None:
    """SHA-256 of a file's content; nothing where no file is."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return None


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
