"""Zero-shot classification: classes without any example, named by descriptors, which alone compete.

Paper: Xian, Schiele and Akata, "Zero-Shot Learning - the Good, the Bad and the Ugly", CVPR 2017, section 4: all items of the
    unseen classes are queried once, and classes weigh equally.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.episodes import IndexEpisodes
from fewshot.episodes.without_support import without_support
from fewshot.errors import DataError
from fewshot.plumbing.files import digest
from fewshot.plumbing.number_checks import seed_number
from fewshot.records.record import DataInfo
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.tasks.answered import OfClasses
from fewshot.tasks.class_figures import means, mixed, named, open_set
from fewshot.tasks.guarded import Guarded
from fewshot.tasks.overlap import check_overlap
from fewshot.tasks.parts import ALONE, Parts, require_apart
from fewshot.tasks.required import require_collection


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """Items of unseen classes, to be classified among these by descriptors.

    The guard compares classes and items: no unseen class is among those learned from, and no item is in two parts.

    Attributes:
        collection: Items, class descriptors and splits.
        parts: Which splits: ``base`` to learn from, ``unseen`` to query, ``open`` with items of no known class.
        seed: Of the bootstrap.

    Raises:
        DataError: If the data are no collection, or seen classes are to compete, which is `fewshot.Generalised`.
    """

    collection: Collection
    parts: Parts = ALONE
    seed: int = 0
    queries: ClassVar[None] = None

    def __post_init__(self) -> None:
        require_collection(self.collection)
        object.__setattr__(self, "seed", seed_number(self.seed))
        if self.parts.seen:
            raise DataError(f"in ZeroShot unseen classes alone compete, got seen='{self.parts.seen}'; take Generalised")

    @property
    def listed(self) -> "ZeroShot":
        """What is put to the learner: this task itself."""
        return self

    @property
    def items(self) -> Collection:
        """All items."""
        return self.collection

    @property
    def first(self) -> IndexEpisodes:
        """Items that the claims of a learner's backbone are checked on."""
        rows = self.collection.rows_of(self.parts.unseen)
        return without_support(rows, np.unique(self.collection.labels[rows]))

    def check(self, learner: Any) -> Guarded:
        """Compare the classes of all parts, and those that trained the learner.

        Raises:
            LeakageError: If an unseen class was learned from, or an item is in two parts.
        """
        return check_parts(learner, self.collection, self.parts)

    def figures(self, found: OfClasses, level: float) -> dict[str, Any]:
        """Counts of classes and means with their intervals, field by field of a record."""
        return class_figures(self.collection, self.parts, found, level, self.seed)

    def described(self) -> dict[str, Any]:
        """Data and descriptors, field by field of a record."""
        return class_data(self.collection, self.parts)

    def record(self, found: OfClasses, fields: dict[str, Any]) -> ZeroShotRecord:
        """The record, which holds its answers."""
        return ZeroShotRecord(**fields)


def check_parts(learner: Any, data: Collection, parts: Parts) -> Guarded:
    """The guard of tasks without examples.

    Raises:
        UnknownNameError: If there is no such split.
        DataError: If a split is empty.
        LeakageError: If a class or an item is on two sides, or an unseen class trained the learner.
    """
    require_apart(data, parts)
    return Guarded(check_overlap(learner, data.split(parts.unseen), allowed=False))


def class_figures(data: Collection, parts: Parts, found: OfClasses, level: float, seed: int) -> dict[str, Any]:
    """What a record says of the answers to a task without examples."""
    both = mixed(data, found)
    return {
        "base": found.base,
        "unseen": named(data, np.unique(data.labels[data.splits[parts.unseen]]), found.unseen),
        "figures": means(found.unseen, both, level, seed),
        "generalised": both,
        "open_set": open_set(found.known, level, seed),
        "notes": [],
    }


def class_data(data: Collection, parts: Parts) -> dict[str, Any]:
    """What a record says of the data of a task without examples."""
    return {"data": split_info(data, parts.unseen), "descriptors": _fingerprint(data.descriptors)}


def split_info(data: Collection, split: str) -> DataInfo:
    """What a record says of a split."""
    part = data.split(split)
    return DataInfo(name=data.name, hash=part.hash, split=split, classes=len(part.class_names), items=len(part))


def _fingerprint(descriptors: Any) -> str:
    texts = descriptors.dtype.kind in "TU"
    content = (
        [t.encode() for t in descriptors.ravel().tolist()] if texts else [np.ascontiguousarray(descriptors).tobytes()]
    )
    kind = "texts" if texts else f"{int(np.prod(descriptors.shape[1:]))} numbers"
    return f"{kind} of each class, sha256 {digest(content)[:16]}"
