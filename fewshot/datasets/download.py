"""Fetching data sets: the only code here that uses the network, and only on request."""

import http.client
import os
import shutil
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import Progress

from fewshot.datasets.named.lake_runs import find_runs, read_answers, read_runs
from fewshot.datasets.named.omniglot import PARTS, check_counts, find_part, image_files, read_pixels
from fewshot.errors import DataError
from fewshot.plumbing.files import BEGINS, ENDS, locked, write
from fewshot.plumbing.names import unknown

TIMEOUT = 30.0  # seconds without an answer
CHUNK = 2**18


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        base: Address of the folder that holds the files.
        files: Paths below it; only the last part is kept on disk.
        check: Raises if the files in a folder are not the data set.
    """

    base: str
    files: tuple[str, ...]
    check: Callable[[Path], None]


def check_omniglot(folder: Path) -> None:
    """Verify counts and pixels of Omniglot, answers and pixels of Lake's runs.

    Raises:
        DataError: If they are not what was published.
    """
    trees = [find_part(folder, part) for part in PARTS]
    check_counts([name for tree in trees for name in image_files(tree)])
    runs = find_runs(folder)
    read_answers(runs)
    for _ in chain(read_runs(runs, 28), read_pixels(trees, 28)):
        pass


SOURCES = {
    "omniglot": Source(
        "https://raw.githubusercontent.com/brendenlake/omniglot/master/python",
        ("images_background.zip", "images_evaluation.zip", "one-shot-classification/all_runs.zip"),
        check_omniglot,
    )
}


def download(name: str, root: str | Path, base: str | None = None) -> Path:
    """Fetch a data set to ``root/name`` and verify it; files appear there only when all is well.

    Files that are there already are verified instead. Progress goes to stderr.

    Args:
        name: A key of ``SOURCES``.
        root: The folder to name in ``$FEWSHOT_DATA``.
        base: Another address of the same files, such as a mirror or ``file://``.

    Returns:
        The folder of the data set.

    Raises:
        UnknownNameError: If there is no such data set to fetch.
        DataError: If there is no network, the disk is full, or the files are not the data set.
    """
    if name not in SOURCES:
        raise unknown("dataset to download", name, SOURCES)
    source, folder = SOURCES[name], Path(root) / name
    if all((folder / Path(file).name).exists() for file in source.files):
        source.check(folder)
        return folder
    with _holding(Path(root), name) as holding:
        with Progress(console=Console(stderr=True)) as progress:
            for file in source.files:
                _fetch(f"{base or source.base}/{file}", holding / Path(file).name, progress)
        source.check(holding)
        _move(holding, folder)
    return folder


@contextmanager
def _holding(root: Path, name: str) -> Iterator[Path]:
    """A hidden folder beside the target, on the same disk; those that killed downloads have left are removed first."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        for old in root.glob(f"{BEGINS}{name}-*{ENDS}"):
            with suppress(OSError), locked(old):  # an error where another download is at work
                shutil.rmtree(old)
        folder = Path(tempfile.mkdtemp(dir=root, prefix=f"{BEGINS}{name}-", suffix=ENDS))
    except OSError as error:
        raise DataError(f"'{root}' must be a folder to write to, got '{error.strerror}'; choose another root") from None
    try:
        with locked(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch(address: str, path: Path, progress: Progress) -> None:
    try:
        response = urllib.request.urlopen(address, timeout=TIMEOUT)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(f"'{address}' must be reachable, got: {reason}; check the network, or give a mirror") from None
    with response:
        size = int(response.headers["Content-Length"] or 0) or None
        task = progress.add_task(path.name, total=size)

        def fill(file: IO[bytes]) -> None:
            for chunk in _chunks(response, address, size):
                file.write(chunk)
                progress.advance(task, len(chunk))

        write(path, fill)


def _chunks(response: Any, address: str, size: int | None) -> Iterator[bytes]:
    """The content; errors of the network stay apart from those of the disk."""
    received = 0
    while True:
        try:
            chunk = response.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise DataError(f"'{address}' must arrive whole, got after {received} bytes: {error}; try again") from None
        if not chunk:
            break
        received += len(chunk)
        yield chunk
    if size is not None and received != size:
        raise DataError(f"'{address}' must arrive whole, got {received} of {size} bytes; try again")


def _move(holding: Path, folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
        for file in sorted(holding.iterdir()):
            os.replace(file, folder / file.name)
    except OSError as error:
        raise DataError(
            f"'{folder}' must be a folder to write to, got '{error.strerror}'; choose another root"
        ) from None
