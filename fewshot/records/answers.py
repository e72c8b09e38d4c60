"""The answer to every query of an evaluation, from which all else is computed."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

SAMPLE, WORTH = 2**16, 0.95  # bytes that are tried, and the share that must remain at most


@dataclass(frozen=True, eq=False)
class Answers:
    """Class ids and predictions of all queries, one after another; episodes may differ in size.

    Attributes:
        starts: Where each episode's queries begin, and the end: ``(episodes + 1,)``.
        true: Class id of each query; −1 for an open class.
        predicted: Class id that was answered.
        class_starts: Where each episode's classes begin, and the end.
        classes: Class ids of the episodes.
        rows: Row number of each query in its collection.
        confidence: Softmax probability of the answer, where scores are log-probabilities.
        scores: Scores of each query, flat in the order of the episode's classes, if requested.
        known: How known each query is, ``(queries, measures)``, higher is more known; where open classes are queried.
        known_by: Names of these measures.
    """

    starts: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    class_starts: np.ndarray
    classes: np.ndarray
    rows: np.ndarray
    confidence: np.ndarray | None = None
    scores: np.ndarray | None = None
    known: np.ndarray | None = None
    known_by: np.ndarray | None = None

    @property
    def is_known(self) -> np.ndarray:
        """Which queries are of a class of their episode, and not of an open one."""
        return np.asarray(self.true >= 0)

    @property
    def correct(self) -> np.ndarray:
        """Number of correct answers of each episode."""
        return np.add.reduceat(self.true == self.predicted, self.starts[:-1], dtype=np.int64)

    @property
    def queries(self) -> np.ndarray:
        """Number of queries of each episode that have a right answer: those of open classes have none."""
        return np.add.reduceat(self.is_known, self.starts[:-1], dtype=np.int64)

    def asks_the_same(self) -> bool:
        """Whether every episode queries the same items, so that only the examples differ."""
        parts = (self.rows[a:b] for a, b in zip(self.starts[:-1], self.starts[1:], strict=True))
        first = np.sort(next(parts))
        return all(len(part) == len(first) and bool((np.sort(part) == first).all()) for part in parts)

    def episode_classes(self) -> np.ndarray | None:
        """Class ids ``(episodes, way)``, or nothing where episodes differ in way."""
        ways = np.diff(self.class_starts)
        return self.classes.reshape(len(ways), -1) if len(set(ways.tolist())) == 1 else None

    def to_bytes(self) -> bytes:
        """The content of an ``.npz`` file, the same bytes for the same answers.

        Whole numbers are as narrow as they can be, and an array lies there byte by byte: first the lowest byte of every
        number, then the next. Bytes of one rank are alike where the numbers are of one size, and so are quick to compress.
        """
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for field in fields(self):
                value = getattr(self, field.name)
                for name, part in () if value is None else _parts(field.name, value):
                    content = io.BytesIO()
                    np.lib.format.write_array(content, part, allow_pickle=False)
                    whole = content.getvalue()
                    archive.writestr(zipfile.ZipInfo(f"{name}.npy"), whole, _method(whole), compresslevel=1)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Answers":
        """Read what `to_bytes` made, now or in version 0.1.0, which wrote each array as it is."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            given = {name: arrays[name] for name in arrays.files}
        names = dict.fromkeys(name.partition(".")[0] for name in given)
        return cls(**{name: _joined(name, given) for name in names})


def _parts(name: str, value: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The bytes of each rank, named ``rows.i2.0``: field, type and rank; texts as they are."""
    if value.dtype.kind not in "if":
        yield name, value
        return
    narrow = np.ascontiguousarray(value if value.dtype.kind == "f" else _narrow(value))
    kind, size = narrow.dtype.kind, narrow.dtype.itemsize
    by_rank = narrow.astype(narrow.dtype.newbyteorder("<"), copy=False).view(np.uint8).reshape(*narrow.shape, size)
    for rank in range(size):
        yield f"{name}.{kind}{size}.{rank}", np.ascontiguousarray(by_rank[..., rank])


def _narrow(value: np.ndarray) -> np.ndarray:
    """Whole numbers in the smallest signed type that holds them."""
    low, high = (int(value.min()), int(value.max())) if value.size else (0, 0)
    kept = next(
        t for t in (np.int8, np.int16, np.int32, np.int64) if np.iinfo(t).min <= low and high <= np.iinfo(t).max
    )
    return value.astype(kept)


def _joined(name: str, given: dict[str, np.ndarray]) -> np.ndarray:
    """The array of a field; whole numbers in 64 bits."""
    if name in given:
        return given[name]
    kind = next(key.split(".")[1] for key in given if key.startswith(f"{name}."))
    by_rank = np.stack([given[f"{name}.{kind}.{rank}"] for rank in range(int(kind[1:]))], -1)
    whole = by_rank.view(f"<{kind}")[..., 0]
    return whole.astype(np.int64) if kind[0] == "i" else whole.astype("=" + kind)


def _method(content: bytes) -> int:
    """Compressed only where that makes it smaller: the low bytes of probabilities are noise."""
    sample = content[:SAMPLE]
    return zipfile.ZIP_DEFLATED if len(zlib.compress(sample, 1)) < WORTH * len(sample) else zipfile.ZIP_STORED
