"""A collection: items, their classes, and what is known of the classes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fewshot.datasets.classes import by_class, named_classes
from fewshot.datasets.conversion import as_items, as_labels, as_numpy, as_rows
from fewshot.datasets.features import cached_features, embed_rows
from fewshot.datasets.joined import Join, Joined
from fewshot.errors import DataError, UnknownNameError
from fewshot.plumbing.device import held, moved
from fewshot.plumbing.files import digest
from fewshot.plumbing.names import unknown
from fewshot.plumbing.number_range import require_numbers
from fewshot.plumbing.reading import require_unicode


@dataclass(frozen=True, eq=False)
class Collection:
    """Items with class labels, from which episodes are taken.

    Attributes:
        items: ``(n, *item)``: uint8 pixels channels first, float features, or a
            NumPy array of strings. May be memory-mapped.
        labels: Class id of each item, in ``0..n_classes-1``.
        class_names: Name of each class id.
        name: What the collection is called in records.
        origin: What the class names belong to; classes of two collections are the same
            where origin and name agree. ``name`` when left out.
        item_names: File name or other name of each item, where there is one.
        groups: Group of each class (alphabet, superclass), where there is one.
        descriptors: Attributes, vectors or texts of the classes, ``(n_classes, *side)``.
        splits: Rows of each named split: numbers, or one truth value an item, which become numbers.
        whole: The collection that this is a part of, and the rows of it, where it is one.
        sources: The collections that were joined to this one, by the names of their parts; see `join`.
        source_of: Number of the source of each item, where there are several.
        device: Where `take` puts items, a batch at a time; where they are when left out. See `on`.

    Raises:
        DataError: If labels or splits do not fit the items, or features are not finite.

    Example:
        >>> rows = Collection.from_arrays(np.eye(4, dtype=np.float32), ["cat", "cat", "dog", "dog"])
        >>> rows.class_names, rows.take(np.array([[0, 3]])).shape
        (('cat', 'dog'), torch.Size([1, 2, 4]))
    """

    items: Any
    labels: np.ndarray
    class_names: tuple[str, ...]
    name: str = "arrays"
    origin: str = ""
    item_names: Sequence[str] | None = None
    groups: np.ndarray | None = None
    descriptors: Any = None
    splits: Mapping[str, np.ndarray] = field(default_factory=dict)
    whole: "tuple[Collection, np.ndarray] | None" = field(default=None, repr=False)
    sources: "Mapping[str, Collection]" = field(default_factory=dict, repr=False)
    source_of: np.ndarray | None = field(default=None, repr=False)
    device: torch.device | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.labels, np.ndarray):
            raise DataError(
                f"labels must be a vector of whole numbers, got a {type(self.labels).__name__}; Collection.from_arrays relabels"
            )
        require_numbers("items", self.items)
        if len(self.items) != len(self.labels) or not len(self.labels):
            raise DataError(f"every item needs one label, got {len(self.items)} items and {len(self.labels)} labels")
        if self.labels.ndim != 1 or self.labels.dtype.kind not in "iu":
            raise DataError(
                f"labels must be a vector of whole numbers, got shape {self.labels.shape} of {self.labels.dtype}; "
                "Collection.from_arrays relabels"
            )
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.class_names):
            raise DataError(
                f"labels must lie in 0..{len(self.class_names) - 1}, got {low}..{high}; Collection.from_arrays relabels"
            )
        for what, names in (("class names", self.class_names), ("names of splits", self.splits)):
            require_unicode(what, names)
        self._check_known()

    def _check_known(self) -> None:
        for what, known, count in (
            ("item names", self.item_names, len(self.labels)),
            ("groups", self.groups, len(self.class_names)),
            ("descriptors", self.descriptors, len(self.class_names)),
        ):
            if known is not None and (getattr(known, "ndim", 1) == 0 or len(known) != count):
                got = len(known) if getattr(known, "ndim", 1) else "one alone"
                raise DataError(f"{what} must be {count}, one for each item or class, got {got}")
        splits = {
            name: as_rows(f"rows of split '{name}'", rows, len(self.labels)) for name, rows in self.splits.items()
        }
        object.__setattr__(self, "splits", splits)

    @classmethod
    def from_arrays(
        cls,
        x: Any,
        y: Any,
        *,
        name: str = "arrays",
        class_names: Sequence[str] | np.ndarray | None = None,
        **known: Any,
    ) -> "Collection":
        """A collection from items and labels of any kind: numbers with gaps, or names.

        Args:
            x: Items ``(n, *item)``: an array, a tensor, or a list of texts. NumPy's float64 becomes float32.
            y: One label an item.
            name: What to call it in records.
            class_names: The classes in the order of ``descriptors`` and ``groups``; labels are among them, or
                whole numbers that number them. Classes without an item are passed over.
            known: Other fields of `Collection`. Those about classes are dictionaries by name, in the order of
                ``class_names``, or, without these, in sorted order of the labels.

        Raises:
            DataError: If a label is negative, NaN or absent, a feature is not finite, or a class is not named or described.
        """
        labels, ids = np.unique(as_labels(y), return_inverse=True)
        names, place = named_classes(labels, class_names)
        about: dict[str, Any] = {
            what: by_class(known[what], what, names, place) for what in ("descriptors", "groups") if what in known
        }
        return cls(as_items(x), ids.astype(np.int64), names, name=name, **{**known, **about})

    @classmethod
    def join(cls, parts: "Mapping[str, Collection]") -> "Collection":
        """Several collections as one: a view, which gathers rows from its sources and copies none.

        Classes are matched by name. Each source keeps its name, its hash and its origin, so that one class of two
        sources counts as two classes among those seen in training. Every part is a split, and so is every split
        of a part, as ``"part/split"``. Names of items come along where all parts have them; groups and descriptors
        must agree.

        Args:
            parts: The collections by the names of their parts: ``{"source": photos, "target": drawings}``.

        Raises:
            DataError: If shapes or types of items differ, or groups or descriptors of a class.

        Example:
            >>> photos = Collection.from_arrays(np.eye(4, dtype=np.float32), ["cat", "cat", "dog", "dog"], name="photos")
            >>> both = Collection.join({"source": photos, "target": photos.subset(np.array([1, 2]), "drawings")})
            >>> len(both), both.class_names, both.split("target").labels.tolist()
            (6, ('cat', 'dog'), [0, 1])
        """
        return cls(**Join(parts).fields())

    def __len__(self) -> int:
        """Number of items."""
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Any:
        """Items of the given rows, in one gather: a tensor, on the collection's device, or an array of strings.

        Args:
            rows: Row numbers of any shape; the items' axes follow.
        """
        rows = np.asarray(rows)
        if isinstance(self.items, Tensor):
            where = torch.from_numpy(rows.ravel()).to(self.items.device)
            taken = self.items.index_select(0, where)  # several times as fast as items[rows]
            return moved(taken.reshape(*rows.shape, *self.items.shape[1:]), self.device)
        taken = self.items[rows.ravel()].reshape(*rows.shape, *self.items.shape[1:])
        return taken if taken.dtype.kind in "TU" else moved(torch.from_numpy(np.ascontiguousarray(taken)), self.device)

    def on(self, device: torch.device | None) -> "Collection":
        """The same collection, whose items go to a device a batch at a time; features that `embed` makes stay there.

        Args:
            device: Where `take` puts items; None for where they are.
        """
        if device == self.device:
            return self
        other = replace(self, device=device)
        if "hash" in self.__dict__:
            other.__dict__["hash"] = self.hash  # the items are the same
        return other

    def split(self, name: str) -> "Collection":
        """The items of a split, with class ids of their own.

        Raises:
            UnknownNameError: If the collection has no such split.
        """
        return self.subset(self.rows_of(name), f"{self.name}/{name}")

    def rows_of(self, name: str) -> np.ndarray:
        """The rows of a split.

        Raises:
            UnknownNameError: If the collection has no such split.
        """
        if name not in self.splits:
            if not self.splits:
                raise UnknownNameError(f"the split must be left out, got '{name}'; {self.name} has no splits")
            raise unknown("split", name, self.splits)
        return self.splits[name]

    def subset(self, rows: np.ndarray, name: str | None = None) -> "Collection":
        """Some of the items, with class ids of their own; pixels are shared, not copied, where rows are a run.

        Args:
            rows: Row numbers, or one truth value an item.
            name: What to call the part in records; as the whole when left out.

        Raises:
            DataError: If there are no rows.
        """
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        if not len(rows):
            raise DataError(f"a part of '{self.name}' needs at least one item, got no rows")
        kept, labels = np.unique(self.labels[rows], return_inverse=True)
        whole, own = self.whole or (self, np.arange(len(self)))
        return replace(
            self,
            items=self.items.part(rows) if isinstance(self.items, Joined) else self.items[_as_slice(rows)],
            labels=labels.astype(np.int64),
            class_names=tuple(self.class_names[c] for c in kept),
            name=name or self.name,
            origin=self.origin or self.name,
            item_names=None if self.item_names is None else [self.item_names[r] for r in rows.tolist()],
            groups=None if self.groups is None else self.groups[kept],
            descriptors=None if self.descriptors is None else self.descriptors[kept],
            splits={},
            whole=(whole, own[rows]),
            source_of=None if self.source_of is None else self.source_of[rows],
        )

    def qualified_names(self) -> tuple[str, ...]:
        """Class names with their origin: what a trained learner keeps as the classes that it saw."""
        return tuple(f"{origin}:{name}" for origin, name in self.origins())

    def origins(self) -> list[tuple[str, str]]:
        """Origin and name of each class; of several sources, for each source that has items of it."""
        if self.source_of is None:
            return [(self.origin or self.name, name) for name in self.class_names]
        origins = [one.origin or one.name for one in self.sources.values()]
        pairs = np.unique(np.stack([self.source_of, self.labels], 1), axis=0).tolist()
        return [(origins[source], self.class_names[label]) for source, label in pairs]

    def with_classes(self, names: Sequence[str]) -> "Collection":
        """The items of the named classes, in the order of the collection.

        Raises:
            UnknownNameError: If the collection has no such class; names the nearest match.
        """
        for name in names:
            if name not in self.class_names:
                raise unknown("class", name, self.class_names)
        wanted = {self.class_names.index(n) for n in names}
        return self.subset(np.flatnonzero(np.isin(self.labels, sorted(wanted))))

    def embed(self, backbone: Any, batch: int = 512, cache: bool = True) -> "Collection":
        """The same collection with features for items, each item embedded once; on the collection's device if they fit.

        Features of a part are taken from those of the whole where the cache has these.

        Args:
            backbone: A `fewshot.contract.Backbone`; one with ``fingerprint()`` is cached on disk
                by data, weights and preprocessing.
            batch: Items embedded at once.
            cache: Whether to look in, and write to, the cache folder.
        """
        features: Any = self._features_of_sources(backbone, batch, cache) or (
            self._features_of_whole(backbone) if cache else None
        )
        if features is None:
            features = embed_rows(self.items, self.hash, backbone, batch, cache)
        return replace(self, items=held(features, self.device), whole=None)

    def _features_of_sources(self, backbone: Any, batch: int, cache: bool) -> Joined | None:
        """Features of a whole join, each source embedded by itself: its own cache has them."""
        sources = list(self.sources.values())
        if not isinstance(self.items, Joined) or len(self) < sum(map(len, sources)):
            return None
        if any(held is not one.items for held, one in zip(self.items.sources, sources, strict=True)):
            return None  # features already
        return Joined([one.embed(backbone, batch, cache).items for one in sources], self.items.rows)

    def _features_of_whole(self, backbone: Any) -> Tensor | None:
        """Features from the cache of the whole, if this still holds the very items of it."""
        if self.whole is None or isinstance(self.items, Joined):
            return None
        whole, rows = self.whole
        features = cached_features(whole.hash, backbone, len(whole))
        if features is None or not np.array_equal(as_numpy(whole.items)[rows], as_numpy(self.items)):
            return None
        return features[torch.from_numpy(rows)]

    @cached_property
    def hash(self) -> str:
        """SHA-256 over items, labels and class names: what a record calls the data."""
        items = self.items if isinstance(self.items, Joined) else as_numpy(self.items)
        shape = f"{items.dtype}{items.shape}".encode()
        chunks: Iterable[bytes | memoryview]
        if items.dtype.kind in "TU":
            chunks = (str(text).encode() for text in as_numpy(items).ravel().tolist())
        else:
            step = max(1, 2**24 * len(items) // max(1, items.nbytes))
            parts = (np.ascontiguousarray(items[i : i + step]) for i in range(0, len(items), step))
            chunks = (part.reshape(-1).view(np.uint8).data for part in parts)
        names = [name.encode() for name in self.class_names]
        return digest(chain([shape], chunks, [self.labels.astype("<i8").tobytes(), *names]))


def _as_slice(rows: np.ndarray) -> Any:
    run = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all()
    return slice(int(rows[0]), int(rows[-1]) + 1) if run else rows
