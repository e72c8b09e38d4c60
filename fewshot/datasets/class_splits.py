"""Lists of classes that come with the package: which are base classes, which validate, which are novel.

A file of ``data/splits`` holds a rule in words, the lists that it gives, and their hash. Data of one's own that have no
splits are cut in two halves by a rule: the split ``val:SEED`` is for choices, and ``test:SEED`` for what is then judged.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from fewshot.datasets.collection import Collection
from fewshot.errors import DataError
from fewshot.plumbing.files import digest, packaged
from fewshot.plumbing.names import unknown
from fewshot.plumbing.yaml_files import YamlFile

HALF = re.compile(r"(val|test):(\d+)")
"""The names of the halves of data without splits."""


@dataclass(frozen=True)
class ClassSplit:
    """Class names of each part, in the order of the file.

    Attributes:
        rule: How the lists came about, in words.
        parts: Names of the classes of each part.
        sha256: Hash of the lists.

    Raises:
        DataError: If a class stands twice, or the lists do not have the hash.
    """

    rule: str
    parts: dict[str, tuple[str, ...]]
    sha256: str

    def __post_init__(self) -> None:
        names = [name for part in self.parts.values() for name in part]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise DataError(f"a class must be in one part of a split, got '{twice[0]}' twice")
        if hash_of(self.parts) != self.sha256:
            raise DataError(f"the lists of a split must have the hash {self.sha256}, got {hash_of(self.parts)}")

    def check(self, found: Mapping[str, Iterable[str]]) -> None:
        """Let classes pass only if each part has those of its list.

        Args:
            found: Names of the classes of each part, as the files have them.

        Raises:
            DataError: If a part lacks classes or has others; both are named.
        """
        for part, classes in self.parts.items():
            missing, odd = sorted(set(classes) - set(found[part])), sorted(set(found[part]) - set(classes))
            if missing or odd:
                raise DataError(
                    f"the part '{part}' must have the {len(classes)} classes of the split's list, got {len(missing)} missing "
                    f"{missing[:5]} and {len(odd)} too many {odd[:5]}; take the published files"
                )

    def rows(self, labels: np.ndarray, class_names: tuple[str, ...]) -> dict[str, np.ndarray]:
        """Rows of each part.

        Raises:
            DataError: If the classes of the collection are not those of the lists.
        """
        listed = {name for part in self.parts.values() for name in part}
        if listed != set(class_names):
            odd = sorted(listed ^ set(class_names))
            raise DataError(f"the classes must be those of the split's lists, got a difference in {odd[:5]}")
        names = np.asarray(class_names)[labels]
        return {part: np.flatnonzero(np.isin(names, list(classes))) for part, classes in self.parts.items()}


def hash_of(parts: dict[str, tuple[str, ...]]) -> str:
    """SHA-256 over the names of the parts and their classes."""
    return digest(text.encode("utf-8", "surrogatepass") for part, classes in parts.items() for text in (part, *classes))


def load_class_split(name: str) -> ClassSplit:
    """A split from ``data/splits``.

    Raises:
        UnknownNameError: If there is no such file.
        DataError: If its lists are not what its hash says.

    Example:
        >>> {part: len(classes) for part, classes in load_class_split("caltech101").parts.items()}
        {'train': 61, 'val': 20, 'test': 20}
    """
    path = packaged("data", "splits", f"{name}.yaml")
    if not path.is_file():
        raise unknown("split", name, [p.stem for p in packaged("data", "splits").glob("*.yaml")])
    return read_class_split(path)


def read_class_split(path: Path) -> ClassSplit:
    """A split from a file.

    Raises:
        DataError: If the file has another form, or its lists are not what its hash says.
    """
    content = YamlFile.read(path, "split", DataError).checked(_Lists)
    return ClassSplit(
        content.rule, {part: tuple(getattr(content, part)) for part in ("train", "val", "test")}, content.sha256
    )


class _Lists(BaseModel):
    """What a file must say."""

    model_config = ConfigDict(extra="ignore", strict=True)  # remarks on sources are for people
    rule: str
    train: list[str]
    val: list[str]
    test: list[str]
    sha256: str


def halved(collection: Collection, seed: int) -> Collection:
    """The collection with the splits ``val:SEED`` and ``test:SEED``, each with half of the classes.

    The classes are put in the order of the SHA-256 of the seed and their name. The first half, rounded down, is for
    validation. So the halves do not depend on the items, or on the order of the classes.

    Args:
        collection: Without splits.
        seed: Names the halves.

    Example:
        >>> parts = halved(Collection.from_arrays(np.eye(6), list("aabbcc")), 0)
        >>> [parts.split(name).class_names for name in ("val:0", "test:0")]
        [('a',), ('b', 'c')]
    """
    names = collection.class_names
    order = sorted(names, key=lambda name: digest([str(seed).encode(), name.encode(errors="surrogatepass")]))
    ids = [names.index(name) for name in order[: len(order) // 2]]
    first = np.isin(collection.labels, ids)
    return replace(collection, splits={f"val:{seed}": np.flatnonzero(first), f"test:{seed}": np.flatnonzero(~first)})
