"""Several sources as one table: rows are gathered where they lie, nothing is copied."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fewshot.datasets.conversion import as_numpy
from fewshot.errors import DataError

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection


class Joined:
    """Items of several sources, one source after the other; reads like an array, of which it holds none.

    Args:
        sources: Items of one shape and type.
        rows: Which of all rows these are, in which order; all of them when left out.
    """

    def __init__(self, sources: list[Any], rows: np.ndarray | None = None) -> None:
        self.sources = sources
        self.starts = np.cumsum([0, *map(len, sources)])
        self.rows = np.arange(self.starts[-1]) if rows is None else rows
        self.shape = (len(self.rows), *sources[0].shape[1:])
        self.ndim = len(self.shape)
        self.dtype = as_numpy(sources[0][:0]).dtype

    def __len__(self) -> int:
        """Number of items."""
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes that all items would take."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def part(self, rows: np.ndarray) -> "Joined":
        """Some of the items: a view of the same sources."""
        return Joined(self.sources, self.rows[rows])

    def __getitem__(self, which: Any) -> np.ndarray:
        """The items of a slice or of an array of rows, in an array of their own; one item for a number."""
        chosen = self.rows[which]
        wanted = np.atleast_1d(chosen)
        gathered = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        source = np.searchsorted(self.starts, wanted, "right") - 1
        for k in np.unique(source).tolist():
            here = np.flatnonzero(source == k)
            gathered[here] = _taken(self.sources[k], wanted[here] - self.starts[k])
        return gathered if np.ndim(chosen) else gathered[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All items; NumPy calls it."""
        return self[:] if dtype is None else self[:].astype(dtype)


def _taken(items: Any, rows: np.ndarray) -> np.ndarray:
    return as_numpy(items[torch.from_numpy(rows)] if isinstance(items, Tensor) else items[rows])


class Join:
    """What several collections are together, field by field of a `Collection`.

    Args:
        parts: The collections by the names of their parts.

    Raises:
        DataError: If there are none, or they do not go together.
    """

    def __init__(self, parts: Mapping[str, "Collection"]) -> None:
        if not parts:
            raise DataError("a joined collection needs at least one part, got none")
        self.parts, self.each = tuple(parts), tuple(parts.values())
        kinds = {kind_of(one.items): part for part, one in parts.items()}
        if len(kinds) > 1:
            told = " and ".join(f"{kind} in '{part}'" for kind, part in kinds.items())
            raise DataError(f"items of all parts must have one shape and type, got {told}; convert one of them")

    def fields(self) -> dict[str, Any]:
        """The fields of the collection."""
        names = [one.item_names for one in self.each]
        return {
            "items": Joined([one.items for one in self.each]),
            "labels": np.concatenate([ids[one.labels] for one, ids in zip(self.each, self._ids, strict=True)]),
            "class_names": self._classes,
            "name": " + ".join(one.name for one in self.each),
            "item_names": None if None in names else [name for known in names for name in (known or ())],
            "groups": self._of_classes("groups"),
            "descriptors": self._of_classes("descriptors"),
            "splits": self._splits(),
            "sources": dict(zip(self.parts, self.each, strict=True)),
            "source_of": np.repeat(np.arange(len(self.each)), [len(one) for one in self.each]),
        }

    @cached_property
    def _classes(self) -> tuple[str, ...]:
        """All class names, each once, in the order in which they come."""
        return tuple(dict.fromkeys(name for one in self.each for name in one.class_names))

    @cached_property
    def _ids(self) -> list[np.ndarray]:
        """The class ids here of each part's classes, matched by name."""
        ids = {name: k for k, name in enumerate(self._classes)}
        return [np.array([ids[name] for name in one.class_names], np.int64) for one in self.each]

    def _splits(self) -> dict[str, np.ndarray]:
        """The rows of each part, and ``part/split`` for those of its own splits."""
        starts = np.cumsum([0, *map(len, self.each)]).tolist()
        splits = {}
        for part, one, start in zip(self.parts, self.each, starts[:-1], strict=True):
            splits[part] = np.arange(start, start + len(one))
            splits |= {f"{part}/{name}": np.asarray(rows) + start for name, rows in one.splits.items()}
        return splits

    def _of_classes(self, what: str) -> np.ndarray | None:
        """Groups or descriptors of all classes; nothing where no part has any.

        Raises:
            DataError: If two parts say different things of one class, or a class has none.
        """
        known: dict[int, Any] = {}
        for part, one, ids in zip(self.parts, self.each, self._ids, strict=True):
            own = getattr(one, what)
            for k, value in zip(ids.tolist(), () if own is None else own, strict=own is not None):
                if k in known and not np.array_equal(known[k], value):
                    raise DataError(
                        f"{what} of class '{self._classes[k]}' must be equal in all parts, got others in '{part}'"
                    )
                known[k] = value
        if known and len(known) < len(self._classes):
            absent = next(name for k, name in enumerate(self._classes) if k not in known)
            raise DataError(f"{what} must be there for all classes or for none, got none for '{absent}'")
        if not known:
            return None
        like = next(np.asarray(own) for one in self.each if (own := getattr(one, what)) is not None)
        return np.array([known[k] for k in range(len(self._classes))], like.dtype)


def kind_of(items: Any) -> str:
    """Type and shape of an item."""
    texts = getattr(items.dtype, "kind", "") in ("T", "U")
    return "text" if texts else f"{str(items.dtype).removeprefix('torch.')} {tuple(items.shape[1:])}"
