"""Where data sets lie: below ``$FEWSHOT_DATA``."""

import os
from pathlib import Path

from fewshot.errors import MissingDataError

FETCHED = ("omniglot",)  # what `fewshot-bench download` knows


def data_root(name: str) -> Path:
    """The folder of a data set.

    Raises:
        MissingDataError: If ``$FEWSHOT_DATA`` is unset, or has no such folder.
    """
    root = os.environ.get("FEWSHOT_DATA")
    if not root:
        raise MissingDataError(
            f"FEWSHOT_DATA must name the folder that holds '{name}/', got nothing; set it; {_remedy(name)}"
        )
    folder = Path(root) / name
    if not folder.is_dir():
        raise MissingDataError(f"'{folder}' must be a folder with the files of {name}, got none; {_remedy(name)}")
    return folder


def _remedy(name: str) -> str:
    return f"run: fewshot-bench download {name}" if name in FETCHED else "data/README.md says what to put there"
