"""Names in a recipe that become names of files, which must stay in the folder that is asked for."""

from typing import Annotated

from pydantic import AfterValidator

MOST_BYTES = 120
"""A file name has 255 at most, and numbers, options and a hash follow."""


def as_file_name(name: str) -> str:
    """A name that is a part of a file name on every system.

    Raises:
        ValueError: If it is none, such as one that leads to another folder.
    """
    if not name or name.startswith(".") or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
        raise ValueError(
            f"a name must be a part of a file name, without / or a dot at its start, got {name!r}; rename it"
        )
    if len(name.encode()) > MOST_BYTES:
        raise ValueError(f"a name must have at most {MOST_BYTES} bytes, got {len(name.encode())}; shorten it")
    return name


FileName = Annotated[str, AfterValidator(as_file_name)]
