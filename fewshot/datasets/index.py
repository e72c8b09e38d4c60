"""Data sets by name or by path."""

import inspect
from pathlib import Path
from typing import Any

from fewshot.datasets.collection import Collection
from fewshot.datasets.formats.descriptions import with_descriptors
from fewshot.episodes import FixedEpisodes
from fewshot.errors import DataError, MissingDataError, UnknownNameError
from fewshot.plumbing.names import look_up, plug_ins
from fewshot.plumbing.number_checks import plain

DATASETS = {
    "amazon-reviews": "fewshot.datasets.named.amazon_reviews:load_amazon_reviews",
    "awa1": "fewshot.datasets.named.awa1:load_awa1",
    "banking77": "fewshot.datasets.named.banking77:load_banking77",
    "caltech101": "fewshot.datasets.named.caltech101:load_caltech101",
    "cifar-fs": "fewshot.datasets.named.cifar100:load_cifar_fs",
    "clinc150": "fewshot.datasets.named.clinc150:load_clinc150",
    "coil20": "fewshot.datasets.named.long2013:load_coil20",
    "cub": "fewshot.datasets.named.cub:load_cub",
    "digits": "fewshot.datasets.named.digits:load_digits",
    "digits-strokes": "fewshot.datasets.named.digits:load_digits_strokes",
    "fc100": "fewshot.datasets.named.cifar100:load_fc100",
    "fewrel": "fewshot.datasets.named.fewrel:load_fewrel",
    "lake-runs": "fewshot.datasets.named.lake_runs:load_lake_runs",
    "mini-imagenet": "fewshot.datasets.named.mini_imagenet:load_mini_imagenet",
    "mushroom": "fewshot.datasets.named.mushroom:load_mushroom",
    "newsgroup-pairs": "fewshot.datasets.named.newsgroup_pairs:load_newsgroup_pairs",
    "office-caltech10": "fewshot.datasets.named.office_caltech10:load_office_caltech10",
    "omniglot": "fewshot.datasets.named.omniglot:load_omniglot",
    "tiered-imagenet": "fewshot.datasets.named.tiered_imagenet:load_tiered_imagenet",
    "usps-mnist": "fewshot.datasets.named.long2013:load_usps_mnist",
}
EPISODES = {"lake-runs": "fewshot.datasets.named.lake_runs:lake_episodes"}  # lists of episodes that come with the data
FOLDERS = {  # by a file in it
    "att_splits.mat": "fewshot.datasets.named.xlsa17:load_xlsa17",
    "dataset_dict.json": "fewshot.datasets.formats.hugging_face:load_hugging_face",
    "state.json": "fewshot.datasets.formats.hugging_face:load_hugging_face",
}
READERS = {
    "": "fewshot.datasets.formats.folder:load_folder",
    **FOLDERS,
    ".zip": "fewshot.datasets.formats.folder:load_folder",
    ".npz": "fewshot.datasets.formats.arrays:load_arrays",
    ".csv": "fewshot.datasets.formats.tables:load_table",
    ".tsv": "fewshot.datasets.formats.tables:load_table",
    ".jsonl": "fewshot.datasets.formats.tables:load_table",
}


def load_dataset(name: str | Path, /, **options: Any) -> Collection:
    """A collection from its name, or from the path of a user's own data.

    A name wins over a folder that is called the same; ``./name`` is always a path.

    Args:
        name: A key of ``DATASETS``, an entry point in the group ``fewshot.datasets``, a folder of class
            folders, a ``.zip`` of one, a folder with ``att_splits.mat`` (the layout of zero-shot data), a folder that Hugging
            Face's ``datasets`` has saved, a ``.npz`` with ``x`` and ``y``, or a ``.csv``, ``.tsv`` or ``.jsonl`` with
            ``label`` and ``text`` or ``path``.
        options: Of the reader, such as ``split`` for Omniglot or ``size`` for images. ``descriptors`` is for all: a table with
            the column ``label`` and a ``text``, or attributes in columns, for each class.

    Raises:
        UnknownNameError: If nobody knows the name; names the nearest match.
        MissingDataError: If nothing is at the path, or the data set is not below ``$FEWSHOT_DATA``.
        DataError: If the files are not what they should be, or there is no such option.

    Example:
        >>> load_dataset("digits").items.shape
        (1797, 1, 8, 8)
    """
    if is_own(name):
        load, arguments = _reader(name, Path(name).expanduser())
    else:
        load, arguments = _by_name(str(name)), []
    own = "descriptors" in inspect.signature(load).parameters
    described = None if own else options.pop("descriptors", None)
    _check_options(name, load, options, len(arguments))
    collection: Collection = load(*arguments, **{option: plain(value) for option, value in options.items()})
    return collection if described is None else with_descriptors(collection, described)


def load_episodes(name: str, collection: Collection) -> FixedEpisodes:
    """The list of episodes that was published with a data set.

    Args:
        name: A key of ``EPISODES``, or an entry point in the group ``fewshot.episodes``.
        collection: The data set, from `load_dataset`.

    Raises:
        UnknownNameError: If the data set comes without one.
    """
    make = look_up("data set with fixed episodes", name, EPISODES, "fewshot.episodes")
    episodes: FixedEpisodes = make(collection)
    return episodes


def is_own(name: str | Path) -> bool:
    """Whether this means a user's own files, and no registered data set."""
    return str(name) not in {*DATASETS, *plug_ins("fewshot.datasets")} and is_path(name)


def is_path(name: str | Path) -> bool:
    """Whether this means files: it has a separator, a known ending, or names something that is there."""
    text = str(name)
    marked = isinstance(name, Path) or "/" in text or "\\" in text or text.startswith((".", "~"))
    return marked or Path(text).suffix.lower() in set(READERS) - {"", *FOLDERS} or Path(text).exists()


def _by_name(name: str) -> Any:
    """The loader of a name, which may be a folder's that is mistyped."""
    try:
        return look_up("dataset", name, DATASETS, "fewshot.datasets")
    except UnknownNameError as error:
        raise UnknownNameError(f"{error} (or a folder; there is nothing at '{name}')") from None


def _reader(name: str | Path, path: Path) -> tuple[Any, list[Path]]:
    marks = [mark for mark in FOLDERS if (path / mark).is_file()]
    kind = path.suffix.lower() if not path.is_dir() else marks[0] if marks else ""
    if not path.exists() or kind not in READERS or (kind == "" and not path.is_dir()):
        got = f"a file that ends in '{path.suffix}'" if path.exists() else "nothing there"
        error = DataError if path.exists() else MissingDataError
        raise error(
            f"'{name}' must be a folder of class folders, or a .zip, .npz, .csv, .tsv or .jsonl file, got {got}; check the path"
        )
    return look_up("file ending", kind, READERS, "fewshot.readers"), [path]


def _check_options(name: str | Path, load: Any, options: dict[str, Any], positional: int) -> None:
    parameters = inspect.signature(load).parameters
    known = list(parameters)[positional:]
    wrong = sorted(set(options) - set(known))
    if wrong and inspect.Parameter.VAR_KEYWORD not in {p.kind for p in parameters.values()}:
        raise DataError(f"options of dataset '{name}' must be among {known}, got {wrong}")
