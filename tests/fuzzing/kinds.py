"""Every kind of file that the package reads: how whole ones are made, and how they are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzzing import own_data, published, results, trained

HashedBy = tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """Files that are read together.

    Attributes:
        name: For the record.
        make: Writes whole ones into an empty folder.
        read: Reads them as a user's call does, and returns what came of it.
        weight: How often it comes, relative to the others; slow ones come rarely.
        only: Endings of the files that are damaged; all where empty.
        sealed: Whether a hash tells of any damage, so that no other answer may come.
    """

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], Any]
    weight: float = 10
    only: tuple[str, ...] = ()
    sealed: bool = False


KINDS = {
    kind.name: kind for kind in (Kind(*row) for rows in (own_data, published, results, trained) for row in rows.KINDS)
}
