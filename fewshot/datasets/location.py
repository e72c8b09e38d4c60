"""Where data sets lie: below ``$FEWSHOT_DATA``."""

import os
from pathlib import Path

from fewshot.errors import MissingDataError


def data_root(name: str) -> Path:
    """The folder of a data set.

    Raises:
        MissingDataError: If ``$FEWSHOT_DATA`` is unset, or has no such folder.
    """
    root = os.environ.get("FEWSHOT_DATA")
    if not root:
        raise MissingDataError(
            f"FEWSHOT_DATA must name the folder that holds '{name}/', got nothing; "
            f"set it, and run: fewshot-bench download {name}"
        )
    folder = Path(root) / name
    if not folder.is_dir():
        raise MissingDataError(
            f"'{folder}' must be a folder with the files of {name}, got none; run: fewshot-bench download {name}"
        )
    return folder
