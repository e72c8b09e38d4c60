"""Files below a folder, or inside a zip: one way to list and to read both."""

import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from fewshot.datasets.formats.pixels import stamp
from fewshot.errors import DataError, MissingDataError
from fewshot.plumbing.reading import in_one_sentence


@dataclass(frozen=True)
class Tree:
    """A folder or a zip file; names below it are relative, with ``/``. Hidden files do not exist.

    Attributes:
        path: The folder, or the zip file.

    Raises:
        DataError: If a zip file is damaged, when it is first read.
    """

    path: Path

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Names of all files, sorted."""
        return tuple(sorted(name for name in self._names if not name.endswith("/")))

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Names of all folders, sorted, without the end slash."""
        named = {name.rstrip("/") for name in self._names if name.endswith("/")}
        above = {str(parent) for name in self._names for parent in PurePosixPath(name).parents}
        return tuple(sorted((named | above) - {"."}))

    @cached_property
    def _names(self) -> tuple[str, ...]:
        found = self._zip_names() if self.path.is_file() else self._folder_names()
        return tuple(name for name in found if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))

    def _zip_names(self) -> list[str]:
        with self._open() as archive:
            return archive.namelist()

    def _folder_names(self) -> Iterator[str]:
        for folder, subfolders, files in os.walk(self.path, followlinks=True):
            inside = Path(folder).relative_to(self.path)
            yield from (f"{(inside / name).as_posix()}/" for name in subfolders)
            yield from ((inside / name).as_posix() for name in files)

    def _open(self) -> zipfile.ZipFile:
        with in_one_sentence(f"'{self.path}' must be a whole zip file", "fetch it again"):
            return zipfile.ZipFile(self.path)

    def read(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Full name and content of each named file, in the order given.

        Raises:
            DataError: If a file cannot be read, or a member of a zip is damaged; it is named.
        """
        if self.path.is_file():
            yield from self._read_zip(names)
            return
        for name in names:
            try:
                content = (self.path / name).read_bytes()
            except OSError as error:
                raise DataError(f"'{self.path / name}' must be readable, got '{error.strerror}'") from None
            yield str(self.path / name), content

    def heads(self, names: Iterable[str], size: int = 16) -> Iterator[tuple[str, bytes]]:
        """Each name with the first bytes of its file; with none where it cannot be read."""
        with self._open() if self.path.is_file() else nullcontext() as archive:
            for name in names:
                try:
                    with (self.path / name).open("rb") if archive is None else archive.open(name) as file:
                        head = file.read(size)
                except Exception:  # the list of what zipfile raises has no end; `read` says what is wrong
                    head = b""
                yield name, head

    def _read_zip(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        with self._open() as archive:
            for name in names:
                with in_one_sentence(f"'{name}' in '{self.path}' must be readable", "fetch the zip again"):
                    content = archive.read(name)
                yield f"{self.path}:{name}", content

    def stamps(self, names: Iterable[str]) -> Iterator[str]:
        """What pixels of the named files depend on: the zip, or every one of the files.

        Raises:
            MissingDataError: If a file is not there.
        """
        if self.path.is_file():
            yield stamp(self.path)
            yield from names
            return
        for name in names:
            try:
                yield f"{name}|{stamp(self.path / name)}"
            except OSError as error:
                raise MissingDataError(
                    f"'{self.path / name}' must be a file, got '{error.strerror}'; fetch it again"
                ) from None
