"""Files of published tables: those very bytes, in ``$FEWSHOT_DATA/transfer``, or one sentence about where they are."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from fewshot.datasets.location import data_root
from fewshot.errors import DataError, MissingDataError


def published_file(name: str, sha256: str, source: str) -> Path:
    """The path of a file below ``$FEWSHOT_DATA/transfer``, after its bytes were compared with the published ones.

    Args:
        name: Of the file, with folders.
        sha256: Of its bytes.
        source: Repository, commit and folder that have it, for the message.

    Raises:
        MissingDataError: If it is not there.
        DataError: If it holds other bytes.
    """
    known = f"the file of {source} with sha256 {sha256}"
    try:
        path = data_root("transfer") / name
    except MissingDataError as error:
        raise MissingDataError(f"{error}: transfer/{name} is {known}") from None
    if not path.is_file():
        raise MissingDataError(f"'{path}' must be {known}, got no file; put it there")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise DataError(f"'{path}' must be {known}, got {found}; fetch it again")
    return path


def domain_file(data: str, domain: str, files: Mapping[str, tuple[str, str]], source: str) -> Path:
    """The file of one domain of a data set.

    Args:
        data: Name of the data set, for the message.
        domain: Name of the domain.
        files: Name and SHA-256 of each domain's file.
        source: As in `published_file`.

    Raises:
        MissingDataError: If it is not there.
        DataError: If there is no such domain, or the file holds other bytes.
    """
    if domain not in files:
        raise DataError(f"the domain of {data} must be one of {', '.join(files)}, got '{domain}'")
    return published_file(*files[domain], source)
